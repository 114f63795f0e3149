"""The right to be the only process on this machine at work on a rollout: a lock in the rollout's folder."""

from __future__ import annotations

import fcntl
import os
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from thorctl.errors import ThorError
from thorctl.store.place import store_file

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PRIVATE = 0o700
PATIENCE_SECONDS = 1.0  # for a process that only asks, as `status --watch` does every two seconds
STARTING_SECONDS = 30.0
RETRY_SECONDS = 0.05


def folder_of(rollout: str) -> Path:
    """The folder of a rollout's lock, beside the store; earlier versions kept logs of playbooks there."""
    return store_file().parent / "rollouts" / rollout


@contextmanager
def starting() -> Iterator[None]:
    """For the length of the block no other process looks whether somebody is at work, to begin itself.

    Raises:
        ThorError: ``rollout_at_work``.
    """
    with _lock(folder_of("starting.lock"), STARTING_SECONDS) as mine:
        if not mine:
            raise ThorError(
                "rollout_at_work",
                "Another thorctl on this machine is starting a rollout.",
                "Try again in a moment.",
            )
        yield


@contextmanager
def only_one(rollout: str) -> Iterator[None]:
    """For the length of the block no other process on this machine works on the rollout.

    Raises:
        ThorError: ``rollout_at_work``.
    """
    with _lock(folder_of(rollout) / "at-work.lock", PATIENCE_SECONDS) as mine:
        if not mine:
            raise ThorError(
                "rollout_at_work",
                f"Another thorctl on this machine runs the rollout {rollout}.",
                f"Watch it: `thorctl rollout status {rollout} --watch`. Pause it: `thorctl rollout "
                f"pause {rollout}`. End it: `thorctl rollout abort {rollout}`.",
            )
        yield


def at_work(rollout: str) -> bool:
    """Whether a process on this machine works on it."""
    with _lock(folder_of(rollout) / "at-work.lock", 0.0) as free:
        return not free


@contextmanager
def _lock(file: Path, patience: float) -> Iterator[bool]:
    """The lock for the length of the block; False if somebody has it for longer than ``patience`` seconds."""
    file.parent.mkdir(mode=PRIVATE, parents=True, exist_ok=True)
    handle = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    until = time.monotonic() + patience
    try:
        while not (mine := _taken(handle)) and time.monotonic() < until:
            time.sleep(RETRY_SECONDS)
        yield mine
    finally:
        os.close(handle)


def _taken(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
