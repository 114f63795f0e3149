"""Where the device differs from its release: files by hash, checkpoint by marker, the container's image."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

from thorctl.agent import checkpoint
from thorctl.agent.outcome import AgentError
from thorctl.agent.paths import ENGINE_CONTAINER
from thorctl.agent.release_document import UNIT_FILE

if TYPE_CHECKING:
    from pathlib import Path

    from thorctl.agent.context import Context
    from thorctl.agent.release_document import Release


def find(ctx: Context, release: Release | None) -> list[dict[str, Any]]:
    """One ``{"what", "wanted", "found"}`` per difference; ``found`` None: absent."""
    if release is None:
        return _unexpected_unit(ctx)
    places = {
        f"release {name}": (ctx.paths.release_dir(release.id) / name, content)
        for name, (_, content) in sorted(release.files().items())
    }
    places["installed unit"] = (ctx.paths.engine_unit, release.files()[UNIT_FILE][1])
    drifted = [
        _entry(what, _hash(content), _hash_of(path))
        for what, (path, content) in places.items()
        if _hash(content) != _hash_of(path)
    ]
    drifted += [
        _entry(f"checkpoint {bad.file.path}", bad.file.sha256, bad.code)
        for bad in checkpoint.verified(ctx, release)
    ]
    return drifted + _image(ctx, release)


def _unexpected_unit(ctx: Context) -> list[dict[str, Any]]:
    found = _hash_of(ctx.paths.engine_unit)
    return [_entry("installed unit", None, found)] if found else []


def _image(ctx: Context, release: Release) -> list[dict[str, Any]]:
    try:
        container = ctx.docker.container(ENGINE_CONTAINER)
    except AgentError:
        return []  # not known to differ; status shows elsewhere that Docker does not answer
    if container is None or container["Config"]["Image"] == release.image:
        return []
    return [_entry("container image", release.image, container["Config"]["Image"])]


def _entry(what: str, wanted: str | None, found: str | None) -> dict[str, Any]:
    return {"what": what, "wanted": wanted, "found": found}


def _hash(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def _hash_of(path: Path) -> str | None:
    try:
        return _hash(path.read_bytes())
    except OSError:
        return None
