"""The record of detached verbs, ``/run/thor/private/jobs/<name>/``, and how far a job is.

``request.json`` says what was asked for, ``document`` holds the verb's standard input, ``running`` is locked
by the process that works, and ``answer.json`` is written when it ends. A restart of the device clears all.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any

from thorctl.agent.core.files import read_json
from thorctl.agent.core.outcome import AgentError
from thorctl.protocol import canonical_json
from thorctl.protocol.jobs import DONE, INTERRUPTED, RUNNING, Result

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from thorctl.agent.core.context import Context
    from thorctl.agent.core.outcome import Outcome

KEPT = 16  # answers of ended jobs; one has some 100 kB
_NOT_ASKED = {"root", "json_logs", "holder", "detach", "request", "limit"}  # of the command line


@dataclass(frozen=True)
class Request:
    """What a job is to do.

    Attributes:
        arguments: of the verb, as the command line's parser names them.
        holder, host, address: who asks, as the caller's own call would have it.
        seconds: after which systemd ends it.
        program: the copy of the agent that works it; empty: the agent's own source tree.
        document_sha256: of its standard input; None = it has none.
    """

    job: str
    verb: str
    arguments: dict[str, Any]
    holder: str
    host: str
    address: str | None
    since: str
    seconds: int
    program: str = ""
    document_sha256: str | None = None
    schema: int = 1

    @property
    def fingerprint(self) -> str:
        """What two requests for the same have in common: owner, verb, arguments and document."""
        same = [self.holder, self.verb, self.arguments, self.document_sha256]
        return hashlib.sha256(canonical_json.encode(same)).hexdigest()

    @property
    def unit(self) -> str:
        """Name of its transient unit."""
        return f"thor-job-{self.verb}-{self.job}"


def arguments_of(values: dict[str, Any]) -> dict[str, Any]:
    """The verb's part of a parsed command line."""
    return {name: value for name, value in values.items() if name not in _NOT_ASKED}


def folder(ctx: Context, job: str) -> Path:
    """Where the record of a job lies."""
    return ctx.paths.jobs / job


def document(ctx: Context, job: str) -> Path:
    """The job's standard input."""
    return folder(ctx, job) / "document"


def save(ctx: Context, request: Request, content: bytes | None) -> None:
    """Write the record of a new job; what an unfinished earlier attempt left is replaced."""
    for directory in (ctx.paths.locks, ctx.paths.jobs, folder(ctx, request.job)):
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    if content is not None:
        ctx.files.write(document(ctx, request.job), content, 0o600)
    ctx.files.write_json(folder(ctx, request.job) / "request.json", asdict(request), 0o600)


def load(ctx: Context, job: str) -> Request | None:
    """The job's request; None if the device has none of that name."""
    try:
        found = read_json(folder(ctx, job) / "request.json")
        known = {field.name for field in fields(Request)}
        return None if found is None else Request(**{key: found[key] for key in known & found.keys()})
    except (ValueError, TypeError, AttributeError, NotADirectoryError):
        return None


def all_requests(ctx: Context) -> list[Request]:
    """Every job on record, the oldest first."""
    try:
        names = [path.name for path in ctx.paths.jobs.iterdir()]
    except FileNotFoundError:
        return []
    found = [request for request in (load(ctx, name) for name in names) if request is not None]
    return sorted(found, key=lambda one: (one.since, one.job))


@contextmanager
def working(ctx: Context, request: Request) -> Iterator[None]:
    """Be the one process that works the job; what dies is at work no more.

    Raises:
        AgentError: ``bad_state``: a process works it, or has.
    """
    path = folder(ctx, request.job) / "running"
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise _worked(request) from None
        if os.fstat(descriptor).st_size:
            raise _worked(request)
        os.write(descriptor, str(os.getpid()).encode())
        yield
    finally:
        os.close(descriptor)


def _worked(request: Request) -> AgentError:
    return AgentError(
        "bad_state",
        f"Job {request.job} was begun already.",
        f"Ask for it: `thor-agent result {request.job}`.",
    )


def end(ctx: Context, request: Request, outcome: Outcome) -> None:
    """Record the verb's answer; its standard input has no more use."""
    answer = {"exit_code": outcome.exit_code, "answer": outcome.document(request.verb)}
    ctx.files.write_json(folder(ctx, request.job) / "answer.json", answer, 0o600)
    document(ctx, request.job).unlink(missing_ok=True)


def was_begun(ctx: Context, request: Request) -> bool:
    """Whether a process has ever worked the job."""
    return _pid(ctx, request) is not None


def result(ctx: Context, request: Request) -> Result:
    """How far the job is.

    Raises:
        AgentError: ``interrupted``: no process works it, and there is no answer.
    """
    job, verb = request.job, request.verb
    answer = _answer(ctx, request)
    if answer is None and not _works(ctx, request):
        answer = _answer(ctx, request)  # written between the two looks
        if answer is None:
            raise AgentError(
                INTERRUPTED,
                f"`{verb}` of {request.holder} ended without an answer: its process was killed.",
                "See the device's state with `thorctl status DEVICE`, then repeat the command.",
                details={"job": job, "verb": verb},
            )
    if answer is not None:
        return Result(job, verb, DONE, None, answer["exit_code"], answer["answer"])
    return Result(job, verb, RUNNING, _progress(ctx, request))


def _answer(ctx: Context, request: Request) -> dict[str, Any] | None:
    found: dict[str, Any] | None = read_json(folder(ctx, request.job) / "answer.json")
    return found


def _works(ctx: Context, request: Request) -> bool:
    """Whether a process works the job, or its unit is about to start one."""
    try:
        descriptor = os.open(folder(ctx, request.job) / "running", os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return unit_is_active(ctx, request)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return not was_begun(ctx, request) and unit_is_active(ctx, request)


def unit_is_active(ctx: Context, request: Request) -> bool:
    """Whether systemd has the job's unit at work."""
    words = ["systemctl", "show", "--property", "ActiveState", f"{request.unit}.service"]
    return ctx.runner.run(words).stdout.strip() in ("ActiveState=active", "ActiveState=activating")


def _pid(ctx: Context, request: Request) -> int | None:
    try:
        return int((folder(ctx, request.job) / "running").read_text())
    except (OSError, ValueError):
        return None


def _progress(ctx: Context, request: Request) -> dict[str, Any] | None:
    """The progress of the verb at work, if it is this job's."""
    try:
        found = json.loads(ctx.paths.progress_json.read_bytes())
        return found if found.get("pid") == _pid(ctx, request) else None
    except (OSError, ValueError, AttributeError):
        return None


def forget(ctx: Context) -> None:
    """Remove the oldest ended jobs beyond ``KEPT``, and unused copies of the agent."""
    requests = all_requests(ctx)
    at_work = [one for one in requests if _answer(ctx, one) is None and _works(ctx, one)]
    ended = [one for one in requests if one not in at_work]
    for one in ended[: max(0, len(ended) - KEPT)]:
        for path in folder(ctx, one.job).iterdir():
            path.unlink(missing_ok=True)
        folder(ctx, one.job).rmdir()
    used = {one.program for one in at_work}
    if ctx.paths.agent_copies.is_dir():
        for path in ctx.paths.agent_copies.iterdir():
            if str(path) not in used:
                path.unlink(missing_ok=True)
