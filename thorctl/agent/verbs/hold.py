"""``hold set REASON|clear [REASON]|show``: the device's own veto. It delays activation, not a rollback.

``hold "on patrol"`` also sets one, but a single word does not: a mistyped ``clear`` must not become a hold.
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
SAY_SECONDS = 60.0  # interval in which a waiting activation logs that it waits


def run(ctx: Context, args: argparse.Namespace) -> Outcome:
    """Set, clear or show the hold. A second set replaces the reason and keeps the time."""
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
    """Return the hold, or None. An unreadable one counts: only the device's own software writes it."""
    try:
        document = read_json(ctx.paths.hold_json)
        return None if document is None else decode(Hold, document)
    except (ValueError, OSError):
        return Hold("unreadable hold file")


def check(ctx: Context, over: str | None = None) -> None:
    """Raise ``held`` if the device is held, unless ``over`` equals the hold's reason.

    The reason ensures that the operator has read this hold, and that no newer one is overridden.
    """
    hold = current(ctx)
    if hold is None:
        return
    if hold.reason == over:
        ctx.log.warning("%s overrides the hold: %s", ctx.holder.name, over)
        return
    raise AgentError(
        "held",
        f"The device is held since {hold.since}: {hold.reason}.",
        "Wait for its end, or end it: `thorctl hold release DEVICE`. To override it, name its reason:"
        f" `--over-hold {shlex.quote(hold.reason)}`.",
        details={"hold": hold},
    )


def wait(ctx: Context, seconds: float, over: str | None) -> None:
    """Wait until the hold ends, at most ``seconds``; the caller then calls ``check``.

    The caller holds no lock, so a rollback does not wait meanwhile.
    """
    began = said = ctx.clock.monotonic()
    while (hold := current(ctx)) and hold.reason != over and ctx.clock.monotonic() - began < seconds:
        if said == began or ctx.clock.monotonic() - said >= SAY_SECONDS:
            said = ctx.clock.monotonic()
            ctx.log.info("waiting, at most %.0f s: the device is held: %s", seconds, hold.reason)
        ctx.clock.sleep(POLL_SECONDS)
