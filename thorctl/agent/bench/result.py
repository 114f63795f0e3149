"""Validate and read the result of `vllm bench serve`.

The client counts HTTP 200 as success. An engine that fails during a stream sends its error as one event,
which the client ignores: the answer is short, the rates high. So each answer must have exactly the requested
number of tokens, and must have arrived in several pieces.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from thorctl.protocol import foreign_json
from thorctl.protocol.bench import Figures

if TYPE_CHECKING:
    from collections.abc import Sequence

    from thorctl.agent.bench.call import Measurement

_LAST_LINE = 300  # longest shown part of the client's error, in characters


class UnusableError(ValueError):
    """The run has no valid result; the message has the reason."""


def read(text: str, wanted: Measurement) -> Figures:
    """Read the client's result file.

    Raises:
        UnusableError: not a result, or requests failed, or an answer has the wrong number of tokens.
    """
    try:
        result: dict[str, Any] = foreign_json.read(text)
        _check(result, wanted)
        decoding = _decoding(result)
        tokens = sum(result["output_lens"]) - len(decoding)
        rate = tokens / union(decoding) if wanted.at_once > 1 else 1000 / float(result["mean_tpot_ms"])
        measured = Figures(
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
        raise UnusableError(f"the result has an unknown form ({type(broken).__name__}: {broken})") from None
    if not all(math.isfinite(value) and value > 0 for value in vars(measured).values()):
        raise UnusableError("a figure is zero or not a number")
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
            f"each answer should have {wanted.tokens} tokens, but {got}: the engine stopped early"
            " (an error during a stream has HTTP 200)"
        )
    # One piece may hold several tokens (speculative decoding), but a single piece means no streaming.
    if any(not pieces for pieces in result["itls"]) or len(result["itls"]) != count:
        raise UnusableError("an answer arrived in one piece: the time per token is unknown")


def _decoding(result: dict[str, Any]) -> list[tuple[float, float]]:
    """Return each stream's decoding time: first to last token, in seconds of the client's clock."""
    rows = zip(result["start_times"], result["ttfts"], result["itls"], strict=True)
    return [(start + first, start + first + sum(pieces)) for start, first, pieces in rows]


def union(spans: Sequence[tuple[float, float]]) -> float:
    """Return the length of the union of the spans: overlaps count once, gaps do not."""
    covered, reached = 0.0, -math.inf
    for start, end in sorted(spans):
        if end > reached:
            covered += end - max(start, reached)
            reached = end
    return covered


def last_line(text: str) -> str:
    """Return the last line that is not blank: of a traceback, the error."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1][:_LAST_LINE] if lines else "no reason given"
