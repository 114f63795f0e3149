"""``engine-prepare``: prepare the device for each start of the engine. Called by the engine's unit.

The engine may own the socket's directory and the cache of its last run, so nothing below them is opened or
followed: the directory is recreated, the cache is checked by its own entry only.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from thorctl.agent.core import docker_wait, removal
from thorctl.agent.core.outcome import AgentError, Outcome
from thorctl.agent.engine import account, cache, network, volumes
from thorctl.agent.release import store as release_store
from thorctl.agent.release.document import SOCKET_LAYOUT
from thorctl.agent.staging import image
from thorctl.protocol.paths import ENGINE_SOCKET

if TYPE_CHECKING:
    import argparse
    from pathlib import Path

    from thorctl.agent.core.context import Context

DIRECTORY_MODE = 0o750
# Characters that systemd does not take literally, and unprintable ones: it ends a line at "\r".
_MEANT = frozenset(" \"'\\$%")


def run(ctx: Context, args: argparse.Namespace) -> Outcome:
    """Pin the image, create the socket's directory and the cache, write the variables of ExecStart.

    Raises:
        AgentError: ``account_missing``, ``not_staged``, ``release_invalid``, ``docker_unavailable``,
            ``image_entrypoint_missing``, ``image_volume_refused``.
    """
    release = release_store.read_document(ctx.paths, args.id)
    if release.layout != SOCKET_LAYOUT:
        raise AgentError(
            "bad_call",
            f"{release.id} has layout {release.layout}, whose unit needs no preparation.",
            "Start its unit without this step.",
        )
    owner, members = account.of_engine(release), account.api_group()
    ctx = docker_wait.patient(ctx)
    image.pin(ctx, release)
    directory = ctx.paths.at(ENGINE_SOCKET).parent
    make_directory(directory, owner.uid, members)
    cached = cache.prepare(ctx, release, owner.uid, owner.gid)
    settings = {
        "THOR_ENGINE_USER": str(owner),
        "THOR_ENGINE_CACHE": str(cached),
        "THOR_ENGINE_NETWORK": network.configured(ctx),
        "THOR_ENGINE_VOLUMES": " ".join(volumes.options(ctx, release.image)),
        "THOR_ENGINE_COMMAND": " ".join(command(ctx, release.image, release.entrypoint)),
    }
    ctx.paths.locks.mkdir(mode=0o700, parents=True, exist_ok=True)
    text = "".join(f"{name}={value}\n" for name, value in settings.items())
    ctx.files.write(ctx.paths.engine_settings, text.encode(), 0o600)
    return Outcome({"release": release.id, "socket": str(ctx.paths.at(ENGINE_SOCKET)), **settings})


def make_directory(directory: Path, uid: int, gid: int) -> None:
    """Recreate the socket's directory: the socket of a killed engine would block the next one's."""
    directory.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    removal.remove_path(directory)
    directory.mkdir(mode=0o700)
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        os.fchown(descriptor, uid, gid)
        os.fchmod(descriptor, DIRECTORY_MODE)
    finally:
        os.close(descriptor)


def command(ctx: Context, reference: str, entrypoint: list[str]) -> list[str]:
    """Return the container's program: the profile's, else the image's entrypoint.

    Raises:
        AgentError: ``image_entrypoint_missing``.
    """
    found = (ctx.docker.image(reference) or {}).get("Config") or {}
    words = entrypoint or [str(word) for word in found.get("Entrypoint") or []]
    if not words or not all(word and word.isprintable() and not set(word) & _MEANT for word in words):
        raise AgentError(
            "image_entrypoint_missing",
            f"The image {reference} has no entrypoint that can be started ({words}).",
            "Set image.entrypoint in the profile, for example [vllm, serve].",
        )
    return words
