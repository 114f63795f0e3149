"""Read the parts of a device's release for the comparison with the desired ones; omit unreadable ones."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from thorctl.agent.core.outcome import AgentError
from thorctl.agent.core.paths import ENGINE_CONTAINER
from thorctl.agent.drift import compare as drift
from thorctl.agent.drift import desired
from thorctl.agent.engine import cache, network
from thorctl.agent.release.document import SOCKET_LAYOUT
from thorctl.agent.staging import image, verified
from thorctl.agent.staging.verified import UNVERIFIED
from thorctl.protocol.status import RELEASE, Comparison

if TYPE_CHECKING:
    from pathlib import Path

    from thorctl.agent.core.context import Context
    from thorctl.agent.release.document import Release
    from thorctl.agent.state.journal import Journal
    from thorctl.protocol.status import RollbackTarget

COMPILE_CACHE = "compile cache"


def compared(
    ctx: Context, journal: Journal | None, release: Release | None, broken: str | None
) -> list[Comparison]:
    """Compare the device with the release that its journal names.

    Args:
        ctx: the device.
        journal: None if it cannot be read.
        release: its document; None if none should run, or none can be read.
        broken: the fault of the document.
    """
    if journal is None:
        return [Comparison("release", RELEASE, None)]
    if broken is not None:
        return [Comparison("release", RELEASE, journal.running, broken, same=False)]
    return _nothing(ctx) if release is None else _parts(ctx, release)


def _nothing(ctx: Context) -> list[Comparison]:
    """Verify that no unit is installed on a device without a release."""
    found = {}
    with suppress(OSError):
        found[desired.INSTALLED_UNIT] = _hash_of(ctx.paths.engine_unit)
    return drift.release_items({desired.INSTALLED_UNIT: None}, found)


def _parts(ctx: Context, release: Release) -> list[Comparison]:
    wanted = desired.of_release(release)
    found: dict[str, object] = {}
    places = {f"release {name}": ctx.paths.release_dir(release.id) / name for name in release.files()}
    for what, place in {**places, desired.INSTALLED_UNIT: ctx.paths.engine_unit}.items():
        with suppress(OSError):
            found[what] = _hash_of(place)
    _checkpoint(ctx, release, wanted, found)
    with suppress(AgentError):  # Docker does not answer
        found[desired.IMAGE_ON_DISK] = release.image if image.present(ctx, release) else None
    _container(ctx, release, wanted, found)
    _cache(ctx, release, wanted, found)
    return drift.release_items(wanted, found)


def _checkpoint(ctx: Context, release: Release, wanted: dict[str, object], found: dict[str, object]) -> None:
    """Compare the checkpoint by record, size and time, without reading weights.

    A complete one is one part; otherwise each bad file is. Files without a record are unknown: an agent
    before this record may have staged them.
    """
    try:
        bad = verified.unverified(ctx, release)
    except OSError:
        return
    if not bad:
        found[desired.CHECKPOINT] = release.checkpoint_name
        return
    changed = [one for one in bad if one.code != UNVERIFIED]
    if not changed:
        return
    del wanted[desired.CHECKPOINT]
    for one in changed:
        wanted[f"checkpoint {one.file.path}"] = f"sha256:{one.file.sha256}"
        found[f"checkpoint {one.file.path}"] = one.code


def _container(ctx: Context, release: Release, wanted: dict[str, object], found: dict[str, object]) -> None:
    """Compare the container's image. Without a container there is none; its absence is reported elsewhere."""
    wanted[desired.CONTAINER_IMAGE] = release.image
    with suppress(AgentError):
        container = ctx.docker.container(ENGINE_CONTAINER)
        if container is None:
            del wanted[desired.CONTAINER_IMAGE]
        else:
            digest = image.running_digest(ctx, container)
            if release.layout == SOCKET_LAYOUT:
                wanted[desired.ENGINE_NETWORK] = network.NONE
                found[desired.ENGINE_NETWORK] = container["HostConfig"]["NetworkMode"]
            same = digest == release.document["lock"]["image"]["digest"]
            found[desired.CONTAINER_IMAGE] = release.image if same else container["Config"]["Image"]


def _cache(ctx: Context, release: Release, wanted: dict[str, object], found: dict[str, object]) -> None:
    """Verify that a release that was ready once has a filled cache: without it the next start is slow."""
    if release.layout == SOCKET_LAYOUT and cache.ready_mark(ctx, release).exists():
        wanted[COMPILE_CACHE] = "there"
        found[COMPILE_CACHE] = "there" if cache.directory(ctx, release).is_dir() else None


def rollback_items(rollback: RollbackTarget | None) -> list[Comparison]:
    """Return whether the device can roll back, from ``status``."""
    if rollback is None:
        return []
    whole, gone = f"{rollback.release}, whole", rollback.lacking
    if gone is None:
        return [Comparison("rollback release", RELEASE, whole)]
    found = f"without {', '.join(gone)}" if gone else whole
    return [Comparison("rollback release", RELEASE, whole, found, same=not gone)]


def _hash_of(path: Path) -> str | None:
    """Return the file's hash; None if it does not exist.

    Raises:
        OSError: the file may exist and cannot be read.
    """
    try:
        return desired.hash_of(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        return None
