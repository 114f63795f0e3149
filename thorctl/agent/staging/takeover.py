"""Take files over from the download account's directory, whose content is untrusted.

Root uses directory descriptors and never a path name below the account's directory. A file becomes root's, in
a directory of root's, before anything is decided about it; a file that a process may have open for writing is
copied instead of moved. pathlib does not take descriptors, so os is used (no PTH checks).
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from thorctl.agent.core import removal
from thorctl.agent.core.outcome import AgentError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from thorctl.agent.core.account import Account
    from thorctl.agent.core.context import Context

PART_SUFFIX, KEPT_SUFFIX = ".part", ".kept"
MOST_ENTRIES = 20_000  # of one checkpoint's directory; the fetcher creates two per file
# Prefix of a temporary file of root's, followed by the SHA-256. release_document rejects "~" in a
# checkpoint's paths, so the name never equals a file of the lock; it fits the limit of file names.
NEW_PREFIX = "~"
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_COPY_BYTES = 8 * 1024 * 1024


@contextmanager
def opened(ctx: Context, name: str) -> Iterator[int | None]:
    """Yield a descriptor of the account's directory of a checkpoint; None if there is none."""
    try:
        parent = os.open(ctx.paths.incoming, _DIRECTORY)
    except FileNotFoundError:
        yield None
        return
    except NotADirectoryError as link:
        raise unsafe(str(ctx.paths.incoming), "is not a directory") from link
    try:
        try:
            descriptor = os.open(name, _DIRECTORY, dir_fd=parent)
        except FileNotFoundError:
            yield None
            return
        except OSError as link:
            if link.errno not in (errno.ENOTDIR, errno.ELOOP):
                raise
            raise unsafe(f"{ctx.paths.incoming}/{name}", "is not a directory") from link
        try:
            yield descriptor
        finally:
            os.close(descriptor)
    finally:
        os.close(parent)


def prepare(ctx: Context, name: str, user: Account) -> None:
    """Create the account's directory of a checkpoint; give it files that another account began."""
    _directory_of(ctx.paths.incoming, user)
    parent = os.open(ctx.paths.incoming, _DIRECTORY)
    try:
        with suppress(FileExistsError):
            os.mkdir(name, 0o700, dir_fd=parent)
    finally:
        os.close(parent)
    with opened(ctx, name) as directory:
        if directory is None:
            raise unsafe(name, "was removed")
        if os.fstat(directory).st_uid == user.uid:
            return
        _to_account(directory, os.fstat(directory).st_uid, user)


def measure(directory: int) -> tuple[int, int]:
    """Return the bytes on disk in the account's directory: of everything, and of file content without holes.

    Raises:
        AgentError: ``incoming_unsafe`` if the directory has an entry that the fetcher does not create.
    """
    total = content = 0
    with os.scandir(directory) as entries:
        for count, entry in enumerate(entries):
            if count >= MOST_ENTRIES:
                raise unsafe("the directory", f"has more than {MOST_ENTRIES} entries")
            with suppress(FileNotFoundError):
                status = entry.stat(follow_symlinks=False)
                if not stat.S_ISREG(status.st_mode):
                    raise unsafe(entry.name, "is not a regular file")
                size = min(status.st_size, status.st_blocks * 512)
                total += size
                content += size if entry.name.endswith((PART_SUFFIX, KEPT_SUFFIX)) else 0
    return total, content


def kept_bytes(ctx: Context, name: str) -> int:
    """Return the bytes on disk of an unfinished download; 0 if there is none, or none usable."""
    with suppress(AgentError), opened(ctx, name) as directory:
        return measure(directory)[1] if directory is not None else 0
    return 0


def names(ctx: Context) -> list[str]:
    """Return the entries of ``incoming``."""
    try:
        descriptor = os.open(ctx.paths.incoming, _DIRECTORY)
    except OSError:
        return []
    try:
        return sorted(os.listdir(descriptor))  # noqa: PTH208 - by descriptor
    finally:
        os.close(descriptor)


def take(directory: int, sha256: str, size: int, target: Path, user: Account) -> bool:
    """Move the account's file of a content to ``target``, as root's own; return False if it is incomplete.

    ``target`` is in a directory that only root can write.

    Raises:
        AgentError: ``incoming_unsafe``: the entry is not a regular file of the account with one link and
            that size. It was removed.
    """
    new = target.with_name(f"{NEW_PREFIX}{sha256}")
    name = f"{sha256}{PART_SUFFIX}"
    parent = os.open(target.parent, _DIRECTORY)
    try:
        try:
            # Into root's directory first: from then on no other account can replace the entry.
            os.rename(name, new.name, src_dir_fd=directory, dst_dir_fd=parent)
        except FileNotFoundError:
            if not os.path.lexists(new):  # left by an interrupted takeover
                return False
        fault = _become_roots(parent, new.name, size, user)
        if fault:
            removal.remove(parent, new.name)
            raise unsafe(name, fault)
        if _somebody_may_write(parent, new.name):
            _copy(parent, new.name)
        os.rename(new.name, target.name, src_dir_fd=parent, dst_dir_fd=parent)
        return True
    finally:
        os.close(parent)


def remove(ctx: Context, name: str) -> None:
    """Delete the account's directory of a checkpoint."""
    try:
        parent = os.open(ctx.paths.incoming, _DIRECTORY)
    except FileNotFoundError:
        return
    try:
        removal.remove(parent, name)
    finally:
        os.close(parent)


def adopt(ctx: Context, source: Path, name: str, sha256: str, user: Account) -> None:
    """Give a file of root's to the account as the beginning of a content (``<sha256>.kept``).

    ``source`` is in a directory that only root can write.
    """
    with opened(ctx, name) as directory:
        if directory is None:
            return
        descriptor = os.open(source, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode) or status.st_nlink != 1:
                return
            os.chmod(f"/proc/self/fd/{descriptor}", 0o600)  # noqa: PTH101
            os.chown(f"/proc/self/fd/{descriptor}", user.uid, user.gid)
        finally:
            os.close(descriptor)
        os.rename(source, f"{sha256}{KEPT_SUFFIX}", dst_dir_fd=directory)


def unsafe(what: str, why: str) -> AgentError:
    """Return the error ``incoming_unsafe``."""
    return AgentError(
        "incoming_unsafe",
        f"{what} of the download account's directory {why}; none of it was used.",
        "Find the program that runs as that account (`ps -u thor-fetch`, `journalctl -u thor-fetch` on the "
        "device): the fetcher creates no such entries. Delete /var/lib/thor/incoming there, then stage "
        "again.",
        changed=True,
    )


def _become_roots(parent: int, name: str, size: int, user: Account) -> str | None:
    """Make a file root's own and read-only; return what is wrong with it, or None."""
    descriptor = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
    try:
        status, itself = os.fstat(descriptor), f"/proc/self/fd/{descriptor}"
        if not stat.S_ISREG(status.st_mode):
            return "is not a regular file"
        if status.st_nlink != 1:
            return f"has {status.st_nlink} links"
        if status.st_uid not in (user.uid, os.geteuid()):
            return f"belongs to the user id {status.st_uid}"
        # Before the owner changes: a set-user-ID file must never be root's. The kernel also
        # clears these bits, and file capabilities, when the owner changes.
        os.chmod(itself, 0o400)  # noqa: PTH101
        os.chown(itself, os.geteuid(), os.getegid())
        os.chmod(itself, 0o444)  # noqa: PTH101
        after = os.fstat(descriptor)
        if after.st_nlink != 1:
            return f"has {after.st_nlink} links"
        return None if after.st_size == size else f"has {after.st_size} bytes, not {size}"
    finally:
        os.close(descriptor)


def _somebody_may_write(parent: int, name: str) -> bool:
    """Return whether a process may have the file open for writing: the kernel then grants no read lease."""
    descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
    try:
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_RDLCK)
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    except OSError:  # EAGAIN: open for writing; EINVAL: a file system without leases
        return True
    finally:
        os.close(descriptor)
    return False


def _copy(parent: int, name: str) -> None:
    """Replace a file by a copy that no process has open."""
    copy = f"{name}.copy"
    with suppress(FileNotFoundError):
        os.unlink(copy, dir_fd=parent)
    source = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
    try:
        size = os.fstat(source).st_size
        out = os.open(copy, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o444, dir_fd=parent)
        try:
            at = 0
            while at < size and (block := os.pread(source, min(_COPY_BYTES, size - at), at)):
                view = memoryview(block)
                while view:
                    view = view[os.write(out, view) :]
                at += len(block)
            os.fsync(out)
            for descriptor in (source, out):
                os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        finally:
            os.close(out)
    finally:
        os.close(source)
    os.rename(copy, name, src_dir_fd=parent, dst_dir_fd=parent)


def _directory_of(path: Path, user: Account) -> None:
    """Create ``incoming``: the account's directory in one of root's."""
    with suppress(FileExistsError):
        path.mkdir(mode=0o700, parents=True)
    descriptor = os.open(path, _DIRECTORY)
    try:
        if os.fstat(descriptor).st_uid != user.uid:
            os.fchown(descriptor, user.uid, user.gid)
        os.fchmod(descriptor, 0o700)
    finally:
        os.close(descriptor)


def _to_account(directory: int, before: int, user: Account) -> None:
    """Give the regular files of the account ``before`` to ``user``, then the directory."""
    for name in os.listdir(directory):
        with suppress(FileNotFoundError):
            descriptor = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=directory)
            try:
                status = os.fstat(descriptor)
                if stat.S_ISREG(status.st_mode) and status.st_nlink == 1 and status.st_uid == before:
                    os.chown(f"/proc/self/fd/{descriptor}", user.uid, user.gid)
            finally:
                os.close(descriptor)
    os.fchown(directory, user.uid, user.gid)
