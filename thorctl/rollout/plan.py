"""The plan: who changes when, from what to what, with how many bytes, in how long. Pure; unknown is None."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from thorctl.errors import ThorError
from thorctl.fleet_pattern import shortened

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime

    from thorctl.rollout.policy import Policy, Wave

CANARY = 1  # the number of the canary's wave


@dataclass(frozen=True, slots=True)
class Candidate:
    """A device that the rollout is about; ``release`` is the one it is to get."""

    name: str
    release: str
    site: str | None = None
    labels: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Seen:
    """What a device said when the plan was made.

    Attributes:
        reached: whether it could be asked.
        state, release: of its journal.
        ready: whether its engine serves.
        download_bytes: what staging would fetch.
        hold: the reason of its hold; None = it does not hold.
        remarks: what stands in the way: a hold, a lease, a failed check, an error; in words.
    """

    reached: bool = False
    state: str | None = None
    release: str | None = None
    ready: bool | None = None
    download_bytes: int | None = None
    hold: str | None = None
    remarks: tuple[str, ...] = ()

    def has(self, release: str) -> bool:
        """Whether ``release`` is committed on it and serves: nothing is left to do."""
        return self.state == "committed" and self.release == release and self.ready is True


@dataclass(frozen=True, slots=True)
class Rates:
    """What was last measured on a device; None = never."""

    bytes_per_second: float | None = None
    switch_seconds: float | None = None  # from the activation's begin until the engine is ready
    smoke_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class PlannedDevice:
    """One device of the plan. ``opens_at``: when its maintenance window lets it change; None = any time."""

    name: str
    site: str | None
    before: str | None
    release: str
    reached: bool
    download_bytes: int | None
    stage_seconds: float | None
    change_seconds: float | None
    opens_at: str | None
    remarks: tuple[str, ...] = ()
    hold: str | None = None


@dataclass(frozen=True, slots=True)
class PlannedWave:
    """One wave. ``seconds``: from its first activation to the end of its last soak."""

    number: int
    name: str
    devices: tuple[str, ...]
    soak_seconds: int
    success_percent: float
    approval: bool  # whether a person must say yes before it
    seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """What a rollout would do, seen from ``at``."""

    at: str
    policy: str
    waves: tuple[PlannedWave, ...]
    devices: tuple[PlannedDevice, ...]
    there: tuple[str, ...] = ()  # those that serve the release already: left alone
    download_bytes: int | None = None
    stage_seconds: float | None = None
    seconds: float | None = None
    schema: int = field(default=1)

    def document(self) -> dict[str, Any]:
        """As plain JSON data."""
        return asdict(self)

    def release_of(self, device: str) -> str:
        """The release that a device of the plan is to get."""
        return next(one.release for one in self.devices if one.name == device)


def make(
    candidates: Sequence[Candidate],
    policy: Policy,
    seen: Mapping[str, Seen],
    rates: Mapping[str, Rates],
    now: datetime,
) -> Plan:
    """The plan for these devices, in the inventory's order. The same arguments give the same plan.

    Raises:
        ThorError: ``policy_*`` where the policy does not fit this fleet.
    """
    there = [one.name for one in candidates if seen.get(one.name, Seen()).has(one.release)]
    left = [one for one in candidates if one.name not in there]
    _check_errors(policy, len(left))
    devices = {one.name: _device(one, policy, seen, rates, now) for one in left}
    waves = tuple(_timed(wave, policy, devices) for wave in _waves(policy, left, candidates))
    stage = together([one.stage_seconds for one in devices.values()], policy.stage_parallel)
    return Plan(
        at=now.isoformat(timespec="seconds"),
        policy=policy.name,
        waves=waves,
        devices=tuple(devices.values()),
        there=tuple(there),
        download_bytes=_sum([one.download_bytes for one in devices.values()]),
        stage_seconds=stage,
        seconds=_sum([stage, *(wave.seconds for wave in waves)]),
    )


def from_document(document: Mapping[str, Any]) -> Plan:
    """A plan as the store keeps it."""
    waves = [PlannedWave(**{**one, "devices": tuple(one["devices"])}) for one in document["waves"]]
    devices = [PlannedDevice(**{**one, "remarks": tuple(one["remarks"])}) for one in document["devices"]]
    whole = {"waves": tuple(waves), "devices": tuple(devices), "there": tuple(document["there"])}
    return Plan(**{**document, **whole})


def together(seconds: Sequence[float | None], lanes: int) -> float | None:
    """How long jobs of these lengths take, begun in this order, ``lanes`` at once; None if one is unknown."""
    known = [one for one in seconds if one is not None]
    if len(known) < len(seconds):
        return None
    ends = [0.0] * lanes
    for one in known:
        ends[ends.index(min(ends))] += one
    return max(ends)


def _check_errors(policy: Policy, fleet: int) -> None:
    cap, percent = policy.errors.stop_at_devices, policy.errors.stop_at_percent
    if fleet and percent is None and cap is not None and cap > fleet:
        raise ThorError(
            "policy_never_stops",
            f"Policy {policy.name} stops at {cap} failed devices, but only {fleet} would change.",
            f"Set errors.stop_at_devices to {fleet} or less, or add errors.stop_at_percent.",
            exit_code=2,
        )


def _device(
    one: Candidate,
    policy: Policy,
    seen: Mapping[str, Seen],
    rates: Mapping[str, Rates],
    now: datetime,
) -> PlannedDevice:
    calendar = policy.calendar(one.site)
    opens = calendar.opens(now) if calendar else None
    look, rate = seen.get(one.name, Seen()), rates.get(one.name, Rates())
    remarks = look.remarks
    if calendar and opens is None:
        remarks = (*remarks, "its maintenance window does not open within two weeks")
    return PlannedDevice(
        name=one.name,
        site=one.site,
        before=look.release,
        release=one.release,
        reached=look.reached,
        download_bytes=look.download_bytes,
        stage_seconds=_quotient(look.download_bytes, rate.bytes_per_second),
        change_seconds=_sum([rate.switch_seconds, rate.smoke_seconds]),
        opens_at=opens.isoformat(timespec="minutes") if opens and opens > now else None,
        remarks=remarks,
        hold=look.hold,
    )


def _waves(policy: Policy, left: Sequence[Candidate], everybody: Sequence[Candidate]) -> list[PlannedWave]:
    """Every wave that has somebody in it, and nobody left out.

    Raises:
        ThorError: ``policy_empty_canary``, ``policy_canary_is_all``, ``policy_leaves_out``,
            ``policy_selector``.
    """
    if not left:
        return []
    open_devices = _ordered(left, policy.order)
    waves: list[PlannedWave] = []

    def add(wave: Wave, name: str, chosen: Sequence[Candidate]) -> None:
        soak = policy.soak_seconds if wave.soak_seconds is None else wave.soak_seconds
        success = 100.0 if not waves else wave.success_percent or policy.success_percent
        asks = policy.approve == "each_wave" or (policy.approve == "after_canary" and len(waves) == 1)
        names = tuple(one.name for one in chosen)
        waves.append(PlannedWave(len(waves) + 1, name, names, soak, success, bool(waves) and asks))
        for one in chosen:
            open_devices.remove(one)

    canary = _chosen(policy, policy.canary, open_devices, left, everybody)
    if not canary:
        raise _empty(policy, len(left))
    if len(canary) == len(left) > 1:
        raise ThorError(
            "policy_canary_is_all",
            f"The canary of policy {policy.name} ({policy.canary.words}) takes all {len(left)} devices.",
            "Choose fewer: `canary: {count: 1}`.",
            exit_code=2,
        )
    add(policy.canary, "canary", canary)
    for wave in policy.waves:
        if wave.each:
            for site in dict.fromkeys(one.site for one in open_devices):
                add(wave, f"site {site or '(none)'}", [one for one in open_devices if one.site == site])
            continue
        if not open_devices:
            break
        chosen = _chosen(policy, wave, open_devices, left, everybody)
        if chosen:  # nobody: all went before, are there already, or the share of a small fleet is none
            add(wave, wave.words, chosen)
    if open_devices:
        raise ThorError(
            "policy_leaves_out",
            f"No wave of policy {policy.name} takes {shortened([one.name for one in open_devices])}.",
            "Add a last wave `{rest: true}`, or name the devices to leave out: 'all,!NAME'.",
            exit_code=2,
        )
    return waves


def _chosen(
    policy: Policy,
    wave: Wave,
    open_devices: Sequence[Candidate],
    left: Sequence[Candidate],
    everybody: Sequence[Candidate],
) -> list[Candidate]:
    """Those of ``open_devices`` that ``wave`` takes, in their order."""
    if wave.rest:
        return list(open_devices)
    if wave.count is not None:
        return list(open_devices[: wave.count])
    if wave.percent is not None:
        # Rounded first: 33.3 % of 3000 is 999, though floating point makes it a little less.
        return list(open_devices[: math.floor(round(len(left) * wave.percent / 100, 6))])

    def meant(one: Candidate) -> bool:
        if wave.devices is not None:
            return one.name in wave.devices
        return one.site == wave.site if wave.site is not None else wave.label in one.labels

    missing = set(wave.devices or ()) - {one.name for one in everybody}
    if missing or not any(meant(one) for one in everybody):
        what = f"device {min(missing)!r}" if missing else f"device of {wave.words!r}"
        raise ThorError(
            "policy_selector",
            f"Policy {policy.name} has a wave for a {what}, which is not among the chosen devices.",
            f"Chosen are {shortened([one.name for one in everybody])}; correct the policy or the choice.",
            exit_code=2,
        )
    return [one for one in open_devices if meant(one)]


def _empty(policy: Policy, fleet: int) -> ThorError:
    canary = policy.canary
    if canary.percent is None:
        why = "has nothing to change: it is there already"
        remedy = "Choose a canary among the devices that change."
    else:
        why = f"would be empty: {canary.percent:g} % of {fleet} rounds down to 0"
        remedy = "Say `count: 1`, or a larger percent."
    message = f"The canary of policy {policy.name} ({canary.words}) {why}."
    return ThorError("policy_empty_canary", message, remedy, exit_code=2)


def _ordered(left: Sequence[Candidate], order: str) -> list[Candidate]:
    keys: dict[str, Callable[[Candidate], Any]] = {
        "name": lambda one: one.name,
        "site": lambda one: one.site or "",
    }
    return sorted(left, key=keys[order]) if order in keys else list(left)


def _timed(wave: PlannedWave, policy: Policy, devices: Mapping[str, PlannedDevice]) -> PlannedWave:
    changes = together([devices[name].change_seconds for name in wave.devices], policy.parallel)
    seconds = None if changes is None else changes + wave.soak_seconds
    return PlannedWave(
        wave.number, wave.name, wave.devices, wave.soak_seconds, wave.success_percent, wave.approval, seconds
    )


def _quotient(size: int | None, rate: float | None) -> float | None:
    if size == 0:
        return 0.0
    return size / rate if size is not None and rate else None


def _sum(values: Sequence[Any]) -> Any:
    """The sum; None if one is unknown."""
    return None if any(value is None for value in values) else sum(values)
