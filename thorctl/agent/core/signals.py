"""Graceful termination: SIGTERM and SIGINT raise an exception, so that a verb can clean up."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import FrameType


class Interrupted(BaseException):
    """The process was told to terminate. Not an ``Exception``, so that no broad handler catches it."""


def _raise(number: int, _frame: FrameType | None) -> None:
    # Once only: a second signal must not interrupt the clean-up.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    raise Interrupted(signal.Signals(number).name)


def install() -> None:
    """Install the handlers. SIGHUP is ignored: a lost SSH connection must not interrupt an activation."""
    signal.signal(signal.SIGTERM, _raise)
    signal.signal(signal.SIGINT, _raise)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
