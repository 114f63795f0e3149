"""Mutual exclusion on the device: flock on files in /run/thor. The kernel frees them when a process dies."""

from __future__ import annotations

import fcntl
import json
import os
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from thorctl.agent.outcome import AgentError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from thorctl.agent.clock import Clock

POLL_SECONDS = 0.5


@contextmanager
def locked(
    path: Path,
    clock: Clock,
    owner: dict[str, Any],
    wait_seconds: float = 0.0,
    waiting_for: Callable[[dict[str, Any]], None] = lambda _: None,
) -> Iterator[None]:
    """Hold the lock in ``path``; ``owner`` (verb, holder, pid, since) is what others are told.

    ``waiting_for`` is told again and again who holds it, for as long as it is waited for.

    Raises:
        AgentError: ``busy``, if another process holds it longer than ``wait_seconds``.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        _take(descriptor, path, clock, wait_seconds, waiting_for)
        with suppress(OSError):  # a full /run: who it is stays unsaid
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, json.dumps(owner).encode(), 0)
        yield
        os.ftruncate(descriptor, 0)
    finally:
        os.close(descriptor)


def owner_of(path: Path) -> dict[str, Any] | None:
    """Who holds the lock; None if nobody does. ``{}`` if somebody does but has not said who yet."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return _owner_in(path)
        return None
    finally:
        os.close(descriptor)


def _take(
    descriptor: int,
    path: Path,
    clock: Clock,
    wait_seconds: float,
    waiting_for: Callable[[dict[str, Any]], None],
) -> None:
    give_up = clock.monotonic() + wait_seconds
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if clock.monotonic() < give_up:
                waiting_for(_owner_in(path))
                clock.sleep(POLL_SECONDS)
                continue
            owner = _owner_in(path)
            who = (
                f"`{owner.get('verb')}` of {owner.get('holder')} since {owner.get('since')}"
                if owner
                else "another verb"
            )
            raise AgentError(
                "busy",
                f"This device is busy with {who}.",
                "Wait until it ends (`thor-agent status` shows its progress), then say it again.",
                details=owner,
            ) from None
        return


def _owner_in(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
