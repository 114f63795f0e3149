"""Detached verbs: the answers to ``thor-agent --detach VERB`` and to ``thor-agent result JOB``."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

RUNNING, DONE = "running", "done"
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
        state: ``running`` or ``done``.
        joined: whether an earlier call began it.
    """

    job: str
    state: str = RUNNING
    joined: bool = False

    def document(self) -> dict[str, Any]:
        """As data of the verb's envelope."""
        return asdict(self)

    @classmethod
    def read(cls, data: Mapping[str, Any]) -> Begun:
        """Read a document.

        Raises:
            ValueError: it is none.
        """
        job, state = data.get("job"), data.get("state")
        if not isinstance(job, str) or not NAME.fullmatch(job) or state not in (RUNNING, DONE):
            raise ValueError("it names no job")
        return cls(job, str(state), data.get("joined") is True)


@dataclass(frozen=True)
class Result:
    """How far a detached verb is.

    Attributes:
        state: ``running`` or ``done``.
        progress: the agent's progress while it runs; None where it tells none.
        exit_code, answer: of the verb, once it is done: what an attached call would have exited with and
            printed.
    """

    job: str
    verb: str
    state: str
    progress: Mapping[str, Any] | None = None
    exit_code: int | None = None
    answer: Mapping[str, Any] | None = None

    def document(self) -> dict[str, Any]:
        """As data of the envelope of ``result``."""
        return asdict(self)

    @classmethod
    def read(cls, data: Mapping[str, Any], job: str, verb: str) -> Result:
        """Read the document of a job of this name and verb.

        Raises:
            ValueError: it is none, or of another job.
        """
        if (data.get("job"), data.get("verb")) != (job, verb):
            raise ValueError(f"it is of another job than {job} ({verb})")
        progress, answer, code = (data.get(key) for key in ("progress", "answer", "exit_code"))
        if data.get("state") == RUNNING:
            return cls(job, verb, RUNNING, progress if isinstance(progress, dict) else None)
        whole = isinstance(answer, dict) and isinstance(code, int) and not isinstance(code, bool)
        if data.get("state") != DONE or not whole:
            raise ValueError("it has neither a state nor an answer")
        return cls(job, verb, DONE, None, code, answer)
