"""The records of detached verbs, ``/run/thor/private/jobs/<name>/``, and their progress.

``request.json`` is the request, ``document`` the verb's standard input, ``running`` is locked by the process
that runs it, and ``answer.json`` is written at the end. A restart of the device clears all.
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
from thorctl.protocol.decode import decode
from thorctl.protocol.jobs import DONE, INTERRUPTED, RUNNING, Result
from thorctl.protocol.progress import Progress

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from thorctl.agent.core.context import Context
    from thorctl.agent.core.outcome import Outcome

KEPT = 16  # number of ended jobs kept; an answer has some 100 kB
_NOT_ASKED = {"root", "json_logs", "holder", "detach", "request", "limit"}  # not arguments of the verb


@dataclass(frozen=True)
class Request:
    """The request of a job.

    Attributes:
        arguments: the verb's, named as in the command line's parser.
        holder, host, address: the caller, as in a direct call.
        seconds: time limit, enforced by systemd.
        program: the copy of the agent that runs it; empty: the agent's source tree.
        document_sha256: hash of the standard input; None = there is none.
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
        """Return the identity of a request: owner, verb, arguments and document."""
        same = [self.holder, self.verb, self.arguments, self.document_sha256]
        return hashlib.sha256(canonical_json.encode(same)).hexdigest()

    @property
    def unit(self) -> str:
        """The name of its transient unit."""
        return f"thor-job-{self.verb}-{self.job}"


def arguments_of(values: dict[str, Any]) -> dict[str, Any]:
    """Return the verb's part of a parsed command line."""
    return {name: value for name, value in values.items() if name not in _NOT_ASKED}


def folder(ctx: Context, job: str) -> Path:
    """Return the directory of a job's record."""
    return ctx.paths.jobs / job


def document(ctx: Context, job: str) -> Path:
    """Return the path of the job's standard input."""
    return folder(ctx, job) / "document"


def save(ctx: Context, request: Request, content: bytes | None) -> None:
    """Write the record of a new job; replace that of an incomplete attempt."""
    for directory in (ctx.paths.locks, ctx.paths.jobs, folder(ctx, request.job)):
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    if content is not None:
        ctx.files.write(document(ctx, request.job), content, 0o600)
    ctx.files.write_json(folder(ctx, request.job) / "request.json", asdict(request), 0o600)


def load(ctx: Context, job: str) -> Request | None:
    """Return the job's request; None if the device has none of that name."""
    try:
        found = read_json(folder(ctx, job) / "request.json")
        known = {field.name for field in fields(Request)}
        return None if found is None else Request(**{key: found[key] for key in known & found.keys()})
    except (ValueError, TypeError, AttributeError, NotADirectoryError):
        return None


def all_requests(ctx: Context) -> list[Request]:
    """Return all recorded jobs, the oldest first."""
    try:
        names = [path.name for path in ctx.paths.jobs.iterdir()]
    except FileNotFoundError:
        return []
    found = [request for request in (load(ctx, name) for name in names) if request is not None]
    return sorted(found, key=lambda one: (one.since, one.job))


@contextmanager
def working(ctx: Context, request: Request) -> Iterator[None]:
    """Be the one process that runs the job; the lock ends with the process.

    Raises:
        AgentError: ``bad_state``: a process runs it, or has run it.
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
        f"Job {request.job} was started already.",
        f"Read its answer: `thor-agent result {request.job}`.",
    )


def end(ctx: Context, request: Request, outcome: Outcome) -> None:
    """Record the verb's answer; delete its standard input."""
    answer = {"exit_code": outcome.exit_code, "answer": outcome.document(request.verb)}
    ctx.files.write_json(folder(ctx, request.job) / "answer.json", answer, 0o600)
    document(ctx, request.job).unlink(missing_ok=True)


def was_begun(ctx: Context, request: Request) -> bool:
    """Return whether a process has ever run the job."""
    return _pid(ctx, request) is not None


def result(ctx: Context, request: Request) -> Result:
    """Return the job's answer or progress.

    Raises:
        AgentError: ``interrupted``: no process runs it, and there is no answer.
    """
    job, verb = request.job, request.verb
    answer = _answer(ctx, request)
    if answer is None and not _works(ctx, request):
        answer = _answer(ctx, request)  # it may have been written meanwhile
        if answer is None:
            raise AgentError(
                INTERRUPTED,
                f"`{verb}` of {request.holder} ended without an answer: its process was killed.",
                "Check the device's state with `thorctl status DEVICE`, then repeat the command.",
                details={"job": job, "verb": verb},
            )
    if answer is not None:
        return Result(job, verb, DONE, None, answer["exit_code"], answer["answer"])
    return Result(job, verb, RUNNING, _progress(ctx, request))


def _answer(ctx: Context, request: Request) -> dict[str, Any] | None:
    found: dict[str, Any] | None = read_json(folder(ctx, request.job) / "answer.json")
    return found


def _works(ctx: Context, request: Request) -> bool:
    """Return whether a process runs the job, or its unit is about to start one."""
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
    """Return whether systemd reports the job's unit as active."""
    words = ["systemctl", "show", "--property", "ActiveState", f"{request.unit}.service"]
    return ctx.runner.run(words).stdout.strip() in ("ActiveState=active", "ActiveState=activating")


def _pid(ctx: Context, request: Request) -> int | None:
    try:
        return int((folder(ctx, request.job) / "running").read_text())
    except (OSError, ValueError):
        return None


def _progress(ctx: Context, request: Request) -> Progress | None:
    """Return the progress of the running verb, if it is this job's."""
    try:
        found = decode(Progress, json.loads(ctx.paths.progress_json.read_bytes()))
    except (OSError, ValueError):
        return None
    return found if found.pid == _pid(ctx, request) else None


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
