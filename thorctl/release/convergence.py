"""Convergence: whether a device is where its desired release puts it. One value, from one function."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any, NamedTuple

from thorctl.protocol.states import COMMITTED

if TYPE_CHECKING:
    from collections.abc import Mapping

    from thorctl.release.document import Release


class Desired(NamedTuple):
    """What identifies a desired release.

    Attributes:
        id: ``<profile>-<12 hex digits>``.
        sha256: full hash of its document; None: not known, so the id decides.
        layout: its ``schema``.
    """

    id: str
    sha256: str | None
    layout: int

    @classmethod
    def of(cls, release: Release) -> Desired:
        """Return what identifies ``release``."""
        return cls(release.id, release.sha256, release.schema_)


class Aspect(Enum):
    """What of a device is compared with its desired release."""

    STATE = "state"  # committed
    RELEASE = "release"  # the id of the release that runs
    DOCUMENT = "document"  # the whole document under that id
    ENGINE = "engine"  # ready
    SMOKE = "smoke"  # the last smoke test: of the desired release, and passed
    FILES = "files"  # files, unit, image and checkpoint of the release
    HOST = "host"  # settings of the host: roles put them right, no release does


class Verdict(Enum):
    """The convergence of some aspects together."""

    IN_PLACE = "in place"
    DIFFERS = "differs"
    UNKNOWN = "unknown"


RUNS = frozenset({Aspect.RELEASE, Aspect.DOCUMENT})
COMMITTED_RELEASE = frozenset({Aspect.RELEASE, Aspect.STATE})
SERVES = RUNS | {Aspect.ENGINE}
ALL_OF_THE_RELEASE = frozenset(Aspect) - {Aspect.HOST}


@dataclass(frozen=True, slots=True)
class Convergence:
    """How a device stands to its desired release. What is in neither set is in place.

    Attributes:
        differs: what is known to be otherwise.
        unknown: what could not be compared.
        earlier_layout: layout of the committed release if it is an earlier one of the desired release's
            profile. Only a rollout, or the operator's word, brings the later layout.
    """

    differs: frozenset[Aspect]
    unknown: frozenset[Aspect]
    earlier_layout: int | None = None

    def of(self, aspects: frozenset[Aspect]) -> Verdict:
        """Return the verdict over ``aspects``: a difference outweighs what is unknown."""
        if self.differs & aspects:
            return Verdict.DIFFERS
        return Verdict.UNKNOWN if self.unknown & aspects else Verdict.IN_PLACE


def convergence(status: Mapping[str, Any], desired: Desired | None) -> Convergence:
    """Compare a device's status with its desired release.

    Args:
        status: data of the agent's verb ``status``; of an earlier agent too.
        desired: None: it is not known which release the device should serve.
    """
    found: dict[Aspect, bool | None] = {
        Aspect.STATE: None if status.get("state") is None else status["state"] == COMMITTED,
        Aspect.RELEASE: _runs(status, desired) if desired else None,
        Aspect.DOCUMENT: not _is_another(status, desired) if desired else None,
        Aspect.ENGINE: _ready(status.get("engine")),
        Aspect.SMOKE: _passed(status.get("last_smoke"), desired) if desired else None,
        Aspect.FILES: _compared(status.get("drift"), host=False),
        Aspect.HOST: _compared(status.get("drift"), host=True),
    }
    return Convergence(
        differs=frozenset(aspect for aspect, same in found.items() if same is False),
        unknown=frozenset(aspect for aspect, same in found.items() if same is None),
        earlier_layout=_earlier_layout(status, desired) if desired else None,
    )


def layout_of(status: Mapping[str, Any]) -> int | None:
    """Return the layout of the release that runs; None: there is none, or its document cannot be read."""
    layout = status.get("release_layout")
    if layout is None and status.get("release") and status.get("agent_layouts", [1]) == [1]:
        return 1  # by an agent that reads no other
    return layout if isinstance(layout, int) else None


def profile_of(release_id: str) -> str:
    """Return the profile's name in a release's id."""
    return release_id.rpartition("-")[0]


def _runs(status: Mapping[str, Any], desired: Desired) -> bool | None:
    release = status.get("release")
    if release is None and status.get("state") is None:
        return None  # the journal cannot be read
    return bool(release == desired.id)


def _is_another(status: Mapping[str, Any], desired: Desired) -> bool:
    """Whether another document runs under the desired id; an earlier agent does not tell."""
    found = status.get("release_sha256")
    same_id = status.get("release") == desired.id
    return same_id and isinstance(found, str) and desired.sha256 is not None and found != desired.sha256


def _ready(engine: object) -> bool | None:
    if not isinstance(engine, dict) or engine.get("unit") is None:
        return None
    ready = engine.get("ready")
    if engine["unit"] != "active":  # what answers then is another process
        return False
    return ready if isinstance(ready, bool) else None


def _passed(smoke: object, desired: Desired) -> bool | None:
    """Whether the last smoke test was of the desired release and passed; that of another proves nothing."""
    if not isinstance(smoke, dict) or not isinstance(smoke.get("passed"), bool):
        return None
    return smoke["passed"] and smoke.get("release") == desired.id


def _compared(drift: object, *, host: bool) -> bool | None:
    """Whether the agent found everything the same; an item whose ``same`` is null could not be read."""
    if not isinstance(drift, list):
        return None
    items = [one for one in drift if isinstance(one, dict)]
    same = [one.get("same", False) for one in items if (one.get("scope") == Aspect.HOST.value) is host]
    if any(one is False for one in same):  # also without the key: an earlier agent tells only what differs
        return False
    return True if all(one is True for one in same) else None


def _earlier_layout(status: Mapping[str, Any], desired: Desired) -> int | None:
    layout = layout_of(status)
    if status.get("state") != COMMITTED or layout is None or layout >= desired.layout:
        return None
    return layout if profile_of(str(status.get("release"))) == profile_of(desired.id) else None
