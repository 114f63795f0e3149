"""Summarise a rollout's state, as text and as JSON data."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from thorctl.result import Exit, Problem
from thorctl.rollout.model import soak as soaks
from thorctl.rollout.model.outcomes import REVIEW_WAYS
from thorctl.rollout.model.phases import Phase
from thorctl.ui.printable import one_line

if TYPE_CHECKING:
    from thorctl.rollout.model.device import Device
    from thorctl.rollout.model.gates import Count
    from thorctl.rollout.model.state import State
    from thorctl.store.rollouts import Rollout

_BAD = frozenset({Phase.FAILED, Phase.UNREACHABLE, Phase.ROLLBACK_FAILED})


def standing(state: State, *, at_work: bool) -> str:
    """Return the state in one or a few words: ``running``, ``paused``, ``finished`` and so on."""
    if state.ended:
        return state.ended
    if state.paused:
        return "paused"
    if state.asked is not None:
        return "waits for approval"
    if not at_work:
        return "interrupted"
    return "stopping" if state.stopped else "running"


def reason(state: State) -> str:
    """Return the reason of the state; '' if its words suffice."""
    if state.stopped:
        return state.stopped
    if state.paused:
        return state.paused
    if state.asked is not None:
        return f"wave {state.asked} ({state.waves[state.asked].name})"
    # A wait is over once a step of the wave is in progress again.
    wave = state.current
    if state.waiting and not (wave and state.count(wave.devices).still):
        return state.waiting[0]
    return ""


def next_command(rollout: str, state: State, *, at_work: bool) -> str | None:
    """Return the command that continues the rollout; None if there is none."""
    if state.asked is not None:
        return f"thorctl rollout approve {rollout}"
    unfinished = state.ended in {
        "incomplete",
        "stopped, with devices that need attention",
        "aborted, with devices that need attention",
    }
    if unfinished or (not state.ended and (state.paused or not at_work)):
        return f"thorctl rollout resume {rollout}"
    return None


def as_json(rollout: Rollout, state: State, *, at_work: bool) -> dict[str, Any]:
    """Return the data of ``rollout status --json``."""
    count = state.count()
    return {
        "id": rollout.id,
        "label": rollout.label,
        "began_at": rollout.began_at,
        "began_by": rollout.began_by,
        "policy": state.brief.policy.name,
        "status": standing(state, at_work=at_work),
        "reason": reason(state),
        "wave": state.wave,
        "waves": [_wave(state, number) for number in state.waves],
        "devices": [device_json(state, one) for one in state.devices.values()],
        "there": list(state.brief.plan.there),
        "counts": _counts(count),
        "next": next_command(rollout.id, state, at_work=at_work),
    }


def device_json(state: State, one: Device) -> dict[str, Any]:
    """Return the data of one device."""
    wave = state.wave_of(one.name)
    return {
        "name": one.name,
        "wave": wave.number if wave else None,
        "phase": one.phase.value,
        "before": one.before,
        "release": one.target,
        "why": one.why,
        "tokens_per_second": one.speed,
        "tokens_per_second_before": one.baseline,
        "activations": one.activations,
        "soak": soaks.document(one.soak) if one.soak else None,
    }


def _wave(state: State, number: int) -> dict[str, Any]:
    wave = state.waves[number]
    return {
        "number": number,
        "name": wave.name,
        "state": wave_state(state, number),
        "devices": list(wave.devices),
        "counts": _counts(state.count(wave.devices)),
    }


def _counts(count: Count) -> dict[str, int]:
    return {name: getattr(count, name) for name in ("well", "failed", "absent", "still")}


def wave_state(state: State, number: int) -> str:
    """Return ``open``, ``done``, ``waits``, or ``not begun`` in a stopped rollout."""
    if number < state.wave or (number == state.wave and not state.wave_open):
        return "done"
    if number == state.wave:
        return "stopped" if state.stopped else "open"
    return "not begun" if state.stopped else "waits"


def problems(state: State) -> tuple[Problem, ...]:
    """Return the problems that need an operator, device by device."""
    remedy = (
        "Read its steps with `thorctl history show {} {}`, and the device's own events with "
        "`thorctl logs {} --events`."
    )
    found = [
        Problem(
            "device_failed", one_line(one.why), remedy.format(state.brief.id, one.name, one.name), one.name
        )
        for one in state.devices.values()
        if one.phase in _BAD
    ]
    kept = [
        Problem(
            "device_kept_for_review",
            one_line(one.why),
            f"Try it with `thorctl chat {one.name}`. {REVIEW_WAYS.format(one.name)}.",
            one.name,
        )
        for one in state.devices.values()
        if one.phase is Phase.IN_REVIEW
    ]
    absent = [
        Problem(
            "device_absent",
            one_line(one.why),
            f"Update it when it responds: `thorctl rollout resume {state.brief.id}`.",
            one.name,
        )
        for one in state.devices.values()
        if one.phase is Phase.ABSENT
    ]
    return (*found, *kept, *absent)


def exit_code(state: State) -> int:
    """Return 0 if all is done and healthy, 1 if stopped or aborted, 3 if devices are left or failed."""
    if state.ended and (state.stopped or state.aborted):
        return Exit.ERROR
    if state.ended == "finished" and not state.count().failed:
        return Exit.SUCCESS
    return Exit.PARTIAL
