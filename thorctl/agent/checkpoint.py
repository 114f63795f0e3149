"""A release's checkpoint on disk: what is missing is fetched apart, checked, and only then put in place."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from thorctl.agent import checkpoint_check, hub_download
from thorctl.agent.checkpoint_check import MARKER, MISSING, BadFile
from thorctl.agent.outcome import AgentError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from thorctl.agent.context import Context
    from thorctl.agent.release_document import CheckpointFile, Release

PARTIAL_PREFIX = ".partial-"


def final_dir(ctx: Context, release: Release) -> Path:
    """Where the engine reads it."""
    return ctx.paths.checkpoints / release.checkpoint_name


def partial_dir(ctx: Context, release: Release) -> Path:
    """Where a download grows; it survives interruptions."""
    return ctx.paths.checkpoints / f"{PARTIAL_PREFIX}{release.checkpoint_name}"


def verified(ctx: Context, release: Release) -> list[BadFile]:
    """What is wrong with it, by marker, size and time only: cheap enough for activate and status."""
    return checkpoint_check.check(ctx, final_dir(ctx, release), release.checkpoint_files, hash_unknown=False)


def missing_bytes(ctx: Context, release: Release) -> int:
    """Bytes a stage would still download, judged by size: cheap, and right unless a file is damaged."""
    total = 0
    for file in release.checkpoint_files:
        places = (final_dir(ctx, release) / file.path, partial_dir(ctx, release) / file.path)
        if not any(place.is_file() and place.stat().st_size == file.size for place in places):
            total += file.size
    unfinished = partial_dir(ctx, release) / ".cache"
    return max(0, total - hub_download.bytes_in(unfinished))


def ensure(ctx: Context, release: Release) -> int:
    """Have every file of the lock in place, hashed; returns the bytes downloaded.

    Raises:
        AgentError: ``file_missing``, ``file_wrong_size``, ``file_wrong_hash`` (bad files are deleted, the
            rest stays), and those of ``hub_download.download``.
    """
    final, partial = final_dir(ctx, release), partial_dir(ctx, release)
    wanted = [bad.file for bad in _check(ctx, release, final, release.checkpoint_files)]
    if not wanted:
        return 0
    lacking = [bad.file for bad in _discard(_check(ctx, release, partial, wanted), partial)]
    downloaded = hub_download.download(ctx, release, partial, lacking) if lacking else 0
    bad = _discard(_check(ctx, release, partial, wanted), partial)
    if bad:
        raise _not_as_locked(release, bad)
    _put_in_place(ctx, release, partial, final, wanted)
    return downloaded


def _check(ctx: Context, release: Release, directory: Path, files: Sequence[CheckpointFile]) -> list[BadFile]:
    return checkpoint_check.check(ctx, directory, files, on_bytes=_reporter(ctx, release, files))


def _reporter(ctx: Context, release: Release, files: Sequence[CheckpointFile]) -> Callable[[int], None]:
    done, total = 0, sum(file.size for file in files)

    def on_bytes(count: int) -> None:
        nonlocal done
        done += count
        ctx.progress.update("verify", release=release.id, done_bytes=done, total_bytes=total)

    return on_bytes


def _discard(bad: list[BadFile], partial: Path) -> list[BadFile]:
    """Delete bad files and what hf noted about them, so that the next download fetches them and only them."""
    for one in bad:
        (partial / one.file.path).unlink(missing_ok=True)
        notes = partial / ".cache/huggingface/download" / f"{one.file.path}.metadata"
        notes.unlink(missing_ok=True)
    return bad


def _put_in_place(
    ctx: Context, release: Release, partial: Path, final: Path, wanted: Sequence[CheckpointFile]
) -> None:
    for file in wanted:
        (partial / file.path).chmod(0o444)
        ctx.files.sync(partial / file.path)
    if final.exists():
        # Other releases may run from it: the directory stays, only what was wrong or missing is replaced.
        for file in wanted:
            (final / file.path).parent.mkdir(parents=True, exist_ok=True)
            ctx.files.rename(partial / file.path, final / file.path)
        _check(ctx, release, final, release.checkpoint_files)
        ctx.files.remove_tree(partial)
        return
    _prune(ctx, partial, {file.path for file in release.checkpoint_files} | {MARKER})
    ctx.files.rename(partial, final)


def _prune(ctx: Context, directory: Path, keep: set[str]) -> None:
    """Leave nothing that the lock does not name: vLLM loads every *.safetensors it finds."""
    ctx.files.remove_tree(directory / ".cache")
    for place, _, names in os.walk(directory, topdown=False):
        for name in names:
            if (Path(place) / name).relative_to(directory).as_posix() not in keep:
                (Path(place) / name).unlink()
        if not any(Path(place).iterdir()):
            Path(place).rmdir()
        else:
            ctx.files.sync(Path(place))


def _not_as_locked(release: Release, bad: list[BadFile]) -> AgentError:
    first = bad[0]
    wrong = {"file_missing": "is missing", "file_wrong_size": "has the wrong size"}.get(
        first.code, "has the wrong SHA-256"
    )
    more = f" (and {len(bad) - 1} more)" if len(bad) > 1 else ""
    deleted = "" if first.code == MISSING else " The bad file was deleted."
    return AgentError(
        first.code,
        f"{first.file.path} of {release.checkpoint_name} {wrong}{more}.{deleted}",
        "Stage again: only bad files are fetched. If it stays so, the hub serves other bytes than locked.",
        details={"files": [one.document() for one in bad]},
        changed=True,
    )
