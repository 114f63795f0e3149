"""A container per staged image that keeps somebody's `docker system prune -a` from deleting it.

Docker prunes images that no container uses, with a tag or without, and `system prune` removes the stopped
containers first: only one that runs protects its image. It does nothing, holds some megabytes, has no
network, no right and no device, and starts again with Docker.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

from thorctl.agent.core.outcome import AgentError

if TYPE_CHECKING:
    from thorctl.agent.core.context import Context
    from thorctl.agent.release.document import Release

PREFIX = "thor-keep-"
_MEMORY_BYTES = 32 * 1024 * 1024
_VOLUME_BYTES = 4096
_CONFIG: dict[str, Any] = {
    # The shell's own word reads for ever from an input that stays open: no other program of the image runs.
    "Entrypoint": ["/bin/sh"],
    "Cmd": ["-c", "read _"],
    "OpenStdin": True,
    "User": "65534:65534",
    "WorkingDir": "/",
    "Env": ["NVIDIA_VISIBLE_DEVICES=void"],
    "StopSignal": "SIGKILL",
    "Healthcheck": {"Test": ["NONE"]},
    "Labels": {"thor.purpose": "keeps the image of a release from being pruned"},
    "HostConfig": {
        "NetworkMode": "none",
        "ReadonlyRootfs": True,
        "CapDrop": ["ALL"],
        "SecurityOpt": ["no-new-privileges"],
        "Memory": _MEMORY_BYTES,
        "PidsLimit": 4,
        "Runtime": "runc",
        "LogConfig": {"Type": "none"},
        "RestartPolicy": {"Name": "always"},
    },
}


def name_of(digest: str) -> str:
    """Name of the container for an image's digest, ``sha256:…``."""
    return f"{PREFIX}{digest.removeprefix('sha256:')[:12]}"


def keep(ctx: Context, release: Release) -> None:
    """Have the container run; an image without a shell stays unprotected, and is told."""
    digest = release.document["lock"]["image"]["digest"]
    name = name_of(digest)
    try:
        found = ctx.docker.container(name)
        if found is not None and (found.get("State") or {}).get("Running"):
            return
        refused = ctx.docker.run_container(name, _config(ctx, release))
        if refused is not None:
            ctx.docker.remove_container(name)
    except AgentError as failed:
        refused = failed.message
    if refused is not None:
        ctx.log.warning("`docker system prune -a` would delete %s: %s", release.image, refused)


def _config(ctx: Context, release: Release) -> dict[str, Any]:
    """A volume that the image declares is memory: of a disk its shell could fill all."""
    image = ctx.docker.image(release.image_tag) or {}
    volumes = (image.get("Config") or {}).get("Volumes") or {}
    mounts = [
        {"Type": "tmpfs", "Target": path, "TmpfsOptions": {"SizeBytes": _VOLUME_BYTES}} for path in volumes
    ]
    return {
        **_CONFIG,
        "Image": release.image_tag,
        "HostConfig": {**_CONFIG["HostConfig"], "Mounts": mounts},
    }


def release(ctx: Context, digest: str) -> None:
    """Remove the container of an image that is to be deleted."""
    with suppress(AgentError):  # whoever deletes the image is told
        ctx.docker.remove_container(name_of(digest))
