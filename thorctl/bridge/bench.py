"""What `thor-agent bench` found, as the lines a playbook shows."""

from __future__ import annotations

import shlex
from typing import Any


def lines(data: dict[str, Any]) -> list[str]:
    """The figures of a run; of a dry run what would be run."""
    if "measured" not in data:
        return ["would run, in the engine's container:", *map(shlex.join, data["method"]["commands"])]
    found, before = data["measured"], data["before"]
    locked = {True: "clocks locked", False: "clocks not locked", None: "clocks not known"}
    said = [
        f"{data['release']}: one stream {_speed(found['single'])}, "
        f"first token after {found['single']['ttft_median_ms']:.0f} ms",
        f"×{found['identical']['at_once']}, the same prompt {_speed(found['identical'])}, "
        f"different prompts {_speed(found['different'])}",
        f"{before['power_mode'] or 'power mode not known'}, {locked[before['clocks_locked']]}",
    ]
    share = (data.get("roofline") or {}).get("share")
    if share is not None:
        said[0] += f", {share:.0%} of what the memory's bandwidth allows"
    return said


def _speed(figures: dict[str, Any]) -> str:
    return f"{figures['decode_tokens_per_second']:.1f} tok/s"
