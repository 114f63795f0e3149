"""Going on inside a file. hf (2.x) keeps whole files only: what it had of an unfinished one it deletes.

So each unfinished file gets a second name (a hard link) while hf writes it, and the rest is fetched by range
from the same address. Whatever comes out is hashed against the lock like every other file; xet transfers,
which do not write from front to back, fail that and are fetched anew.
"""

from __future__ import annotations

import http.client
import os
import re
import urllib.error
import urllib.request
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from thorctl.agent import hub_token
from thorctl.agent.checkpoint_check import sha256_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from thorctl.agent.context import Context
    from thorctl.agent.release_document import CheckpointFile, Release

BLOCK_BYTES = 1024 * 1024
SILENCE_SECONDS = 30.0
_OF_THE_HUB = (urllib.error.URLError, ConnectionError, TimeoutError)  # these have an errno, too
# <hash of the name>.<etag>.<random>.incomplete; the etag of a large file is its SHA-256.
_UNFINISHED = re.compile(r".+\.([0-9a-f]{64})(\.[0-9a-f]+)?\.incomplete")


def keep(partial: Path, files: Sequence[CheckpointFile]) -> None:
    """Give every unfinished file of hf a second name; the longest one of a content wins."""
    wanted = {file.sha256 for file in files}
    for unfinished in (partial / ".cache/huggingface/download").rglob("*.incomplete"):
        found = _UNFINISHED.fullmatch(unfinished.name)
        if found and found[1] in wanted:
            _link(unfinished, _part(partial, found[1]))


def finish(ctx: Context, release: Release, partial: Path, file: CheckpointFile, endpoint: str) -> bool:
    """Fetch the rest of a file that was begun; True if it is whole and right and in its place.

    False: nothing was begun, or the hub does not go on now (what came is kept), or it was wrong (deleted).
    """
    part = _part(partial, file.sha256)
    if not part.exists() or part.stat().st_size > file.size:
        part.unlink(missing_ok=True)
        return False
    ctx.log.info("going on with %s at %d of %d bytes", file.path, part.stat().st_size, file.size)
    try:
        if part.stat().st_size < file.size:
            _append(ctx, release, part, file, endpoint)
    except (OSError, http.client.HTTPException) as cut:
        ctx.log.warning("%s: %s", file.path, cut)
        if isinstance(cut, OSError) and not isinstance(cut, _OF_THE_HUB) and cut.errno is not None:
            raise  # the disk, not the hub
        return False
    if part.stat().st_size != file.size:
        return False
    if sha256_of(part, lambda _: None) != file.sha256:
        part.unlink()
        return False
    (partial / file.path).parent.mkdir(parents=True, exist_ok=True)
    part.replace(partial / file.path)
    return True


def _append(ctx: Context, release: Release, part: Path, file: CheckpointFile, endpoint: str) -> None:
    checkpoint = release.document["lock"]["checkpoint"]
    place = f"{checkpoint['repository']}/resolve/{checkpoint['commit']}/{quote(file.path)}"
    begun = part.stat().st_size
    asked = urllib.request.Request(f"{endpoint.rstrip('/')}/{place}", headers={"Range": f"bytes={begun}-"})
    token = hub_token.header(ctx, endpoint)
    if token:
        # Not sent on when the hub redirects to its storage, which is another host and has its own signature.
        asked.add_unredirected_header("Authorization", token)
    with urllib.request.urlopen(asked, timeout=SILENCE_SECONDS) as answer, part.open("r+b") as out:
        # 200: the hub does not know ranges and sends the file from its beginning.
        out.seek(begun if answer.status == http.client.PARTIAL_CONTENT else 0)
        while block := answer.read(BLOCK_BYTES):
            out.write(block)
            _tell(ctx, release, out)


def _tell(ctx: Context, release: Release, out: Any) -> None:
    total = release.document["lock"]["checkpoint"]["total_bytes"]
    ctx.progress.update("checkpoint", release=release.id, done_bytes=out.tell(), total_bytes=total)


def _part(partial: Path, sha256: str) -> Path:
    return partial / ".cache/thor-parts" / sha256


def _link(unfinished: Path, part: Path) -> None:
    try:
        size = unfinished.stat().st_size
        if part.exists() and (part.samefile(unfinished) or part.stat().st_size >= size):
            return
        part.parent.mkdir(parents=True, exist_ok=True)
        part.unlink(missing_ok=True)
        os.link(unfinished, part)
    except FileNotFoundError:
        return  # hf finished or dropped it meanwhile
