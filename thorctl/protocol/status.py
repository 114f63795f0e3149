"""Data of the verb ``status``: where a device stands. What the agent could not read is None."""

from __future__ import annotations

from thorctl.protocol.dataclass import dataclass
from thorctl.protocol.identity import Identity
from thorctl.protocol.lease import Hold, Lease
from thorctl.protocol.progress import Progress
from thorctl.protocol.states import CHANGING

RELEASE, HOST = "release", "host"  # scopes of a comparison


@dataclass(frozen=True)
class Container:
    """The engine's container."""

    image_digest: str | None = None


@dataclass(frozen=True)
class UnitEnd:
    """How a unit's last run ended, in systemd's words ($SERVICE_RESULT, $EXIT_CODE, $EXIT_STATUS)."""

    result: str
    code: str
    status: str


@dataclass(frozen=True, kw_only=True)
class Engine:
    """The engine.

    Attributes:
        unit: ActiveState of its unit, in systemd's words.
        ready: whether the engine of the release's own container serves the release's model.
        model: name under which it serves; None unless ready.
        socket: path of its socket; None where it listens on 127.0.0.1 (layout 1).
        container: None: there is none.
        restarts: by systemd, since its last deliberate start.
        last_end: how its last run since boot ended; None if it has not.
        cold_start_seconds: longest start whose compile caches are empty; None if they are filled.
    """

    unit: str | None = None
    ready: bool | None = None
    model: str | None = None
    socket: str | None = None
    container: Container | None = None
    restarts: int | None = None
    last_end: UnitEnd | None = None
    cold_start_seconds: float | None = None

    @property
    def word(self) -> str | None:
        """ready, starting, stopping, stopped or failed; None if systemd could not be asked."""
        if self.ready and self.unit == "active":
            return "ready"
        words = {"active": "starting", "activating": "starting", "deactivating": "stopping"}
        words |= {"inactive": "stopped", "failed": "failed"}
        return words.get(self.unit or "")


@dataclass(frozen=True)
class AcceptedSmoke:
    """The acceptance of a failed smoke test: reason, operator and time (RFC 3339)."""

    reason: str
    by: str
    at: str


@dataclass(frozen=True, kw_only=True)
class LastSmoke:
    """The last smoke test.

    Attributes:
        release: id of the release that was tested.
        passed: whether it passed.
        at: RFC 3339, UTC.
        tokens_per_second: median of its generations.
        failed_checks: names; None: by an earlier agent.
        accepted: None unless a failed one was accepted.
        activation: number of the activation that it is of; None: by an earlier agent.
    """

    release: str | None = None
    passed: bool | None = None
    at: str | None = None
    tokens_per_second: float | None = None
    failed_checks: tuple[str, ...] | None = None
    accepted: AcceptedSmoke | None = None
    activation: int | None = None


@dataclass(frozen=True, kw_only=True)
class Soak:
    """The soak of a trial.

    Attributes:
        activation: number of the trial's activation.
        release: id of the release on trial.
        state: running, done or failed.
        alive: whether its process still writes the record.
        reason: why it failed, or what stands in the way of its end.
        steps: decode steps so far: tokens of the engine by its own count, divided by the concurrency.
        steps_wanted: decode steps in all.
        concurrency: streams at once.
        minimum_steps_per_second: slower than this is a failure.
        steps_per_second: while its own streams ran; None: they have not yet.
        worked_seconds: in which its own streams ran.
        seconds: since its begin.
        paused_seconds: in which the work was put off.
        paused: why it is put off right now; None: it is not.
        generations: answers so far.
        failures: answers that failed.
        restarts: number of engine restarts; None if neither systemd nor Docker answers.
        xid: the GPU's errors in the kernel's log; None where that log cannot be read.
    """

    release: str
    state: str
    steps: int
    steps_wanted: int
    alive: bool = False
    activation: int | None = None
    reason: str | None = None
    concurrency: int | None = None
    minimum_steps_per_second: float | None = None
    steps_per_second: float | None = None
    worked_seconds: float | None = None
    seconds: float | None = None
    paused_seconds: float | None = None
    paused: str | None = None
    generations: int | None = None
    failures: int | None = None
    restarts: int | None = None
    xid: tuple[str, ...] | None = None

    @property
    def seconds_left(self) -> float | None:
        """Seconds until its last step at this rate; None where that is unknown, or the work is put off."""
        if self.state == "done":
            return 0.0
        if self.paused or not self.steps_per_second or self.state != "running":
            return None
        return max(0, self.steps_wanted - self.steps) / self.steps_per_second


@dataclass(frozen=True)
class SoakShown:
    """Data of ``soak``; None: the device is on no trial, or its trial has no soak."""

    soak: Soak | None


@dataclass(frozen=True)
class RollbackTarget:
    """The release that a rollback returns to.

    Attributes:
        release: its id.
        lacking: what of it is not on the device; None: unknown.
    """

    release: str
    lacking: tuple[str, ...] | None = None


@dataclass(frozen=True)
class Comparison:
    """One thing that should be so, and how it is.

    Attributes:
        what: its name.
        scope: ``release`` (staging and activating put it right) or ``host`` (the roles do).
        wanted: what should be there; None: nothing.
        found: what is there; None with ``same`` false: nothing.
        same: None: it could not be read.
        note: why a difference is intended.
    """

    what: str
    scope: str = RELEASE
    wanted: object = None
    found: object = None
    same: bool | None = None
    note: str | None = None


@dataclass(frozen=True, kw_only=True)
class Status:
    """Where a device stands.

    Attributes:
        name: of the inventory, as ``site.yml`` gave it.
        site: as ``site.yml`` gave it.
        device_class: as ``site.yml`` gave it.
        machine: 16 hex digits of a keyed hash of the machine id.
        serial: of the module.
        state: of the journal; None: the journal cannot be read.
        release: id of the release that runs, or should.
        previous: on trial, what a rollback returns to; else the release before the committed one.
        target: the release that is activated, on trial, or being left.
        deadline: end of the trial, RFC 3339, UTC, by the wall clock as it is now.
        since: begin of the state, RFC 3339, UTC.
        activated_by: owner of the activation.
        release_sha256: full hash of the document of ``release``.
        previous_sha256: that of ``previous``.
        target_sha256: that of ``target``.
        rollback: None: there is no release to restore.
        review_seconds_left: None unless the trial is kept for review.
        release_layout: layout (``schema``) of ``release``; None: none runs, or it cannot be read.
        engine: the engine.
        l4t: version, such as 38.4.0.
        power_mode: name, such as 120W.
        memory_available_bytes: of the memory that CPU and GPU share.
        memory_total_bytes: of the same.
        disk_free_bytes: of the file system of ``/var/lib/thor``.
        temperature_celsius: of the hottest sensor.
        last_smoke: None: there was none, or its record cannot be read.
        soak: that of the trial the device is on.
        lease: None: nobody has it.
        hold: None: the device does not hold.
        progress: of the verb at work; None: none is.
        agent_version: of the agent that answers.
        agent_verbs: the verbs that it has.
        agent_layouts: layouts of releases that it stages, runs, recovers and rolls back to.
        compared: everything that should be so, against what is.
        drift: of these what is not known to be the same.
    """

    name: str | None = None
    site: str | None = None
    device_class: str | None = None
    machine: str | None = None
    serial: str | None = None
    state: str | None
    release: str | None = None
    previous: str | None = None
    target: str | None = None
    deadline: str | None = None
    since: str | None = None
    activated_by: str | None = None
    release_sha256: str | None = None
    previous_sha256: str | None = None
    target_sha256: str | None = None
    rollback: RollbackTarget | None = None
    review_seconds_left: int | None = None
    release_layout: int | None = None
    engine: Engine = Engine()
    l4t: str | None = None
    power_mode: str | None = None
    memory_available_bytes: int | None = None
    memory_total_bytes: int | None = None
    disk_free_bytes: int | None = None
    temperature_celsius: float | None = None
    last_smoke: LastSmoke | None = None
    soak: Soak | None = None
    lease: Lease | None = None
    hold: Hold | None = None
    progress: Progress | None = None
    agent_version: str | None = None
    agent_verbs: tuple[str, ...] = ()
    agent_layouts: tuple[int, ...] = ()
    compared: tuple[Comparison, ...] | None = None
    drift: tuple[Comparison, ...] | None = None

    @property
    def identity(self) -> Identity:
        """The identity that the device reports."""
        return Identity(self.name or None, self.machine or None, self.serial or None)

    @property
    def changing(self) -> bool:
        """Whether somebody's change of the device is not over."""
        return self.state in CHANGING


UNKNOWN = Status(state=None)  # of a device that did not answer
