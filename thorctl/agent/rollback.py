"""``rollback``: leave the release on trial, or the committed one, for the one before; without the network."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from thorctl.agent import journal_file, switch
from thorctl.agent.journal import ACTIVATING, COMMITTED, ROLLING_BACK, TRIAL
from thorctl.agent.outcome import AgentError, Outcome

if TYPE_CHECKING:
    import argparse

    from thorctl.agent.context import Context
    from thorctl.agent.journal import Journal


def run(ctx: Context, args: argparse.Namespace) -> Outcome:
    """``ID`` is the release to leave: once it is left, saying it again changes nothing.

    Without ID a rollback right after a rollback does nothing either; to go further back, name the release.
    """
    journal = journal_file.load(ctx.paths)
    if args.only_in and not _still_meant(journal, args.only_in):
        return Outcome(_data(journal, left=None))
    if journal.state not in (ACTIVATING, TRIAL, ROLLING_BACK):
        if journal.left is not None and args.id in (None, journal.left):
            return Outcome(_data(journal, left=journal.left))
        _check_committed(journal, args.id)
    elif args.id not in (None, journal.target):
        raise _not_running(journal, args.id)
    journal = switch.roll_back(ctx, journal, args.reason or "asked")
    seconds = switch.wait_for_current(ctx, journal)
    return Outcome({**_data(journal, left=journal.left), "ready_seconds": seconds}, changed=True)


def _still_meant(journal: Journal, only_in: str) -> bool:
    """True if the timer's activation is in the timer's state still, or died on its way back from there."""
    state, _, activation = only_in.partition(":")
    return activation == str(journal.activation) and journal.state in (state, ROLLING_BACK)


def _data(journal: Journal, left: str | None) -> dict[str, Any]:
    return {"release": journal.running, "state": journal.state, "from": left}


def _check_committed(journal: Journal, wanted: str | None) -> None:
    if wanted not in (None, journal.current):
        raise _not_running(journal, wanted)
    if journal.state != COMMITTED or journal.previous is None:
        raise AgentError(
            "nothing_to_roll_back",
            f"Nothing was committed before {journal.current or 'now'} on this device.",
            "Activate the release you want: `thor-agent activate ID`.",
        )


def _not_running(journal: Journal, wanted: str | None) -> AgentError:
    return AgentError(
        "bad_state",
        f"{wanted} does not run here; the device is {journal.state} with {journal.running or 'no release'}.",
        "Name the release to leave, or none: `thor-agent rollback`.",
    )
