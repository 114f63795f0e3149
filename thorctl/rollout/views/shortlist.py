"""Which devices a screen shows that has no room for all: those that something happens to. Pure."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from thorctl.rollout.model.phases import PREPARED, UNFINISHED, Phase

if TYPE_CHECKING:
    from thorctl.rollout.model.device import Device
    from thorctl.rollout.model.state import State

_AT_IT = PREPARED | UNFINISHED
_TROUBLE = frozenset({Phase.FAILED, Phase.IN_REVIEW, Phase.UNREACHABLE, Phase.ROLLBACK_FAILED})
_AWAY = frozenset({Phase.ABSENT, Phase.HELD})


def shortlist(state: State, room: int) -> tuple[list[Device], str]:
    """At most ``room`` devices, in the order of their waves, and the others in words; empty where all fit."""
    devices = state.in_order
    if len(devices) <= room:
        return devices, ""
    # One line goes to the words.
    chosen = {one.name for one in sorted(devices, key=lambda one: _rank(state, one))[: max(room - 1, 1)]}
    left = [one for one in devices if one.name not in chosen]
    phases = Counter(one.phase.value for one in left)
    words = ", ".join(f"{count} {phase}" for phase, count in phases.most_common())
    return [one for one in devices if one.name in chosen], f"and {len(left)} more: {words}"


def _rank(state: State, one: Device) -> int:
    if one.name in state.open or one.phase in _AT_IT:
        return 0
    if one.phase in _TROUBLE:
        return 1
    if one.phase in _AWAY:
        return 2
    wave = state.wave_of(one.name)
    return 3 if not one.settled and wave is not None and wave.number == state.wave else 4
