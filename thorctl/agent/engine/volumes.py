"""Volumes that an image declares: read-only and empty in our containers, or refused.

Docker makes a volume on the device's disk for each of them, which the image's program can fill, and which
stays where Docker is killed. An empty read-only file system in its place takes neither disk nor memory.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from thorctl.agent.core.outcome import AgentError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from thorctl.agent.core.context import Context

TMP = "/tmp"  # noqa: S108 - of the container
# What the engine's unit mounts. Docker prefers an explicit mount to a declared volume of the same place.
_OF_THE_DEVICE = ("/cache", "/etc/thor-engine", "/models/checkpoint", "/run/engine")
ENGINE_MOUNTS = (TMP, *_OF_THE_DEVICE)
# Made by the container's runtime; a volume there would hide devices or shared memory.
_OF_THE_RUNTIME = ("/dev", "/proc", "/sys")
MOST = 16  # of one image
# Nothing that ends a word of a unit, an option of --mount or a component of the path.
_PATH = re.compile(r"(/[A-Za-z0-9_][A-Za-z0-9._-]*|/\.[A-Za-z0-9_][A-Za-z0-9._-]*){1,16}")
_SIZE_BYTES = 4096


def options(ctx: Context, reference: str, mounted: Iterable[str] = ENGINE_MOUNTS) -> list[str]:
    """Return the options of ``docker run`` that stand in for the volumes which the image declares.

    Args:
        ctx: for Docker.
        reference: the image.
        mounted: places where the container has a mount of its own.

    Raises:
        AgentError: ``image_volume_refused``: a volume has no plain absolute path, or lies below a mount of
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
