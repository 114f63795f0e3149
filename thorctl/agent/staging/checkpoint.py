"""A release's checkpoint on disk: fetch missing files to a staging directory, verify, install."""

from __future__ import annotations

import os
import shutil
import stat
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from thorctl.agent.core import account
from thorctl.agent.core.outcome import AgentError
from thorctl.agent.staging import age, earlier, fetcher, takeover, verified
from thorctl.agent.staging.verified import MISSING, WRONG_SIZE, BadFile

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from thorctl.agent.core.context import Context
    from thorctl.agent.release.document import CheckpointFile, Release

STAGING_PREFIX = ".staging-"


def final_dir(ctx: Context, release: Release) -> Path:
    """Return the directory that the engine reads."""
    return ctx.paths.checkpoints / release.checkpoint_name


def staging_dir(ctx: Context, release: Release) -> Path:
    """Return the directory that holds verified files until the checkpoint is complete; root's own."""
    return ctx.paths.checkpoints / f"{STAGING_PREFIX}{release.checkpoint_name}"


def missing_bytes(ctx: Context, release: Release) -> int:
    """Return the bytes that a stage has to download, judged by file size alone."""
    total = 0
    for file in release.checkpoint_files:
        places = (final_dir(ctx, release) / file.path, staging_dir(ctx, release) / file.path)
        if not any(_has_size(place, file.size) for place in places):
            total += file.size
    kept = takeover.kept_bytes(ctx, release.checkpoint_name) + bytes_in(earlier.directory(ctx, release))
    return max(0, total - kept)


def bytes_in(directory: Path) -> int:
    """Return the bytes on disk below a directory: sparse files as allocated, hard links once."""
    sizes: dict[int, int] = {}
    waiting = [os.fspath(directory)]
    while waiting:  # no recursion: the engine may have nested its cache to any depth
        with suppress(OSError), os.scandir(waiting.pop()) as entries:
            for entry in entries:
                status = entry.stat(follow_symlinks=False)
                if stat.S_ISREG(status.st_mode):
                    sizes[status.st_ino] = min(status.st_size, status.st_blocks * 512)
                elif stat.S_ISDIR(status.st_mode):
                    waiting.append(entry.path)
    return sum(sizes.values())


def ensure(ctx: Context, release: Release) -> int:
    """Install every file of the lock, verified; return the downloaded bytes.

    Raises:
        AgentError: ``file_missing``, ``file_wrong_size``, ``file_wrong_hash`` (bad files are deleted, the
            rest stays), ``account_missing``, and those of ``fetcher.run``.
    """
    final, staging = final_dir(ctx, release), staging_dir(ctx, release)
    wanted = [bad.file for bad in _check(ctx, release, final, release.checkpoint_files)]
    if not wanted:
        return 0
    age.note_download(ctx, release.checkpoint_name)
    staging.mkdir(mode=0o700, exist_ok=True)
    lacking = [bad.file for bad in _discard(_check(ctx, release, staging, wanted), staging)]
    downloaded = _download(ctx, release, staging, lacking) if lacking else 0
    bad = _discard(_check(ctx, release, staging, wanted), staging)
    if bad:
        raise _not_as_locked(release, bad)
    _put_in_place(ctx, release, staging, final, wanted)
    takeover.remove(ctx, release.checkpoint_name)
    return downloaded


def _download(ctx: Context, release: Release, staging: Path, lacking: Sequence[CheckpointFile]) -> int:
    """Fetch files and take them over; return the new bytes."""
    user, name = account.find(ctx), release.checkpoint_name
    earlier.migrate(ctx, release, user)
    kept = begun_with = takeover.kept_bytes(ctx, name)
    total = release.document["lock"]["checkpoint"]["total_bytes"]
    here = total - sum(file.size for file in lacking)

    def on_bytes(done: int) -> None:
        nonlocal kept
        kept = done
        ctx.progress.update(
            "checkpoint", release=release.id, done_bytes=min(total, here + done), total_bytes=total
        )

    try:
        fetcher.run(ctx, release, lacking, user, on_bytes)
    finally:
        with suppress(OSError):  # a full disk: report the error of the download itself
            age.note_download(ctx, name)
    with takeover.opened(ctx, name) as directory:
        for file in lacking:
            (staging / file.path).parent.mkdir(parents=True, exist_ok=True)
            if directory is not None:
                takeover.take(directory, file.sha256, file.size, staging / file.path, user)
    _copy_equal(staging, lacking)
    return max(0, kept - begun_with)


def _copy_equal(staging: Path, files: Sequence[CheckpointFile]) -> None:
    """Copy files whose content was fetched under another name."""
    first: dict[str, Path] = {}
    for file in files:
        path = staging / file.path
        if path.exists():
            first[file.sha256] = path
    for file in files:
        source = first.get(file.sha256)
        if source is not None and not (staging / file.path).exists():
            shutil.copyfile(source, staging / file.path)


def _check(ctx: Context, release: Release, directory: Path, files: Sequence[CheckpointFile]) -> list[BadFile]:
    return verified.check(ctx, directory, files, on_bytes=_reporter(ctx, release, files))


def _reporter(ctx: Context, release: Release, files: Sequence[CheckpointFile]) -> Callable[[int], None]:
    done, total = 0, sum(file.size for file in files)

    def on_bytes(count: int) -> None:
        nonlocal done
        done += count
        ctx.progress.update("verify", release=release.id, done_bytes=done, total_bytes=total)

    return on_bytes


def _discard(bad: list[BadFile], staging: Path) -> list[BadFile]:
    """Delete bad files, so that the next download fetches only them."""
    for one in bad:
        (staging / one.file.path).unlink(missing_ok=True)
    return bad


def _put_in_place(
    ctx: Context, release: Release, staging: Path, final: Path, wanted: Sequence[CheckpointFile]
) -> None:
    for file in wanted:
        (staging / file.path).chmod(0o444)
        ctx.files.sync(staging / file.path)
    if final.exists():
        # Other releases may use the directory: only missing and bad files are replaced.
        record = verified.read(ctx, final)
        for file in wanted:
            (final / file.path).parent.mkdir(parents=True, exist_ok=True)
            ctx.files.rename(staging / file.path, final / file.path)
            record[file.path] = verified.identity(final / file.path, file.sha256)
        verified.write(ctx, final, record)
        ctx.files.remove_tree(staging)
    else:
        _prune(ctx, staging, {file.path for file in release.checkpoint_files})
        verified.write(
            ctx, final, {file.path: verified.identity(staging / file.path, file.sha256) for file in wanted}
        )
        staging.chmod(0o755)
        ctx.files.rename(staging, final)
    verified.forget(ctx, staging)


def _prune(ctx: Context, directory: Path, keep: set[str]) -> None:
    """Delete files that the lock does not name: vLLM loads every *.safetensors it finds."""
    for place, _, names in os.walk(directory, topdown=False):
        for name in names:
            if (Path(place) / name).relative_to(directory).as_posix() not in keep:
                (Path(place) / name).unlink()
        if not any(Path(place).iterdir()):
            Path(place).rmdir()
        else:
            ctx.files.sync(Path(place))


def _has_size(path: Path, size: int) -> bool:
    try:
        return path.lstat().st_size == size
    except OSError:
        return False


def _not_as_locked(release: Release, bad: list[BadFile]) -> AgentError:
    first = bad[0]
    wrong = {MISSING: "is missing", WRONG_SIZE: "has the wrong size"}.get(first.code, "has the wrong SHA-256")
    more = f" (and {len(bad) - 1} more)" if len(bad) > 1 else ""
    deleted = "" if first.code == MISSING else " The bad file was deleted."
    return AgentError(
        first.code,
        f"{first.file.path} of {release.checkpoint_name} {wrong}{more}.{deleted}",
        "Stage again: only bad files are fetched. If it fails again, the hub's files differ from the lock.",
        details={"files": [one.document() for one in bad]},
        changed=True,
    )
