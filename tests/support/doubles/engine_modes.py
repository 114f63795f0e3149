"""What the light engine can be told to do wrong, by the name of the mode."""

from __future__ import annotations

# What each mode does to a chat answer or to readiness; "good" does nothing.
MODES = {
    "good": "everything right",
    "not_ready": "/health answers 503",
    "wrong_model": "/v1/models lists another model",
    "http_500": "a chat request is refused with HTTP 500 and an error object",
    "error_in_stream": "an error object after two pieces of a stream that began with HTTP 200",
    "dies_mid_stream": "the connection is cut after two pieces",
    "fails_after": "right for three requests, then every connection is cut",
    "dies_when_two": "right one by one; cut as soon as two requests run at once",
    "silent": "HTTP 200 and never a piece",
    "never_ends": "pieces for ever, a little slower than fast",
    "no_done": "whole, but without [DONE]",
    "no_usage": "whole, but without usage",
    "not_json": "an event that is no JSON",
    "abort": "stopped in the middle: finish_reason abort",
    "length": "cut off at the token limit",
    "empty": "no text at all, finish_reason stop",
    "bangs": "only exclamation marks",
    "babble": "one phrase over and over",
    "same_answer": "the same sentence whatever is asked",
    "wrong_answer": "a coherent, wrong answer",
    "control_characters": "an escape sequence in the answer",
    "replacement_characters": "bytes that are no text",
    "unclosed_thinking": "thinking for ever: no answer after it",
    "no_thinking": "an answer without the thinking that was asked for",
    "stray_marker": "</think> left in the answer",
    "slow": "right, with pauses",
}
# Only what a smoke asks beside its prompts notices these.
FEATURE_MODES = {
    "misses_once": "one prompt gets a wrong answer, but not when it is asked again with another seed",
    "misses_two": "two prompts get a wrong answer, but not when they are asked again with another seed",
    "logprobs_nan": "log-probabilities that are no numbers",
    "logprobs_missing": "no log-probabilities, though they were asked for",
    "logprobs_end_it": "a request for log-probabilities is refused with HTTP 500 and ends the engine",
    "schema_ignored": "an answer in words where a JSON schema was given",
    "no_calls": "an answer in words where a tool was to be called",
    "half_call": "a tool call whose arguments are cut off",
    "long_refused": "a long prompt is refused",
    "long_cut": "a long prompt is cut short before it is taken in",
    "long_forgotten": "a long prompt is taken in, and what stands in its middle is not found",
    "keeps_cancelled": "a request whose client has hung up is generated to its end",
}
# Only a benchmark notices these.
BENCH_MODES = {
    "short": "one token fewer than was asked for, and no word about it",
    "shared": "/metrics counts tokens that others asked for",
    "at_work": "/metrics says that a request is running",
    "no_stats": "/metrics says nothing of the engine, as with disable-log-stats",
}
# Only the program shows these (engine_program.py): they end it, or keep it from starting or ending.
PROGRAM_MODES = {
    "exits": "the process ends at once, and again after each start",
    "never_ready": "it runs, and nothing listens: as vLLM does while it loads",
    "eats_memory": "it takes memory for as long as it gets any",
    "deaf": "a request to end is not heard",
}
# With a number: `starts_after:20`.
TIMED_MODES = {
    "starts_after": "nothing listens for the first N seconds",
    "dies_after": "the process ends N seconds after it was ready, and again after each start",
}


def known(mode: str) -> str:
    """``mode``, if there is such a one.

    Raises:
        ValueError: there is none, or its number is missing.
    """
    plain = MODES | FEATURE_MODES | BENCH_MODES | PROGRAM_MODES
    name, colon, number = mode.partition(":")
    if colon:
        if name in TIMED_MODES and number.isdigit():
            return mode
    elif mode in plain:
        return mode
    raise ValueError(
        f"no mode {mode!r}; there are {', '.join(sorted(plain))}, "
        f"and with a number {', '.join(sorted(TIMED_MODES))}"
    )


def seconds(mode: str, name: str) -> int | None:
    """The number of a timed mode of that name; None where ``mode`` is another."""
    found, _, number = mode.partition(":")
    return int(number) if found == name else None
