"""Mutual exclusion on the device: flock on files in /run/thor/private; the kernel releases a dead owner's.

A process that can open a file can lock it, so the directory is root's alone. Earlier agents lock files in
/run/thor, which any local user can open. Whether such an agent is active is therefore decided by the content
of its file, never by that lock.
"""

from __future__ import annotations

import fcntl
import json
import os
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from thorctl.agent.core.outcome import AgentError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from thorctl.agent.core.clock import Clock

POLL_SECONDS = 0.5


@contextmanager
def locked(
    path: Path,
    clock: Clock,
    owner: dict[str, Any],
    wait_seconds: float = 0.0,
    waiting_for: Callable[[dict[str, Any]], None] = lambda _: None,
    *,
    earlier: Path | None = None,
) -> Iterator[None]:
    """Hold the lock in ``path``; ``owner`` (verb, holder, pid, since) is shown to others.

    ``waiting_for`` is called with the owner in intervals during a wait. ``earlier`` is the file that earlier
    agents lock instead.

    Raises:
        AgentError: ``busy``, if another process holds it longer than ``wait_seconds``.
    """
    descriptor = _open(path)
    try:
        _take(lambda: _other_owner(descriptor, path, earlier), clock, wait_seconds, waiting_for)
        with suppress(OSError):  # a full /run: the owner stays unknown
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, json.dumps(owner).encode(), 0)
        with _kept_from(earlier):
            yield
        os.ftruncate(descriptor, 0)
    finally:
        os.close(descriptor)


@contextmanager
def _kept_from(earlier: Path | None) -> Iterator[None]:
    """Hold the lock of earlier agents too, so that one that waits since before the update gets ``busy``.

    If a local user holds it already, it is ignored.
    """
    try:
        descriptor = os.open(earlier or "", os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        yield  # no earlier agent has run since boot
        return
    try:
        with suppress(BlockingIOError):
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(descriptor)


def has_open(pid: int, path: Path) -> bool:
    """Return whether process ``pid`` has the file open, so it is the one that wrote its number there."""
    try:
        return any(one.samefile(path) for one in Path(f"/proc/{pid}/fd").iterdir())
    except OSError:
        return False


def _open(path: Path) -> int:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        os.fchmod(directory, 0o700)
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        return os.open(path.name, flags, 0o600, dir_fd=directory)
    finally:
        os.close(directory)


def _take(
    other_owner: Callable[[], dict[str, Any] | None],
    clock: Clock,
    wait_seconds: float,
    waiting_for: Callable[[dict[str, Any]], None],
) -> None:
    give_up = clock.monotonic() + wait_seconds
    while (owner := other_owner()) is not None:
        if clock.monotonic() >= give_up:
            who = (
                f"`{owner.get('verb')}` of {owner.get('holder')} since {owner.get('since')}"
                if owner
                else "another verb"
            )
            raise AgentError(
                "busy",
                f"This device is busy with {who}.",
                "Wait until it ends (`thorctl status DEVICE` shows its progress), then repeat the command.",
                details=owner,
            )
        waiting_for(owner)
        clock.sleep(POLL_SECONDS)


def _other_owner(descriptor: int, path: Path, earlier: Path | None) -> dict[str, Any] | None:
    """Return None once the lock is ours, else its owner; ``{}`` if that has not written its name yet."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return _owner_in(path)
    return _earlier_owner(earlier) if earlier else None


def _earlier_owner(path: Path) -> dict[str, Any] | None:
    """Return the owner entry of an active agent of an earlier version that holds ``path``."""
    owner = _owner_in(path)
    pid = owner.get("pid")
    return owner if isinstance(pid, int) and _is_agent(pid) and has_open(pid, path) else None


def _is_agent(pid: int) -> bool:
    """Return whether the process is root's and runs Python.

    A local user may open the file and execute a set-uid program under the PID of a killed agent.
    """
    process = Path(f"/proc/{pid}")
    try:
        program = (process / "exe").readlink().name
        return process.stat().st_uid == os.geteuid() and program.startswith("python")
    except OSError:
        return False


def _owner_in(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
