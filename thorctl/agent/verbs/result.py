"""``result``: the answer of a detached verb, or its progress. Reads only."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

from thorctl.agent.core.outcome import AgentError, Outcome
from thorctl.agent.jobs import record
from thorctl.protocol.encode import encode
from thorctl.protocol.jobs import INTERRUPTED, LONGEST_WAIT_SECONDS, NAME, RUNNING

if TYPE_CHECKING:
    import argparse

    from thorctl.agent.core.context import Context

LOOK_SECONDS = 0.5


def run(ctx: Context, args: argparse.Namespace) -> Outcome:
    """Wait at most ``--wait`` seconds for the job's end; return its answer, which may be an error.

    Raises:
        AgentError: ``interrupted``: no process runs the job, or this device has no record of it.
    """
    request = record.load(ctx, args.job) if NAME.fullmatch(args.job) else None
    if request is None:
        raise AgentError(
            INTERRUPTED,
            f"This device has no record of a job {args.job}: it has restarted since, or none was started.",
            "Check the device's state with `thorctl status DEVICE`, then repeat the command.",
        )
    now = ctx.clock.monotonic()
    until = now + min(args.wait, LONGEST_WAIT_SECONDS)
    told, told_at = None, None
    while True:
        found = record.result(ctx, request)
        if found.state != RUNNING or now >= until:
            return Outcome(encode(found))
        due = args.progress is not None and (told_at is None or now - told_at >= args.progress)
        if due and found.progress not in (None, told):
            told, told_at = found.progress, now
            sys.stderr.write(json.dumps({"progress": encode(told)}) + "\n")
            sys.stderr.flush()
        ctx.clock.sleep(LOOK_SECONDS)
        now = ctx.clock.monotonic()
