"""Format the result of `thor-agent bench` as lines for a playbook."""

from __future__ import annotations

import shlex
from typing import Any


def lines(data: dict[str, Any]) -> list[str]:
    """Return the figures of a run, or the commands of a dry run."""
    if "measured" not in data:
        return ["would run, in the engine's container:", *map(shlex.join, data["method"]["commands"])]
    found, before = data["measured"], data["before"]
    locked = {True: "clocks locked", False: "clocks not locked", None: "clocks unknown"}
    single, identical, different = (found[name] for name in ("single", "identical", "different"))
    first = (
        f"{data['release']}: one stream {_speed(single)}, first token after {single['ttft_median_ms']:.0f} ms"
    )
    share = (data.get("roofline") or {}).get("share")
    if share is not None:
        first += f", {share:.0%} of the limit by the memory's bandwidth"
    several = (
        f"×{identical['at_once']}, the same prompt {_speed(identical)}, different prompts {_speed(different)}"
    )
    power = f"{before['power_mode'] or 'power mode unknown'}, {locked[before['clocks_locked']]}"
    return [first, several, power]


def _speed(figures: dict[str, Any]) -> str:
    return f"{figures['decode_tokens_per_second']:.1f} tok/s"
