"""Volumes that an image declares: mounted read-only and empty in our containers, or rejected.

For each of them Docker would create a volume on the device's disk, which the image's program can fill and
which remains if Docker is killed. An empty read-only tmpfs in its place takes neither disk nor memory.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from thorctl.agent.core.outcome import AgentError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from thorctl.agent.core.context import Context

TMP = "/tmp"  # noqa: S108 - in the container
# Mounts of the engine's unit. Docker prefers an explicit mount to a declared volume at the same path.
_OF_THE_DEVICE = ("/cache", "/etc/thor-engine", "/models/checkpoint", "/run/engine")
ENGINE_MOUNTS = (TMP, *_OF_THE_DEVICE)
# Mounts of the container's runtime; a volume there would hide devices or shared memory.
_OF_THE_RUNTIME = ("/dev", "/proc", "/sys")
MOST = 16  # volumes of one image
# Characters that end neither a word of a unit, nor an option of --mount, nor a path component.
_PATH = re.compile(r"(/[A-Za-z0-9_][A-Za-z0-9._-]*|/\.[A-Za-z0-9_][A-Za-z0-9._-]*){1,16}")
_SIZE_BYTES = 4096


def options(ctx: Context, reference: str, mounted: Iterable[str] = ENGINE_MOUNTS) -> list[str]:
    """Return the options of ``docker run`` that replace the volumes which the image declares.

    Args:
        ctx: the context, for Docker.
        reference: the image.
        mounted: paths with a mount of the container's own.

    Raises:
        AgentError: ``image_volume_refused``: a volume has no plain absolute path, or is below a mount of
            the engine, where making its directory would write, or of the runtime.
    """
    declared = ((ctx.docker.image(reference) or {}).get("Config") or {}).get("Volumes") or {}
    own = set(mounted)
    if len(declared) > MOST:
        raise _refused(reference, f"{len(declared)} volumes", f"at most {MOST} are accepted")
    words = []
    for raw in sorted(map(str, declared)):
        place = raw.rstrip("/")
        if not _PATH.fullmatch(place):
            raise _refused(reference, f"the volume {raw[:80]!r}", "it is no plain absolute path")
        if _below(place, _OF_THE_RUNTIME) or (place not in _OF_THE_DEVICE and _below(place, _OF_THE_DEVICE)):
            raise _refused(reference, f"the volume {place}", "the engine's container has a mount there")
        if place not in own:
            words += ["--mount", f"type=tmpfs,dst={place},readonly,tmpfs-size={_SIZE_BYTES}"]
    return words


def _below(place: str, mounts: Iterable[str]) -> bool:
    return any(place == one or place.startswith(f"{one}/") for one in mounts)


def _refused(reference: str, what: str, why: str) -> AgentError:
    return AgentError(
        "image_volume_refused",
        f"The image {reference} declares {what}: {why}.",
        "Use an image whose Dockerfile has no such VOLUME, then lock and render the release again.",
        details={"image": reference},
    )
