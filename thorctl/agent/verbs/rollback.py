"""``rollback``: restore the previous release, from a trial or a commit; needs no network."""

from __future__ import annotations

from typing import TYPE_CHECKING

from thorctl.agent.core.outcome import AgentError, Outcome
from thorctl.agent.release import store as release_store
from thorctl.agent.state import deadline, rollback
from thorctl.agent.state.journal import load_journal
from thorctl.protocol.results import Alternative, RolledBack
from thorctl.protocol.states import ACTIVATING, COMMITTED, ROLLING_BACK, TRIAL

if TYPE_CHECKING:
    import argparse

    from thorctl.agent.core.context import Context
    from thorctl.agent.state.journal import Journal


def run(ctx: Context, args: argparse.Namespace) -> Outcome:
    """Leave the release ``ID``; idempotent, so a repeated call with the same ID changes nothing.

    Without ID a second rollback in a row changes nothing either; to go further, name the release to leave.
    """
    journal = load_journal(ctx.paths)
    if args.only_in and not deadline.timer_applies(journal, args.only_in):
        return Outcome(_data(ctx, journal, left=None))
    if journal.state not in (ACTIVATING, TRIAL, ROLLING_BACK):
        if journal.left is not None and args.id in (None, journal.left):
            return Outcome(_data(ctx, journal, left=journal.left))
        _check_committed(ctx, journal, args.id)
    elif args.id not in (None, journal.target):
        raise _not_running(journal, args.id)
    journal = rollback.roll_back(ctx, journal, args.reason or "asked", repair=True)
    try:
        seconds = rollback.wait_for_current(ctx, journal)
    except AgentError as not_ready:
        not_ready.data = _data(ctx, journal, left=journal.left)
        raise
    return Outcome(_data(ctx, journal, left=journal.left, seconds=seconds), changed=True)


def _data(ctx: Context, journal: Journal, left: str | None, seconds: float | None = None) -> RolledBack:
    return RolledBack(journal.running, journal.state, left, tuple(_also_possible(ctx, journal)), seconds)


def _also_possible(ctx: Context, journal: Journal) -> list[Alternative]:
    """Return the other releases that this device can switch to without a download."""
    further = journal.previous if journal.state == COMMITTED else None
    others = [
        Alternative(one, f"thor-agent activate {one}")
        for one in release_store.staged_ids(ctx.paths)
        if one not in (journal.running, further)
    ]
    back = [Alternative(further, f"thor-agent rollback {journal.current}")] if further else []
    return back + others


def _check_committed(ctx: Context, journal: Journal, wanted: str | None) -> None:
    if wanted not in (None, journal.current):
        raise _not_running(journal, wanted)
    if journal.state != COMMITTED or journal.previous is None:
        possible = _also_possible(ctx, journal)
        commands = ", ".join(f"`thorctl rollout start {one.release} DEVICE`" for one in possible)
        raise AgentError(
            "nothing_to_roll_back",
            f"No release was committed before {journal.current or 'now'} on this device.",
            f"Roll out a release: {commands or '`thorctl rollout start RELEASE DEVICE`'}.",
            details={"also_possible": possible},
        )


def _not_running(journal: Journal, wanted: str | None) -> AgentError:
    return AgentError(
        "bad_state",
        f"{wanted} is not running; the device is {journal.state} with {journal.running or 'no release'}.",
        "Leave the release out: `thorctl rollback DEVICE`.",
    )
