"""``review``: extend the trial of a device's first release after its smoke test failed.

There is no release to restore, so an operator may inspect and accept it (``commit --accept-failed-smoke``).
Once per trial, for a limited time; a reboot ends it like any trial.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from thorctl.agent.core.clock import as_text
from thorctl.agent.core.outcome import AgentError, Outcome
from thorctl.agent.smoke import last as last_smoke
from thorctl.agent.state import deadline
from thorctl.agent.state.journal import REVIEW, begin_review, load_journal, save_journal
from thorctl.agent.verbs import commit
from thorctl.protocol.results import Reviewed
from thorctl.protocol.states import TRIAL

if TYPE_CHECKING:
    import argparse

    from thorctl.agent.core.context import Context
    from thorctl.agent.state.journal import Journal

MOST_SECONDS = 7 * 86400


def run(ctx: Context, args: argparse.Namespace) -> Outcome:
    """Set the second timer, write the journal, which makes the first timer void, then stop that one."""
    if not 0 < args.seconds <= MOST_SECONDS:
        raise AgentError(
            "bad_call",
            f"--seconds {args.seconds} is not between 1 and {MOST_SECONDS}.",
            "Give another number.",
        )
    journal = load_journal(ctx.paths)
    commit.check_on_trial(journal, args.id)
    if journal.review is not None:
        return Outcome(_data(ctx, journal))
    _check(ctx, journal)
    now, ends = ctx.clock.now(), ctx.clock.since_boot() + args.seconds
    deadline.arm(ctx, REVIEW, journal.activation, str(journal.target), args.seconds)
    kept = begin_review(journal, as_text(now), as_text(now + args.seconds), ends)
    save_journal(ctx, kept)
    deadline.disarm(ctx, TRIAL, kept.activation)
    return Outcome(_data(ctx, kept), changed=True)


def _data(ctx: Context, journal: Journal) -> Reviewed:
    return Reviewed(
        journal.target, journal.state, journal.deadline, deadline.review_seconds_left(ctx, journal)
    )


def _check(ctx: Context, journal: Journal) -> None:
    if journal.current is not None:
        raise AgentError(
            "bad_state",
            f"{journal.target} is not the first release here: {journal.current} was committed before it.",
            "Return to the previous release: `thorctl rollback DEVICE`.",
        )
    if not last_smoke.failed(ctx, journal):
        raise AgentError(
            "bad_state",
            f"No smoke test of {journal.target} has failed since its activation, so there is nothing "
            "to review.",
            "Run `thorctl smoke DEVICE`; if it passes, commit with `thorctl commit DEVICE`.",
        )
    if not deadline.armed(ctx, TRIAL, journal.activation):
        raise AgentError(
            "bad_state",
            f"The trial of {journal.target} has reached its deadline.",
            "Activate it again: `thorctl activate DEVICE`.",
        )
