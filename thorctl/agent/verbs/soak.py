"""``soak start|show``: load-test the release on trial in a background process; show its record."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

from thorctl.agent.core.outcome import AgentError, Outcome
from thorctl.agent.core.paths import ENGINE_CONTAINER, ENGINE_UNIT
from thorctl.agent.engine import unit as engine_unit
from thorctl.agent.release.serving import running_release
from thorctl.agent.soak import record, unit
from thorctl.agent.soak.record import RUNNING, Asked, Record
from thorctl.agent.state.journal import load_journal
from thorctl.protocol.states import TRIAL
from thorctl.protocol.status import SoakShown

if TYPE_CHECKING:
    import argparse

    from thorctl.agent.core.context import Context

MOST_AT_ONCE = 64


def run(ctx: Context, args: argparse.Namespace) -> Outcome:
    """Start the soak, or continue the one of this activation; past progress counts.

    Raises:
        AgentError: ``bad_call``; ``bad_state`` unless the release is on trial; ``internal``.
    """
    journal = load_journal(ctx.paths)
    if args.action == "show":
        return Outcome(SoakShown(record.shown(ctx, journal)))
    asked = _asked(args)
    release = running_release(ctx, args.id)
    if journal.state != TRIAL:
        raise AgentError(
            "bad_state",
            f"{release.id} is not on trial here; the device is {journal.state}.",
            f"Start a trial first: `thorctl rollout start {release.id} DEVICE`.",
        )
    known = record.load(ctx)
    if known is None or (known.activation, known.asked) != (journal.activation, asked):
        unit.end(ctx, journal.activation)
        engine = engine_unit.state(ctx)
        since = _engine_since(ctx)
        known = Record(journal.activation, release.id, asked, since, engine.restarts, container_start(ctx))
        record.save(ctx, known)
    if known.state == RUNNING or not record.public(ctx, known).alive:
        unit.begin(ctx, journal.activation)
    return Outcome(SoakShown(replace(record.public(ctx, known), alive=True)), changed=True)


def _asked(args: argparse.Namespace) -> Asked:
    rules = (
        (args.steps >= 1, f"--steps {args.steps}: at least 1"),
        (1 <= args.concurrency <= MOST_AT_ONCE, f"--concurrency {args.concurrency}: 1 to {MOST_AT_ONCE}"),
        (args.minimum_rate > 0, f"--minimum-rate {args.minimum_rate:g}: more than 0"),
        (args.pause_seconds >= 0, f"--pause-seconds {args.pause_seconds}: at least 0"),
    )
    for holds, fault in rules:
        if not holds:
            raise AgentError("bad_call", f"{fault}.", "See `thor-agent soak --help`.")
    return Asked(args.steps, args.concurrency, args.minimum_rate, args.pause_seconds)


def _engine_since(ctx: Context) -> int:
    """Return the start of this trial's engine, in microseconds of the kernel's monotonic clock."""
    words = ["systemctl", "show", "--property", "InactiveExitTimestampMonotonic", "--value", ENGINE_UNIT]
    said = ctx.runner.run(words).stdout.strip()
    return int(said) if said.isdigit() and int(said) else time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000


def container_start(ctx: Context) -> str | None:
    """Return ID and start time of the engine's container; None if there is none or Docker does not answer."""
    try:
        found = ctx.docker.container(ENGINE_CONTAINER)
    except AgentError:
        return None
    state = (found or {}).get("State")
    return f"{(found or {}).get('Id')} {state.get('StartedAt')}" if isinstance(state, dict) else None
