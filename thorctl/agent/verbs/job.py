"""``job``: run a detached verb for its caller and record the answer. Called by the job's unit."""

from __future__ import annotations

import argparse
from dataclasses import replace
from typing import TYPE_CHECKING

from thorctl.agent.core.dispatch import dispatch
from thorctl.agent.core.holder import Holder
from thorctl.agent.core.outcome import AgentError, Outcome, ended_by
from thorctl.agent.core.progress import Progress
from thorctl.agent.core.signals import Interrupted
from thorctl.agent.jobs import record
from thorctl.protocol.jobs import NAME
from thorctl.protocol.owner import parse

if TYPE_CHECKING:
    from thorctl.agent.core.context import Context


def run(ctx: Context, args: argparse.Namespace) -> Outcome:
    """Dispatch the recorded request. Succeeds if the answer is recorded, whatever its content.

    Raises:
        AgentError: ``bad_state``: there is no such job, or it has begun already.
    """
    request = record.load(ctx, args.name) if NAME.fullmatch(args.name) else None
    if request is None:
        raise AgentError(
            "bad_state", f"There is no job {args.name}.", "Begin one: `thor-agent --detach VERB`."
        )
    owner = parse(request.holder)
    values = {**request.arguments, "root": ctx.paths.root, "detach": False}
    if request.document_sha256 is not None:
        values["release"] = str(record.document(ctx, request.job))
    asked = replace(
        ctx,
        holder=Holder(owner.name, request.host, request.address, owner.purpose),
        progress=Progress(ctx.paths, ctx.clock, request.verb),
    )
    with record.working(ctx, request):
        try:
            outcome = dispatch(asked, argparse.Namespace(**values))
        except Interrupted as told:  # before the verb began
            outcome = Outcome.of_error(ended_by(request.verb, str(told)))
        record.end(ctx, request, outcome)
    return Outcome({"job": request.job, "exit_code": outcome.exit_code})
