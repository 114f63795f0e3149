"""Detached verbs: the answers to ``thor-agent --detach VERB`` and to ``thor-agent result JOB``."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from thorctl.protocol.progress import Progress

RUNNING: Literal["running"] = "running"
DONE: Literal["done"] = "done"
NAME = re.compile(r"[0-9A-Za-z][0-9A-Za-z-]{0,63}")  # part of a unit's and of a directory's name
INTERRUPTED = "interrupted"  # error code: the job ended without an answer, or the device has no record of it
LONGEST_WAIT_SECONDS = 300.0  # of one ``result``
STOP_SECONDS = 300  # of a job that is told to end: an engine takes 240 s to stop
END_SECONDS = STOP_SECONDS + 60.0  # beyond the time limit of a job, until its caller gives it up


@dataclass(frozen=True)
class Begun:
    """A detached verb has begun.

    Attributes:
        job: its name, which may be that of an earlier request for the same.
        joined: whether an earlier call began it.
    """

    job: str
    state: Literal["running", "done"] = RUNNING
    joined: bool = False


@dataclass(frozen=True)
class Result:
    """How far a detached verb is.

    Attributes:
        progress: the agent's progress while it runs; None where it tells none.
        exit_code, answer: of the verb, once it is done: what an attached call would have exited with and
            printed.
    """

    job: str
    verb: str
    state: Literal["running", "done"]
    progress: Progress | None = None
    exit_code: int | None = None
    answer: dict[str, object] | None = None
