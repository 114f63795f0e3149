"""What `vllm bench serve` measured, or why it is no measurement. Pure.

The client takes HTTP 200 for success. An engine that dies while it streams sends its error as a piece of such
an answer, which the client passes over: the answer only looks short, and the figures fast. So every answer
must have exactly as many tokens as were asked for, and must have come in pieces over time.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from thorctl.protocol import foreign_json

if TYPE_CHECKING:
    from collections.abc import Sequence

    from thorctl.agent.bench.call import Measurement

_LAST_LINE = 300  # characters of the client's error that are shown


class UnusableError(ValueError):
    """The run measured nothing that may be reported; the message says why."""


@dataclass(frozen=True)
class Measured:
    """Figures of one measurement.

    Attributes:
        decode_tokens_per_second: all streams together, while at least one decodes. Of one stream it is
            1000 / mean time per output token.
        output_tokens_per_second: the same with the time to the first token in it.
        tpot_ms: mean time per output token of a stream, without its first.
        ttft_mean_ms, ttft_median_ms, ttft_p99_ms: time to the first token.
        input_tokens, output_tokens: of all requests.
        requests: how many were measured.
        at_once: how many were under way at the same time, at most.
        seconds: how long all of it took.
    """

    decode_tokens_per_second: float
    output_tokens_per_second: float
    tpot_ms: float
    ttft_mean_ms: float
    ttft_median_ms: float
    ttft_p99_ms: float
    input_tokens: int
    output_tokens: int
    requests: int
    at_once: int
    seconds: float


def read(text: str, wanted: Measurement) -> Measured:
    """Read the client's result file.

    Raises:
        UnusableError: not a result, or requests failed, or an answer has not the tokens that were asked for.
    """
    try:
        result: dict[str, Any] = foreign_json.read(text)
        _check(result, wanted)
        decoding = _decoding(result)
        tokens = sum(result["output_lens"]) - len(decoding)
        rate = tokens / union(decoding) if wanted.at_once > 1 else 1000 / float(result["mean_tpot_ms"])
        measured = Measured(
            decode_tokens_per_second=round(rate, 2),
            output_tokens_per_second=round(float(result["output_throughput"]), 2),
            tpot_ms=round(float(result["mean_tpot_ms"]), 3),
            ttft_mean_ms=round(float(result["mean_ttft_ms"]), 2),
            ttft_median_ms=round(float(result["median_ttft_ms"]), 2),
            ttft_p99_ms=round(float(result["p99_ttft_ms"]), 2),
            input_tokens=int(result["total_input_tokens"]),
            output_tokens=int(result["total_output_tokens"]),
            requests=len(wanted.prompts),
            at_once=wanted.at_once,
            seconds=round(float(result["duration"]), 2),
        )
    except (ValueError, KeyError, TypeError, IndexError, AttributeError, ZeroDivisionError) as broken:
        if isinstance(broken, UnusableError):
            raise
        raise UnusableError(
            f"the result is not as vLLM writes it ({type(broken).__name__}: {broken})"
        ) from None
    if not all(math.isfinite(value) and value > 0 for value in vars(measured).values()):
        raise UnusableError("a figure is zero or no number")
    return measured


def _check(result: dict[str, Any], wanted: Measurement) -> None:
    count = len(wanted.prompts)
    errors = [str(error).strip() for error in result["errors"] if str(error).strip()]
    failed = int(result["failed"])
    if failed or errors or result["completed"] != count:
        why = f": {last_line(errors[0])}" if errors else ""
        lost = max(failed, len(errors), count - result["completed"])
        raise UnusableError(f"{lost} of {count} requests failed{why}")
    lengths = result["output_lens"]
    other = [length for length in lengths if length != wanted.tokens]
    if len(lengths) != count or other:
        got = (
            f"{len(other)} of {count} answers have other lengths ({other[0]})"
            if other
            else "some are missing"
        )
        raise UnusableError(
            f"each answer should have {wanted.tokens} tokens, but {got}: the engine broke off"
            " (an error inside an answer that began with HTTP 200 looks like this)"
        )
    # One piece may carry several tokens (speculative decoding), but an answer in one piece was not streamed.
    if any(not pieces for pieces in result["itls"]) or len(result["itls"]) != count:
        raise UnusableError("an answer came in one piece: time per token cannot be told")


def _decoding(result: dict[str, Any]) -> list[tuple[float, float]]:
    """When each stream decoded: from its first token to its last, in seconds of the client's clock."""
    rows = zip(result["start_times"], result["ttfts"], result["itls"], strict=True)
    return [(start + first, start + first + sum(pieces)) for start, first, pieces in rows]


def union(spans: Sequence[tuple[float, float]]) -> float:
    """Return the length of what the spans cover together: overlaps count once, gaps not at all."""
    covered, reached = 0.0, -math.inf
    for start, end in sorted(spans):
        if end > reached:
            covered += end - max(start, reached)
            reached = end
    return covered


def last_line(text: str) -> str:
    """Return the last line that says something: of a traceback, the error."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1][:_LAST_LINE] if lines else "no reason given"
