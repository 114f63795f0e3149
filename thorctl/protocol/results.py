"""Data of ``plan`` and of the verbs that change a device; ``state`` and ``release`` are those after it."""

from __future__ import annotations

from thorctl.protocol.dataclass import dataclass
from thorctl.protocol.status import AcceptedSmoke


@dataclass(frozen=True)
class Planned:
    """Data of ``plan``.

    Attributes:
        release: id of the release.
        already: ``absent``, ``staged`` or ``committed``.
        actions: what stage and activate would do, in its order.
        download_bytes: what they would fetch.
        required_bytes: what they would need on the disks.
        free_bytes: of the fuller disk; None: unknown.
        diff: the files that would change.
    """

    release: str
    already: str
    actions: tuple[PlannedAction, ...] = ()
    download_bytes: int = 0
    required_bytes: int = 0
    free_bytes: int | None = None
    diff: tuple[PlannedFile, ...] = ()


@dataclass(frozen=True)
class PlannedAction:
    """``action``: pull_image, download_checkpoint, verify_checkpoint, write_release or restart_engine."""

    action: str
    bytes: int = 0
    detail: str = ""


@dataclass(frozen=True)
class PlannedFile:
    """A file's content before and after; None: it is not there."""

    path: str
    before: str | None = None
    after: str | None = None


@dataclass(frozen=True)
class StagedImage:
    """The image of a staged release."""

    reference: str
    downloaded_bytes: int


@dataclass(frozen=True)
class StagedCheckpoint:
    """The checkpoint of a staged release; ``files``: their number."""

    directory: str
    files: int
    downloaded_bytes: int


@dataclass(frozen=True)
class Staged:
    """Data of ``stage``; where it failed, the release alone."""

    release: str
    release_sha256: str | None = None
    downloaded_bytes: int | None = None
    seconds: float | None = None
    image: StagedImage | None = None
    checkpoint: StagedCheckpoint | None = None


@dataclass(frozen=True)
class Activated:
    """Data of ``activate``.

    Attributes:
        release: id of the release that runs.
        state: of the journal.
        deadline: end of the trial, RFC 3339, UTC.
        ready_seconds: until the engine was ready; 0: it was.
        previous: what a rollback returns to.
        rolled_back_ready_seconds: of a failed activation, until the engine of ``release`` was ready again.
    """

    release: str | None
    state: str
    deadline: str | None = None
    ready_seconds: float | None = None
    previous: str | None = None
    rolled_back_ready_seconds: float | None = None


@dataclass(frozen=True)
class Reviewed:
    """Data of ``review``."""

    release: str | None
    state: str
    deadline: str | None = None
    review_seconds_left: int | None = None


@dataclass(frozen=True)
class Committed:
    """Data of ``commit``; ``accepted``: None unless its smoke test had failed."""

    release: str | None
    state: str
    accepted: AcceptedSmoke | None = None


@dataclass(frozen=True)
class Alternative:
    """Another release that the device can switch to without a download."""

    release: str
    command: str


@dataclass(frozen=True)
class RolledBack:
    """Data of ``rollback``.

    Attributes:
        release: id of the release that runs; None: none.
        state: of the journal.
        from_: the release that was left; None: nothing was.
        also_possible: other releases that are staged.
        ready_seconds: until the engine was ready; None: nothing was done.
    """

    release: str | None
    state: str
    from_: str | None = None
    also_possible: tuple[Alternative, ...] = ()
    ready_seconds: float | None = None


@dataclass(frozen=True)
class Recovered:
    """Data of ``recover``.

    Attributes:
        did: nothing, mended_unit, finished_rollback, rolled_back or told.
        state: of the journal; None: another verb is at work.
        release: id of the release that runs.
        busy_with: the verb at work.
    """

    did: str
    state: str | None = None
    release: str | None = None
    busy_with: dict[str, object] | None = None


@dataclass(frozen=True)
class Removed:
    """One thing that gc removes: ``kind`` is release, checkpoint, image, partial or cache."""

    kind: str
    name: str
    bytes: int


@dataclass(frozen=True)
class Collected:
    """Data of ``gc``."""

    removed: tuple[Removed, ...]
    freed_bytes: int


@dataclass(frozen=True)
class Connected:
    """Data of ``connect``: the path of the engine's socket, whose bytes follow the object."""

    socket: str
