"""Where a rollout stands: what the lines of its log add up to. Pure: ``fold`` one line after the other.

A running engine and one that takes over after a ``kill -9`` get their state in this one way.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from thorctl.rollout import outcome, plan
from thorctl.rollout.device import PREPARED, Device, Phase
from thorctl.rollout.gate import Count
from thorctl.rollout.plan import Plan, PlannedWave
from thorctl.rollout.policy import Policy, from_document
from thorctl.rollout.rules import Ended, Rules
from thorctl.store.rollouts import STEP_BEGUN, STEP_ENDED, Line, Rollout

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

# Stopping one engine and starting another, twice (there and back), beside the release's own time for it.
SWITCH_SECONDS = 1200
SMOKE_SECONDS = 1800  # the longest a smoke test is waited for
# Between two verbs of ours: other devices' answers, a busy controller, a commit that is said again.
SLACK_SECONDS = 600


@dataclass(frozen=True, slots=True)
class Brief:
    """What does not change while a rollout runs."""

    id: str
    holder: str
    plan: Plan
    policy: Policy
    activate_seconds: Mapping[str, int]  # release -> the longest an activation of it may take


@dataclass(frozen=True, slots=True)
class State:
    """Where a rollout stands.

    Attributes:
        devices: by name, in the plan's order.
        waves: the plan's, and those that caught up absent devices.
        wave: the number of the last wave that was opened; 0 = staging.
        wave_open: whether it still is.
        closed_at: when the last wave was closed, or this run began.
        approved: numbers of waves that a person let go on.
        asked: the wave that waits for a person.
        paused, stopped, ended: why, or how; None = not.
        returns: whether committed devices return, too.
        aborted: whether it was a person who stopped it.
        over_hold: device -> the reason of its hold that an operator passes over.
        waiting: why no wave opens though nothing is under way, and since when.
        open: device -> its step that has begun and not ended.
        run: the process that is at work.
        last: id of the last line.
    """

    brief: Brief
    devices: Mapping[str, Device]
    waves: Mapping[int, PlannedWave]
    wave: int = 0
    wave_open: bool = False
    closed_at: float = 0.0
    approved: frozenset[int] = frozenset()
    asked: int | None = None
    paused: str | None = None
    stopped: str | None = None
    returns: bool = False
    aborted: bool = False
    over_hold: Mapping[str, str] = field(default_factory=dict)
    waiting: tuple[str, float] | None = None
    ended: str | None = None
    open: Mapping[str, Line] = field(default_factory=dict)
    run: str | None = None
    last: int = 0

    def wave_of(self, device: str) -> PlannedWave | None:
        """The last wave that the device is in."""
        return next((wave for wave in reversed(list(self.waves.values())) if device in wave.devices), None)

    @property
    def current(self) -> PlannedWave | None:
        """The wave that was opened last."""
        return self.waves.get(self.wave)

    def count(self, names: Iterable[str] | None = None) -> Count:
        """How these devices stand, or all."""
        chosen = [self.devices[name] for name in names] if names is not None else list(self.devices.values())
        well = sum(one.phase is Phase.DONE for one in chosen)
        failed = sum(one.counts_as_failed for one in chosen)
        absent = sum(one.phase is Phase.ABSENT for one in chosen)
        unfit = sum(one.phase is Phase.FAILED and not one.activations for one in chosen)
        return Count(well, failed, absent, len(chosen) - well - failed - absent, unfit)

    def rules(self, device: str) -> Rules:
        """What the device is judged by."""
        policy, wave = self.brief.policy, self.wave_of(device)
        return Rules(
            holder=self.brief.holder,
            soak_seconds=wave.soak_seconds if wave else policy.soak_seconds,
            activate_seconds=self.brief.activate_seconds[self.devices[device].target],
            speed=policy.speed,
            wait=policy.wait,
            stopped=self.stopped is not None,
            returns=self.returns,
            over_hold=self.over_hold.get(device),
        )


def begin(rollout: Rollout) -> State:
    """The state before the first line."""
    planned = plan.from_document(rollout.plan)
    limits = {name: _activate_seconds(document) for name, document in rollout.releases.items()}
    policy = from_document(dict(rollout.policy), f"rollout {rollout.id}")
    brief = Brief(rollout.id, rollout.began_by, planned, policy, limits)
    return State(
        brief,
        devices={one.name: Device(one.name, one.release) for one in planned.devices},
        waves={wave.number: wave for wave in planned.waves},
    )


def _activate_seconds(document: Mapping[str, Any]) -> int:
    ready = document["profile"]["ready"]
    return int(ready["first_start_seconds"]) + int(ready["start_seconds"]) + SWITCH_SECONDS


def fold(state: State, lines: Iterable[Line]) -> State:
    """The state after these lines."""
    for line in lines:
        state = replace(_fold_one(state, line), last=line.id)
    return state


def seconds(at: str) -> float:
    """An RFC 3339 time as seconds since the epoch."""
    return datetime.fromisoformat(at).timestamp()


def text(at: float) -> str:
    """Seconds since the epoch as RFC 3339, UTC, with milliseconds."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds")


def _fold_one(state: State, line: Line) -> State:
    if line.kind == STEP_BEGUN and line.device:
        device = state.devices[line.device]
        at, limit = seconds(line.at), int(line.data.get("seconds") or 0)
        after = outcome.begun(device, str(line.verb), at, limit)
        return _with(replace(state, open={**state.open, line.device: line}), after)
    if line.kind == STEP_ENDED and line.device:
        rest = {name: one for name, one in state.open.items() if name != line.device}
        after = outcome.ended(
            state.devices[line.device], str(line.verb), ended_of(line), state.rules(line.device)
        )
        return _with(replace(state, open=rest), after)
    return _EVENTS.get(line.kind, _note)(state, line)


def ended_of(line: Line) -> Ended:
    """A step's end as its line tells it."""
    return Ended(
        at=seconds(line.at),
        ok=line.ok is True,
        reached=line.data.get("reached") is not False,
        code=line.code or "",
        message=line.message,
        data=_object(line.data.get("data")),
        details=_object(line.data.get("details")),
    )


def _object(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _with(state: State, device: Device) -> State:
    return replace(state, devices={**state.devices, device.name: device})


def _each(state: State, change: Callable[[Device], Device]) -> State:
    return replace(state, devices={name: change(one) for name, one in state.devices.items()})


def _resumed(state: State, line: Line) -> State:
    """Another process takes over: steps of the one before, whose end nobody saw, are in doubt."""
    devices = dict(state.devices)
    for name, begun in state.open.items():
        devices[name] = outcome.interrupted(devices[name], str(begun.verb))
    fresh = {name: outcome.resumed(one, seconds(line.at)) for name, one in devices.items()}
    return replace(
        state,
        devices=fresh,
        open={},
        paused=None,
        waiting=None,
        ended=None,
        run=line.run,
        closed_at=seconds(line.at),
    )


def _paused(state: State, line: Line) -> State:
    """Nothing begins any more; a device that is prepared and not activated is let go."""
    let_go = _each(state, lambda one: replace(one, phase=Phase.STAGED) if one.phase in PREPARED else one)
    return replace(let_go, paused=line.message or "paused", waiting=None)


def _stopped(state: State, line: Line) -> State:
    returns = state.returns or line.data.get("returns") is True
    after = _each(state, lambda one: outcome.stopped(one, returns=returns))
    aborted = state.aborted or line.kind == "aborted"
    return replace(
        after,
        stopped=line.message or line.kind,
        returns=returns,
        aborted=aborted,
        paused=None,
        waiting=None,
        asked=None,
    )


def _wave_opened(state: State, line: Line) -> State:
    number = line.wave or 0
    waves = dict(state.waves)
    if number not in waves:  # one that catches up
        names = tuple(line.data["devices"])
        policy = state.brief.policy
        waves[number] = PlannedWave(
            number, "catch-up", names, policy.soak_seconds, policy.success_percent, approval=False
        )
    return replace(state, waves=waves, wave=number, wave_open=True, asked=None, waiting=None)


def _wave_closed(state: State, line: Line) -> State:
    return replace(state, wave_open=False, closed_at=seconds(line.at), waiting=None)


def _waiting(state: State, line: Line) -> State:
    return replace(state, waiting=(line.message, seconds(line.at)))


def _asked(state: State, line: Line) -> State:
    return replace(state, asked=line.wave)


def _approved(state: State, line: Line) -> State:
    return replace(state, approved=state.approved | {line.wave or 0}, asked=None)


def _over_hold(state: State, line: Line) -> State:
    """An operator passes over the hold of a device: over this one, not over another that comes later."""
    name, hold = str(line.device), str(line.data.get("hold"))
    device = state.devices.get(name)
    if device is None:
        return state
    at_once = replace(device, due=0.0) if device.phase in {Phase.HELD, Phase.ABSENT} else device
    return _with(replace(state, over_hold={**state.over_hold, name: hold}), at_once)


def _ended(state: State, line: Line) -> State:
    return replace(state, ended=line.message)


def _note(state: State, line: Line) -> State:  # noqa: ARG001 - as all of them
    return state


_EVENTS: dict[str, Callable[[State, Line], State]] = {
    "started": _resumed,
    "resumed": _resumed,
    "paused": _paused,
    "stopped": _stopped,
    "aborted": _stopped,
    "wave_opened": _wave_opened,
    "wave_closed": _wave_closed,
    "waiting": _waiting,
    "asked": _asked,
    "approved": _approved,
    "over_hold": _over_hold,
    "ended": _ended,
}
