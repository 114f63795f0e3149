"""``hold set REASON|clear|show``: the device's own veto. It delays activation, not staging or a rollback."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from thorctl.agent.files import read_json
from thorctl.agent.outcome import AgentError, Outcome

if TYPE_CHECKING:
    import argparse

    from thorctl.agent.context import Context


def run(ctx: Context, args: argparse.Namespace) -> Outcome:
    """Set (a second set replaces the reason and keeps the time), clear or show."""
    present = current(ctx)
    if args.action == "show":
        return Outcome({"hold": present})
    if args.action == "clear":
        ctx.files.remove(ctx.paths.hold_json)
        return Outcome({"hold": None}, changed=present is not None)
    if not args.reason:
        raise AgentError(
            "bad_call", "A hold needs a reason.", 'For example: `thor-agent hold set "on patrol"`.'
        )
    hold = {"reason": args.reason, "since": present["since"] if present else ctx.clock.now_text()}
    if hold == present:
        return Outcome({"hold": hold})
    ctx.files.write_json(ctx.paths.hold_json, hold)
    return Outcome({"hold": hold}, changed=True)


def current(ctx: Context) -> dict[str, Any] | None:
    """The hold, or None. An unreadable one holds: nobody but the device's own software puts it there."""
    try:
        hold = read_json(ctx.paths.hold_json)
        return None if hold is None else {"reason": str(hold["reason"]), "since": hold["since"]}
    except (ValueError, KeyError, TypeError):
        return {"reason": "unreadable hold file", "since": None}


def check(ctx: Context) -> None:
    """Raise ``held`` if the device holds."""
    hold = current(ctx)
    if hold:
        raise AgentError(
            "held",
            f"The device holds since {hold['since']}: {hold['reason']}.",
            "Wait until it lets go (`thor-agent hold show`), or `thor-agent hold clear`.",
            details={"hold": hold},
        )
