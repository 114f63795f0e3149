"""A polite end: SIGTERM and SIGINT become an exception, so that a verb can leave things whole."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import FrameType


class Interrupted(BaseException):
    """The process was told to end. Not an ``Exception``: no broad handler may swallow it."""


def _raise(number: int, _frame: FrameType | None) -> None:
    # Once only: the clean-up that follows must not be cut by an impatient second signal.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    raise Interrupted(signal.Signals(number).name)


def install() -> None:
    """Arm the handlers. SIGHUP is ignored: a lost SSH connection must not cut an activation in two."""
    signal.signal(signal.SIGTERM, _raise)
    signal.signal(signal.SIGINT, _raise)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
