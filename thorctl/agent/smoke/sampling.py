"""Select the sampling of the smoke test: the one that the model's maker recommends, if known.

Greedy decoding makes reasoning models repeat themselves, so makers advise against it for prompts with
thinking.
"""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

from thorctl.protocol.dataclass import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping

FILE = "generation_config.json"
# Parameters that vLLM reads from that file, with their accepted range.
_LIMITS: dict[str, tuple[float, float]] = {
    "temperature": (0.0, 2.0),
    "top_p": (0.0, 1.0),
    "top_k": (-1, 2**31),
    "min_p": (0.0, 1.0),
    "repetition_penalty": (0.01, 2.0),
}
_SPECULATIVE_REFUSES = "min_p"  # vLLM answers 400 to it with speculative decoding


@dataclass(frozen=True)
class Sampling:
    """Parameters of a request, and their source or the reason for greedy decoding."""

    values: dict[str, float]
    source: str

    def document(self) -> dict[str, Any]:
        """Return the document in the smoke test's data."""
        return {"values": self.values, "source": self.source}


GREEDY = {"temperature": 0.0}


def recommended(smoke: Mapping[str, Any], options: Mapping[str, Any], file: bytes | None) -> Sampling:
    """Return the sampling for prompts with thinking.

    Args:
        smoke: the profile's ``smoke``; its ``sampling`` takes precedence.
        options: the engine's options; ``override-generation-config`` comes second.
        file: the checkpoint's generation_config.json, as locked; None if there is none.
    """
    for source, found in (
        ("the profile's smoke.sampling", smoke.get("sampling")),
        ("the profile's override-generation-config", options.get("override-generation-config")),
    ):
        if isinstance(found, dict) and (values := _values(found)):
            return Sampling(_taken(values, options), source)
    try:
        found = json.loads(file) if file is not None else None
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        return Sampling(GREEDY, f"greedy: the checkpoint has no readable {FILE}")
    if found.get("do_sample") is False:
        return Sampling(GREEDY, f"greedy: {FILE} has do_sample: false")
    values = _values(found)
    if not values:
        return Sampling(GREEDY, f"greedy: {FILE} has no temperature, or a value that vLLM rejects")
    return Sampling(_taken(values, options), FILE)


def _values(found: Mapping[str, Any]) -> dict[str, float]:
    """Return all parameters, or none: a part of a recommendation is a different one."""
    values = {name: found[name] for name in _LIMITS if found.get(name) is not None}
    sound = all(_within(value, *_LIMITS[name]) for name, value in values.items())
    return values if sound and "temperature" in values else {}


def _within(value: object, least: float, most: float) -> bool:
    number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    return number and least <= value <= most  # type: ignore[operator]  # a number


def _taken(values: dict[str, float], options: Mapping[str, Any]) -> dict[str, float]:
    """Return the values without those that the engine rejects."""
    if "speculative-config" not in options:
        return values
    return {name: value for name, value in values.items() if name != _SPECULATIVE_REFUSES}
