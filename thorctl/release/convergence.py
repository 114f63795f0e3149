"""Convergence: whether a device has its desired release. One value, computed by one function."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, NamedTuple

from thorctl.protocol.states import COMMITTED
from thorctl.protocol.status import HOST

if TYPE_CHECKING:
    from thorctl.protocol.status import Comparison, Engine, LastSmoke, Status
    from thorctl.release.document import Release


class Desired(NamedTuple):
    """The identity of a desired release.

    Attributes:
        id: ``<profile>-<12 hex digits>``.
        sha256: SHA-256 of its document; None: unknown, so the id decides.
        layout: its ``schema``.
    """

    id: str
    sha256: str | None
    layout: int

    @classmethod
    def of(cls, release: Release) -> Desired:
        """Return the identity of ``release``."""
        return cls(release.id, release.sha256, release.schema_)


class Aspect(Enum):
    """An aspect of a device that is compared with its desired release."""

    STATE = "state"  # committed
    RELEASE = "release"  # the id of the running release
    DOCUMENT = "document"  # the whole document of that id
    ENGINE = "engine"  # ready
    SMOKE = "smoke"  # the last smoke test: of the desired release, and passed
    FILES = "files"  # files, unit, image and checkpoint of the release
    HOST = "host"  # settings of the host, which roles correct and releases do not


class Verdict(Enum):
    """The combined convergence of some aspects."""

    IN_PLACE = "in place"
    DIFFERS = "differs"
    UNKNOWN = "unknown"


RUNS = frozenset({Aspect.RELEASE, Aspect.DOCUMENT})
COMMITTED_RELEASE = frozenset({Aspect.RELEASE, Aspect.STATE})
SERVES = RUNS | {Aspect.ENGINE}
ALL_OF_THE_RELEASE = frozenset(Aspect) - {Aspect.HOST}


@dataclass(frozen=True, slots=True)
class Convergence:
    """The convergence of a device. An aspect in neither set is in place.

    Attributes:
        differs: aspects known to differ.
        unknown: aspects that could not be compared.
        earlier_layout: layout of the committed release if it is an earlier one of the desired release's
            profile. Only a rollout, or the operator's consent, installs the later layout.
    """

    differs: frozenset[Aspect]
    unknown: frozenset[Aspect]
    earlier_layout: int | None = None

    def of(self, aspects: frozenset[Aspect]) -> Verdict:
        """Return the verdict over ``aspects``: a difference takes precedence over an unknown value."""
        if self.differs & aspects:
            return Verdict.DIFFERS
        return Verdict.UNKNOWN if self.unknown & aspects else Verdict.IN_PLACE


def convergence(status: Status, desired: Desired | None) -> Convergence:
    """Compare a device's status with its desired release.

    Args:
        status: data of the agent's verb ``status``, also of an earlier agent.
        desired: None: the desired release is unknown.
    """
    found: dict[Aspect, bool | None] = {
        Aspect.STATE: None if status.state is None else status.state == COMMITTED,
        Aspect.RELEASE: _runs(status, desired) if desired else None,
        Aspect.DOCUMENT: not _is_another(status, desired) if desired else None,
        Aspect.ENGINE: _ready(status.engine),
        Aspect.SMOKE: _passed(status.last_smoke, desired) if desired else None,
        Aspect.FILES: _compared(status.drift, host=False),
        Aspect.HOST: _compared(status.drift, host=True),
    }
    return Convergence(
        differs=frozenset(aspect for aspect, same in found.items() if same is False),
        unknown=frozenset(aspect for aspect, same in found.items() if same is None),
        earlier_layout=_earlier_layout(status, desired) if desired else None,
    )


def profile_of(release_id: str) -> str:
    """Return the profile's name in a release's id."""
    return release_id.rpartition("-")[0]


def _runs(status: Status, desired: Desired) -> bool | None:
    if status.release is None and status.state is None:
        return None  # the journal is unreadable
    return status.release == desired.id


def _is_another(status: Status, desired: Desired) -> bool:
    """Return whether another document of the desired id runs; an earlier agent does not report it."""
    if status.release != desired.id or None in (status.release_sha256, desired.sha256):
        return False
    return status.release_sha256 != desired.sha256


def _ready(engine: Engine) -> bool | None:
    if engine.unit is None:
        return None
    return engine.unit == "active" and engine.ready  # otherwise another process answers


def _passed(smoke: LastSmoke | None, desired: Desired) -> bool | None:
    """Return whether the last smoke test was of the desired release and passed."""
    if smoke is None or smoke.passed is None:
        return None
    return smoke.passed and smoke.release == desired.id


def _compared(drift: tuple[Comparison, ...] | None, *, host: bool) -> bool | None:
    """Return whether the agent found no difference; an item whose ``same`` is None could not be read."""
    if drift is None:
        return None
    same = [one.same for one in drift if (one.scope == HOST) is host]
    if False in same:
        return False
    return None if None in same else True


def _earlier_layout(status: Status, desired: Desired) -> int | None:
    layout = status.release_layout
    if status.state != COMMITTED or layout is None or layout >= desired.layout:
        return None
    return layout if profile_of(str(status.release)) == profile_of(desired.id) else None
