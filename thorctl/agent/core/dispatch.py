"""Run one verb: lease, locks, events and progress around its ``run``."""

from __future__ import annotations

import importlib
import os
from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING, cast

from thorctl.agent.core import events, storage
from thorctl.agent.core.locking import locked
from thorctl.agent.core.outcome import AgentError, Outcome, ended_by, unforeseen
from thorctl.agent.core.signals import Interrupted
from thorctl.agent.state import deadline, disk_full
from thorctl.agent.state.deadline import LockEviction
from thorctl.agent.state.journal import load_journal
from thorctl.agent.verbs import hold, lease
from thorctl.protocol.verbs import VERBS

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    from thorctl.agent.core.context import Context
    from thorctl.protocol.verbs import Verb

DEVICE_PATIENCE_SECONDS = 6 * 3600.0  # the deadline's timer fires once, so it waits for the lock's owner


def dispatch(ctx: Context, args: argparse.Namespace) -> Outcome:
    """Run ``args.verb``. Raises no ``Exception``: an unexpected one becomes ``internal``."""
    verb = VERBS[args.verb]
    return _settled(ctx, verb, lambda: _work(ctx, args, verb))


def load(verb: Verb) -> Callable[[Context, argparse.Namespace], Outcome]:
    """Return the verb's ``run``. Only the called verb is imported, which keeps ``status`` fast."""
    return _load(f"verbs.{verb.name.replace('-', '_')}")


def _load(name: str) -> Callable[[Context, argparse.Namespace], Outcome]:
    module = importlib.import_module(f"thorctl.agent.{name}")
    return cast("Callable[[Context, argparse.Namespace], Outcome]", module.run)


def _work(ctx: Context, args: argparse.Namespace, verb: Verb) -> Outcome:
    if verb.name != "facts":
        storage.require_mounted(ctx)
    if args.detach:
        return _load("jobs.start")(ctx, args)
    return load(verb)(ctx, args) if verb.reads_only else _changing(ctx, args, verb)


def _changing(ctx: Context, args: argparse.Namespace, verb: Verb) -> Outcome:
    who = str(ctx.holder.owner)
    owner = {"verb": verb.name, "holder": who, "pid": os.getpid(), "since": ctx.clock.now_text()}
    patience = DEVICE_PATIENCE_SECONDS if ctx.holder.is_device and verb.name == "rollback" else 0.0
    work = load(verb)  # before any wait, during which the agent's file may be replaced
    eviction = partial(LockEviction, ctx, getattr(args, "only_in", None), getattr(args, "leave_alone", 0.0))
    if verb.name == "activate":
        hold.wait(ctx, args.wait_hold, args.over_hold)
    with ExitStack() as stack:
        try:
            for name in verb.locks:
                path, earlier = ctx.paths.locks / name, ctx.paths.run_dir / name
                waiting = eviction(path, earlier)
                stack.enter_context(locked(path, ctx.clock, owner, patience, waiting, earlier=earlier))
            if verb.leased and not ctx.holder.is_device:
                lease.check(ctx)
        except AgentError as refused:
            if refused.code == "busy" and verb.yields:
                # The fields of results.Recovered, whose import would take 10 ms of a start.
                nothing = {"did": "nothing", "state": None, "release": None}
                return Outcome({**nothing, "busy_with": refused.details})
            events.refused(ctx, verb.name, refused)
            raise
        if getattr(args, "action", None) == "show" or _left_over(ctx, args):
            return work(ctx, args)
        stack.callback(ctx.progress.close)
        asked = getattr(args, "id", None)
        events.begin(ctx, verb.name, asked, _arguments(args))
        outcome = _settled(ctx, verb, lambda: work(ctx, args))
        events.end(ctx, verb.name, asked, outcome)
        return outcome


def _left_over(ctx: Context, args: argparse.Namespace) -> bool:
    """Return whether a timer's state has ended: it then does nothing and records no event."""
    only_in: str | None = getattr(args, "only_in", None)
    try:
        return only_in is not None and not deadline.timer_applies(load_journal(ctx.paths), only_in)
    except AgentError:
        return False


def _settled(ctx: Context, verb: Verb, work: Callable[[], Outcome]) -> Outcome:
    """Return the outcome of ``work``, whether it returns or raises."""
    try:
        return work()
    except AgentError as failed:
        return Outcome.of_error(failed)
    except Interrupted as told:
        return Outcome.of_error(ended_by(verb.name, str(told)))
    except Exception as bug:
        refused = disk_full.as_error(bug)
        if refused is not None:
            return Outcome.of_error(refused)
        ctx.log.exception("unforeseen")
        return Outcome.of_error(unforeseen(bug))


def _arguments(args: argparse.Namespace) -> dict[str, object]:
    left_out = ("verb", "root", "holder", "json_logs", "detach", "request", "limit", "release")
    return {
        key: value
        for key, value in vars(args).items()
        if key not in left_out and value not in (None, "", False)
    }
