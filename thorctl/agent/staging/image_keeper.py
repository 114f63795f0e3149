"""A container per staged image that protects it from `docker system prune -a`.

Docker prunes images that no container uses, tagged or not, and `system prune` removes stopped containers
first, so the container has to run. It is idle, takes some megabytes, has no network, capability or device,
and restarts with Docker.
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
    # A shell builtin that waits for input on an open stdin: no other program of the image runs.
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
    """Return the container's name for an image's digest, ``sha256:…``."""
    return f"{PREFIX}{digest.removeprefix('sha256:')[:12]}"


def keep(ctx: Context, release: Release) -> None:
    """Run the container; log a warning for an image without a shell, which stays unprotected."""
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
    """Return the container's configuration; declared volumes are mounted in memory, not on the disk."""
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
    """Remove the container of an image before its deletion."""
    with suppress(AgentError):  # the deletion itself reports the error
        ctx.docker.remove_container(name_of(digest))
