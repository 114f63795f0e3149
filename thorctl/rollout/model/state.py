"""The state of a rollout. ``rollout.journal.replay`` computes it from the recorded events."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from thorctl.protocol import canonical_json
from thorctl.protocol.identity import UNKNOWN, Identity
from thorctl.protocol.owner import Owner
from thorctl.protocol.verbs import VERBS
from thorctl.rollout import plan
from thorctl.rollout.model.device import Device
from thorctl.rollout.model.gates import Count
from thorctl.rollout.model.phases import PREPARED, UNFINISHED, Phase
from thorctl.rollout.model.rules import AUTOMATIC, Rules
from thorctl.rollout.policy import from_document

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from thorctl.rollout.model.waves import PlannedWave
    from thorctl.rollout.plan import Plan
    from thorctl.rollout.policy import Figures, Policy
    from thorctl.store.rollouts import Line, Rollout

_HELD = UNFINISHED | PREPARED | {Phase.UNREACHABLE}
# Stopping and starting an engine twice (activation and rollback), beside the release's own limit.
SWITCH_SECONDS = 1200
SMOKE_SECONDS = int(VERBS["smoke"].seconds)
# Between two of our verbs: other devices' answers, a busy controller, a repeated commit.
SLACK_SECONDS = 600


@dataclass(frozen=True, slots=True)
class Brief:
    """The constants of a rollout."""

    id: str
    holder: str
    plan: Plan
    policy: Policy
    activate_seconds: Mapping[str, int]  # release -> longest time of its activation
    layouts: Mapping[str, int] = field(default_factory=dict)  # release -> its layout
    hashes: Mapping[str, str] = field(default_factory=dict)  # release -> SHA-256 of its document
    sites: Mapping[str, str | None] = field(default_factory=dict)  # device -> its site
    identities: Mapping[str, Identity] = field(default_factory=dict)  # of devices, as planned
    work: Mapping[str, Figures] = field(default_factory=dict)  # release -> its load in the soak
    review_seconds: Mapping[str, int] = field(default_factory=dict)  # device -> as in Rules


@dataclass(frozen=True, slots=True)
class State:
    """The state of a rollout.

    Attributes:
        devices: by name, in the plan's order.
        waves: the plan's, and the catch-up waves.
        in_wave: device -> the number of its last wave.
        wave: the number of the last opened wave; 0 = staging.
        wave_open: whether it is open.
        closed_at: when the last wave was closed, or this run began.
        approved: numbers of waves that an operator approved.
        asked: the wave that waits for approval.
        paused, stopped, ended: reason or result; None = not.
        returns: whether committed devices are rolled back.
        aborted: whether an operator stopped it.
        over_hold: device -> the reason of its hold that an operator overrides.
        waiting: why no wave opens although nothing is in progress, and since when.
        open: device -> its step that has begun and not ended.
        run: the process that drives it.
        left: whether that process is ending and takes no further order.
        last: id of the last line.
    """

    brief: Brief
    devices: Mapping[str, Device]
    waves: Mapping[int, PlannedWave]
    in_wave: Mapping[str, int]
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
    left: bool = False
    last: int = 0

    def wave_of(self, device: str) -> PlannedWave | None:
        """Return the last wave of the device."""
        number = self.in_wave.get(device)
        return None if number is None else self.waves[number]

    @property
    def held(self) -> list[Device]:
        """Devices with our lease, on trial, rolling back or not observed since."""
        return [one for one in self.devices.values() if one.leased or one.phase in _HELD]

    @property
    def current(self) -> PlannedWave | None:
        """The wave that was opened last."""
        return self.waves.get(self.wave)

    @property
    def in_order(self) -> list[Device]:
        """The devices in the order of their waves; a caught-up one keeps its planned place."""
        names = dict.fromkeys(name for wave in self.waves.values() for name in wave.devices)
        return [self.devices[name] for name in names]

    def count(self, names: Iterable[str] | None = None) -> Count:
        """Count these devices, or all, by result."""
        chosen = [self.devices[name] for name in names] if names is not None else list(self.devices.values())
        well = sum(one.phase is Phase.UPDATED for one in chosen)
        failed = sum(one.counts_as_failed for one in chosen)
        absent = sum(one.phase is Phase.ABSENT for one in chosen)
        unfit = sum(one.phase is Phase.FAILED and not one.activations for one in chosen)
        return Count(well, failed, absent, len(chosen) - well - failed - absent, unfit)

    def rules(self, device: str) -> Rules:
        """Return the limits that the device is evaluated by."""
        policy, wave = self.brief.policy, self.wave_of(device)
        return Rules(
            holder=self.brief.holder,
            soak_seconds=wave.soak_seconds if wave else policy.soak_seconds,
            activate_seconds=self.brief.activate_seconds[self.devices[device].target],
            speed=policy.speed,
            wait=policy.wait,
            stopped=self.stopped is not None,
            returns=self.returns,
            lease=f"{AUTOMATIC}{self.brief.id} ({self.run})",
            over_hold=self.over_hold.get(device),
            layout=self.brief.layouts.get(self.devices[device].target, 1),
            sha256=self.brief.hashes.get(self.devices[device].target, ""),
            identity=self.brief.identities.get(device, UNKNOWN),
            work=self.brief.work.get(self.devices[device].target) if wave and wave.worked else None,
            pause_seconds=policy.work.pause_seconds if policy.work else 0,
            review_seconds=self.brief.review_seconds.get(device, 0),
        )


def begin(rollout: Rollout) -> State:
    """Return the state before the first line."""
    planned = plan.from_document(rollout.plan)
    limits = {name: activate_seconds(document) for name, document in rollout.releases.items()}
    policy = from_document(dict(rollout.policy), f"rollout {rollout.id}")
    layouts = {name: int(document.get("schema", 1)) for name, document in rollout.releases.items()}
    hashes = {
        name: canonical_json.release_sha256(dict(document)) for name, document in rollout.releases.items()
    }
    sites = {one.name: one.site for one in planned.devices}
    identities = {one.name: one.identity for one in planned.devices}
    classes = {
        name: document.get("device_class", {}).get("name") for name, document in rollout.releases.items()
    }
    work = {name: policy.work.of_class(of) for name, of in classes.items()} if policy.work else {}
    brief = Brief(
        id=rollout.id,
        holder=str(owner(rollout)),
        plan=planned,
        policy=policy,
        activate_seconds=limits,
        layouts=layouts,
        hashes=hashes,
        sites=sites,
        identities=identities,
        work=work,
        review_seconds={one.name: one.keep_failed_seconds for one in planned.devices},
    )
    return State(
        brief,
        devices={one.name: Device(one.name, one.release) for one in planned.devices},
        waves={wave.number: wave for wave in planned.waves},
        in_wave={name: wave.number for wave in planned.waves for name in wave.devices},
    )


def owner(rollout: Rollout) -> Owner:
    """Return the owner of a rollout's leases and trials; an earlier version recorded no purpose."""
    token = rollout.plan.get("token")
    return Owner(rollout.began_by, f"{AUTOMATIC}{rollout.id} {token}") if token else Owner(rollout.began_by)


def activate_seconds(document: Mapping[str, Any]) -> int:
    """Return the time limit of an activation of the release, its undoing included."""
    ready = document["profile"]["ready"]
    return int(ready["first_start_seconds"]) + int(ready["start_seconds"]) + SWITCH_SECONDS


def seconds(at: str) -> float:
    """Parse an RFC 3339 time to seconds since the epoch."""
    return datetime.fromisoformat(at).timestamp()


def text(at: float) -> str:
    """Format seconds since the epoch as RFC 3339, UTC, with milliseconds."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds")
