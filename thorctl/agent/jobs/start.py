"""Start a detached verb: record the request, then run it in a transient systemd unit.

A repeated request joins the job, or returns its recorded answer. A job runs a copy of the agent, so that an
update of the agent does not replace its file.
"""

from __future__ import annotations

import hashlib
import sys
from dataclasses import replace
from typing import TYPE_CHECKING
from uuid import uuid4

from thorctl.agent.core.locking import locked
from thorctl.agent.core.outcome import AgentError, Outcome
from thorctl.agent.core.program import interpreter, program
from thorctl.agent.jobs import record
from thorctl.agent.jobs.record import Request
from thorctl.agent.release.document import LIMIT_BYTES
from thorctl.agent.verbs import lease
from thorctl.protocol.encode import encode
from thorctl.protocol.jobs import NAME, RUNNING, STOP_SECONDS, Begun
from thorctl.protocol.sizes import gigabytes
from thorctl.protocol.verbs import VERBS

if TYPE_CHECKING:
    import argparse

    from thorctl.agent.core.context import Context

WAIT_SECONDS = 30.0  # for another call that starts a job, which takes systemd 0.1 s


def run(ctx: Context, args: argparse.Namespace) -> Outcome:
    """Start ``args.verb`` in a unit of its own; return at once.

    Raises:
        AgentError: ``bad_call``; ``busy``: another job has the verb's locks; ``leased``; ``internal``, if
            systemd reports a failure.
    """
    verb = VERBS[args.verb]
    if not verb.detached or getattr(args, "dry_run", False):
        raise AgentError("bad_call", f"`{verb.name}` cannot run detached.", "Leave --detach out.")
    job = args.request or uuid4().hex
    if not NAME.fullmatch(job):
        raise AgentError("bad_call", f"--request {job!r} is not a name.", "Use letters, digits and dashes.")
    content = _standard_input(args)
    request = Request(
        job=job,
        verb=verb.name,
        arguments=record.arguments_of(vars(args)),
        holder=str(ctx.holder.owner),
        host=ctx.holder.host,
        address=ctx.holder.address,
        since=ctx.clock.now_text(),
        seconds=int(args.limit or verb.seconds),
        document_sha256=None if content is None else hashlib.sha256(content).hexdigest(),
    )
    owner = {"verb": verb.name, "holder": request.holder, "since": request.since}
    with locked(ctx.paths.locks / "jobs.lock", ctx.clock, owner, WAIT_SECONDS):
        return Outcome(encode(_begin(ctx, request, content)))


def _standard_input(args: argparse.Namespace) -> bytes | None:
    """Return the release document on standard input, which the job reads from its record."""
    if getattr(args, "release", None) != "-":
        return None
    content = sys.stdin.buffer.read(LIMIT_BYTES + 1)
    if len(content) > LIMIT_BYTES:
        raise AgentError(
            "release_invalid",
            f"The release document is larger than {gigabytes(LIMIT_BYTES)}.",
            "Check the program that sends it.",
        )
    return content


def _begin(ctx: Context, request: Request, content: bytes | None) -> Begun:
    earlier = record.load(ctx, request.job)
    if earlier is not None:
        if earlier.fingerprint != request.fingerprint:
            raise AgentError(
                "bad_call",
                f"Request {request.job} belongs to another job: `{earlier.verb}` of {earlier.holder}.",
                "Use a unique name for each request.",
            )
        if record.was_begun(ctx, earlier) or record.unit_is_active(ctx, earlier):
            return Begun(earlier.job, record.result(ctx, earlier).state, joined=True)
    for other in _at_work(ctx):
        if other.fingerprint == request.fingerprint:
            return Begun(other.job, joined=True)
        if set(VERBS[other.verb].locks) & set(VERBS[request.verb].locks):
            raise AgentError(
                "busy",
                f"This device is busy with `{other.verb}` of {other.holder} since {other.since}.",
                "Wait until it ends (`thorctl status DEVICE` shows its progress), then repeat the command.",
                details={key: getattr(other, key) for key in ("verb", "holder", "since", "job")},
            )
    if VERBS[request.verb].leased:
        lease.check(ctx)
    record.forget(ctx)
    request = replace(request, program=_copy(ctx))
    record.save(ctx, request, content)
    _begin_unit(ctx, request)
    return Begun(request.job)


def _copy(ctx: Context) -> str:
    """Copy this agent to where the download account can read it; return '' for a source tree."""
    source = program()
    if not source.is_file():
        return ""
    content = source.read_bytes()
    target = ctx.paths.agent_copies / f"{hashlib.sha256(content).hexdigest()}.pyz"
    if not target.exists():
        target.parent.mkdir(mode=0o755, exist_ok=True)
        ctx.files.write(target, content, 0o644)
    return str(target)


def _begin_unit(ctx: Context, request: Request) -> None:
    """Start the job's unit.

    Raises:
        AgentError: ``internal``, if systemd reports a failure.
    """
    root = ["--root", str(ctx.paths.root)] if ctx.paths.root != ctx.paths.root.parent else []
    properties = (
        # The record holds the verb's output; `/dev/null` never disconnects.
        *("StandardOutput=null", "StandardError=journal"),
        f"RuntimeMaxSec={request.seconds}",
        f"TimeoutStopSec={STOP_SECONDS}",
        "KillMode=mixed",  # the verb itself ends its programs
    )
    ctx.runner.run(["systemctl", "reset-failed", f"{request.unit}.service"])
    done = ctx.runner.run(
        [
            *("systemd-run", "--quiet", "--collect", "--service-type=exec", "--unit", request.unit),
            *("--description", f"thor-agent {request.verb}, detached"),
            *(word for one in properties for word in ("--property", one)),
            *(interpreter(), "-I", request.program or str(program()), *root, "job", request.job),
        ]
    )
    if not done.ok:
        raise AgentError(
            "internal",
            f"systemd did not start `{request.verb}` (exit {done.rc}): {done.stderr.strip()}",
            "Read `systemctl status` and `journalctl -b` on the device, then repeat the command.",
        )


def _at_work(ctx: Context) -> list[Request]:
    found = []
    for one in record.all_requests(ctx):
        try:
            if record.result(ctx, one).state == RUNNING:
                found.append(one)
        except AgentError:
            continue  # interrupted
    return found
