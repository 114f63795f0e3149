"""``hold set REASON|clear [REASON]|show``: the device's own veto. It delays activation, not a rollback.

``hold "on patrol"`` sets one too. One word alone does not: a mistyped ``clear`` must not become a hold.
"""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from thorctl.agent.core.files import read_json
from thorctl.agent.core.outcome import AgentError, Outcome
from thorctl.protocol.decode import decode
from thorctl.protocol.encode import encode
from thorctl.protocol.lease import Hold, HoldShown

if TYPE_CHECKING:
    import argparse

    from thorctl.agent.core.context import Context

ACTIONS = ("set", "clear", "show")
POLL_SECONDS = 1.0
SAY_SECONDS = 60.0  # how often a waiting activation says that it waits


def run(ctx: Context, args: argparse.Namespace) -> Outcome:
    """Set (a second set replaces the reason and keeps the time), clear or show."""
    present = current(ctx)
    if args.action == "show":
        return Outcome(HoldShown(present))
    if args.action == "clear":
        if present and args.reason not in ("", present.reason):
            raise AgentError(
                "bad_state",
                f"The device is held for {present.reason!r}, not for {args.reason!r}.",
                "Name the hold that `thorctl hold show DEVICE` lists, or leave the reason out.",
                details={"hold": present},
            )
        ctx.files.remove(ctx.paths.hold_json)
        return Outcome(HoldShown(None), changed=present is not None)
    reason = _reason(args)
    hold = Hold(reason, present.since if present else ctx.clock.now_text())
    if hold == present:
        return Outcome(HoldShown(hold))
    ctx.files.write_json(ctx.paths.hold_json, encode(hold))
    return Outcome(HoldShown(hold), changed=True)


def _reason(args: argparse.Namespace) -> str:
    example = (
        'Use `thorctl hold set DEVICE --reason "on patrol"`, `thorctl hold release DEVICE` or '
        "`thorctl hold show DEVICE`."
    )
    if args.action in ACTIONS:
        if not args.reason:
            raise AgentError("bad_call", "A hold needs a reason.", example)
        return str(args.reason)
    if args.reason or len(args.action.split()) < 2:
        raise AgentError("bad_call", f"The action {args.action!r} of hold is unknown.", example)
    return str(args.action)


def current(ctx: Context) -> Hold | None:
    """The hold, or None. An unreadable one holds: nobody but the device's own software puts it there."""
    try:
        document = read_json(ctx.paths.hold_json)
        return None if document is None else decode(Hold, document)
    except (ValueError, OSError):
        return Hold("unreadable hold file")


def check(ctx: Context, over: str | None = None) -> None:
    """Raise ``held`` if the device holds, unless ``over`` is the very reason it holds for.

    By name, so that nobody passes over a hold that he has not read, or that came after it.
    """
    hold = current(ctx)
    if hold is None:
        return
    if hold.reason == over:
        ctx.log.warning("%s passes over the hold: %s", ctx.holder.name, over)
        return
    raise AgentError(
        "held",
        f"The device holds since {hold.since}: {hold.reason}.",
        "Wait for its end, or end it: `thorctl hold release DEVICE`. Or pass over it by name:"
        f" `--over-hold {shlex.quote(hold.reason)}`.",
        details={"hold": hold},
    )


def wait(ctx: Context, seconds: float, over: str | None) -> None:
    """Wait until the device lets go, at most so long; what it says then is for ``check`` to judge.

    The caller holds no lock: whoever wants to go back meanwhile is not kept waiting.
    """
    began = said = ctx.clock.monotonic()
    while (hold := current(ctx)) and hold.reason != over and ctx.clock.monotonic() - began < seconds:
        if said == began or ctx.clock.monotonic() - said >= SAY_SECONDS:
            said = ctx.clock.monotonic()
            ctx.log.info("waiting, at most %.0f s: the device holds: %s", seconds, hold.reason)
        ctx.clock.sleep(POLL_SECONDS)
