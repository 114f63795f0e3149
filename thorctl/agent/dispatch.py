"""One verb from arguments to outcome: lease, locks, events, progress around ``run``."""

from __future__ import annotations

import os
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING

from thorctl.agent import events, lease
from thorctl.agent.locking import locked
from thorctl.agent.outcome import AgentError, Outcome
from thorctl.agent.signals import Interrupted
from thorctl.agent.verbs import VERBS

if TYPE_CHECKING:
    import argparse

    from thorctl.agent.context import Context
    from thorctl.agent.verbs import Verb

DEVICE_PATIENCE_SECONDS = 6 * 3600.0  # the deadline's timer fires once: it waits for whoever is at work


def dispatch(ctx: Context, args: argparse.Namespace) -> Outcome:
    """Run ``args.verb``. Never raises an ``Exception``: what a verb did not foresee is ``internal``."""
    verb = VERBS[args.verb]
    try:
        if verb.reads_only:
            return verb.load()(ctx, args)
        return _changing(ctx, args, verb)
    except AgentError as failed:
        if failed.code == "busy" and verb.yields:
            return Outcome({"did": "nothing", "busy_with": failed.details})
        return Outcome.of_error(failed)
    except Interrupted as signal:
        stopped = AgentError(
            "internal",
            f"`{verb.name}` was stopped by {signal}; the device is in a whole state.",
            "Say it again to go on.",
        )
        return Outcome.of_error(stopped)
    except Exception as unforeseen:
        ctx.log.exception("unforeseen")
        bug = AgentError(
            "internal",
            f"{type(unforeseen).__name__}: {unforeseen}",
            "The traceback is on stderr. `thor-agent status` says where the device stands.",
        )
        return Outcome.of_error(bug)


def _changing(ctx: Context, args: argparse.Namespace, verb: Verb) -> Outcome:
    owner = {"verb": verb.name, "holder": ctx.holder.name, "pid": os.getpid(), "since": ctx.clock.now_text()}
    patience = DEVICE_PATIENCE_SECONDS if ctx.holder.is_device and verb.name == "rollback" else 0.0
    with ExitStack() as stack:
        for name in verb.locks:
            stack.enter_context(locked(ctx.paths.run_dir / name, ctx.clock, owner, patience))
        if verb.leased and not ctx.holder.is_device:
            lease.check(ctx)
        if verb.reads_only or getattr(args, "action", None) == "show":
            return verb.load()(ctx, args)
        stack.callback(ctx.progress.close)
        _note(ctx, {"at": owner["since"], "what": "begin", **owner, "arguments": _arguments(args)})
        outcome = _end(ctx, args, verb)
        end = {"at": ctx.clock.now_text(), "what": "end", "verb": verb.name, "holder": ctx.holder.name}
        code = outcome.error.code if outcome.error else None
        _note(ctx, {**end, "pid": os.getpid(), "changed": outcome.changed, "error": code})
        return outcome


def _end(ctx: Context, args: argparse.Namespace, verb: Verb) -> Outcome:
    try:
        return verb.load()(ctx, args)
    except AgentError as failed:
        return Outcome.of_error(failed)


def _arguments(args: argparse.Namespace) -> dict[str, object]:
    left_out = ("verb", "root", "holder", "json_logs", "release")
    return {
        key: value
        for key, value in vars(args).items()
        if key not in left_out and value not in (None, "", False)
    }


def _note(ctx: Context, event: dict[str, object]) -> None:
    # A full disk must not stop a rollback: the event log is the lesser good.
    with suppress(OSError):
        events.append(ctx.paths.events, event)
