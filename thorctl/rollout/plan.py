"""The plan: order, releases, bytes and duration of a rollout; None is unknown."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any

from thorctl import __version__
from thorctl.errors import ThorError
from thorctl.inventory.pattern import shortened
from thorctl.protocol.identity import UNKNOWN, Identity
from thorctl.result import Problem
from thorctl.rollout.model.waves import PlannedWave, waves

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

    from thorctl.rollout.model.waves import Candidate
    from thorctl.rollout.policy import Policy

CANARY = 1  # the number of the canary's wave


@dataclass(frozen=True, slots=True)
class Seen:
    """A device's answers when the plan was made.

    Attributes:
        reached: whether it answered.
        state, release: of its journal.
        ready: whether its engine serves.
        download_bytes: bytes that staging would fetch.
        hold: the reason of its hold; None = there is none.
        layouts: the release layouts that its agent reads; None = no answer.
        conflict: another document with the release's id is on it.
        remarks: obstacles as text: a hold, a lease, a failed check, an error.
        identity: the machine that answered.
        same_as: another inventory name under which this machine counts.
    """

    reached: bool = False
    state: str | None = None
    release: str | None = None
    ready: bool | None = None
    download_bytes: int | None = None
    hold: str | None = None
    layouts: tuple[int, ...] | None = None
    conflict: bool = False
    remarks: tuple[str, ...] = ()
    identity: Identity = UNKNOWN
    same_as: str | None = None

    def has(self, release: str) -> bool:
        """Return whether ``release`` is committed on it and serves: nothing is left to do."""
        there = self.state == "committed" and self.release == release
        return there and not self.conflict and self.ready is True


@dataclass(frozen=True, slots=True)
class Rates:
    """The last measurements of a device; None = never measured."""

    bytes_per_second: float | None = None
    switch_seconds: float | None = None  # from the activation's begin until the engine is ready
    smoke_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class PlannedDevice:
    """One device of the plan.

    Attributes:
        opens_at: when its maintenance window next allows a change; None = any time.
        agent: version of the agent that the device needs first; None = its own reads the release.
        machine, serial: the machine that answered when the plan was made; None = unknown.
        keep_failed_seconds: length of the review of a first release that fails its smoke test; 0: none.
    """

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
    agent: str | None = None
    memory_bytes: int | None = None
    machine: str | None = None
    serial: str | None = None
    keep_failed_seconds: int = 0

    @property
    def identity(self) -> Identity:
        """The machine that answered when the plan was made."""
        return Identity(None, self.machine, self.serial)


@dataclass(frozen=True, slots=True)
class Plan:
    """The actions of a rollout, planned at ``at``.

    ``seconds``: the total duration; None if a device was never measured: see ``least_seconds``.
    ``token``: distinguishes the rollout from one of the same id in another state folder; assigned at its
    begin, and empty for one of an earlier version.
    """

    at: str
    policy: str
    waves: tuple[PlannedWave, ...]
    devices: tuple[PlannedDevice, ...]
    there: tuple[str, ...] = ()  # devices that serve the release already: unchanged
    download_bytes: int | None = None
    stage_seconds: float | None = None
    seconds: float | None = None
    least_seconds: float | None = None
    schema: int = field(default=1)
    same: tuple[tuple[str, str], ...] = ()  # excluded names, and the names under which their machines count
    token: str = ""

    def document(self) -> dict[str, Any]:
        """Return the plan as plain JSON data."""
        return asdict(self)

    @property
    def outdated(self) -> list[str]:
        """Devices whose agent has to be updated before the rollout can begin."""
        return [one.name for one in self.devices if one.agent]

    def release_of(self, device: str) -> str:
        """Return the target release of a device."""
        return next(one.release for one in self.devices if one.name == device)


def agent_too_old(names: Sequence[str]) -> Problem:
    """Return the error of devices whose agent cannot take part in a rollout of their release."""
    agents, them = ("The agent of", "it") if len(names) == 1 else ("The agents of", "them")
    return Problem(
        "agent_too_old",
        f"{agents} {shortened(list(names))} cannot take part in a rollout of this release.",
        f"Update {them} first: cd playbooks && ansible-playbook site.yml --limit {','.join(names)}. What the "
        "devices serve stays as it is.",
        names[0] if len(names) == 1 else None,
    )


def make(
    candidates: Sequence[Candidate],
    policy: Policy,
    seen: Mapping[str, Seen],
    rates: Mapping[str, Rates],
    now: datetime,
) -> Plan:
    """Return the plan for these devices, in the inventory's order. Deterministic.

    Raises:
        ThorError: ``policy_*`` if the policy does not fit this fleet.
    """
    same = {name: look.same_as for name, look in seen.items() if look.same_as}
    _check_same(candidates, same)
    candidates = [one for one in candidates if one.name not in same]
    there = [one.name for one in candidates if seen.get(one.name, Seen()).has(one.release)]
    left = [one for one in candidates if one.name not in there]
    devices = {one.name: _device(one, policy, seen, rates, now) for one in left}
    timed = tuple(_timed(wave, policy, devices) for wave in waves(policy, left, candidates))
    stage = together([one.stage_seconds for one in devices.values()], policy.stage_parallel)
    return Plan(
        at=now.isoformat(timespec="seconds"),
        policy=policy.name,
        waves=timed,
        devices=tuple(devices.values()),
        there=tuple(there),
        download_bytes=_sum([one.download_bytes for one in devices.values()]),
        stage_seconds=stage,
        seconds=_sum([stage, *(wave.seconds for wave in timed)]),
        least_seconds=_least(timed, devices, policy),
        same=tuple(same.items()),
    )


def _check_same(candidates: Sequence[Candidate], same: Mapping[str, str]) -> None:
    """Reject two names of one machine with different target releases."""
    releases = {one.name: one.release for one in candidates}
    for name, counted in same.items():
        if releases[name] != releases[counted]:
            raise ThorError(
                "machine_twice",
                f"{name} and {counted} are one machine, and are to get different releases.",
                f"Remove one of the two names from the inventory, or leave it out: --limit 'all,!{name}'.",
            )


def from_document(document: Mapping[str, Any]) -> Plan:
    """Read a plan from the store's document."""
    waves = [PlannedWave(**{**one, "devices": tuple(one["devices"])}) for one in document["waves"]]
    devices = [PlannedDevice(**{**one, "remarks": tuple(one["remarks"])}) for one in document["devices"]]
    same = tuple((name, counted) for name, counted in document.get("same", ()))
    whole = {
        "waves": tuple(waves),
        "devices": tuple(devices),
        "there": tuple(document["there"]),
        "same": same,
    }
    return Plan(**{**document, **whole})


def together(seconds: Sequence[float | None], lanes: int) -> float | None:
    """Return the duration of jobs begun in this order, ``lanes`` at once; None if one is unknown."""
    known = [one for one in seconds if one is not None]
    if len(known) < len(seconds):
        return None
    ends = [0.0] * lanes
    for one in known:
        ends[ends.index(min(ends))] += one
    return max(ends)


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
        agent=__version__ if look.layouts is not None and one.layout not in look.layouts else None,
        memory_bytes=one.memory_bytes,
        machine=look.identity.machine,
        serial=look.identity.serial,
        keep_failed_seconds=one.keep_failed_seconds,
    )


def _timed(wave: PlannedWave, policy: Policy, devices: Mapping[str, PlannedDevice]) -> PlannedWave:
    changes = together([devices[name].change_seconds for name in wave.devices], policy.parallel)
    seconds = None if changes is None else changes + wave.soak_seconds
    return replace(wave, seconds=seconds)


def _least(waves: Sequence[PlannedWave], devices: Mapping[str, PlannedDevice], policy: Policy) -> float:
    """Return the duration for the devices with known times, soaks included."""

    def known(seconds: Iterable[float | None], lanes: int) -> float:
        return together([one for one in seconds if one is not None], lanes) or 0.0

    staged = known((one.stage_seconds for one in devices.values()), policy.stage_parallel)
    return staged + sum(
        known((devices[name].change_seconds for name in wave.devices), policy.parallel) + wave.soak_seconds
        for wave in waves
    )


def _quotient(size: int | None, rate: float | None) -> float | None:
    if size == 0:
        return 0.0
    return size / rate if size is not None and rate else None


def _sum(values: Sequence[Any]) -> Any:
    """Return the sum; None if a value is unknown."""
    return None if any(value is None for value in values) else sum(values)
