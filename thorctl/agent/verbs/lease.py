"""``lease take|give|show``: one owner's right to change this device, with holder, purpose, reason and expiry.

An owner is a name and a purpose: what a rollout holds is not its own operator's to change by hand.

It lies in memory (/run) and ends by the clock that counts from boot: a wall clock that jumps neither ends it
early, with two operators at work, nor keeps it for years.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from thorctl.agent.core.clock import as_seconds, as_text
from thorctl.agent.core.files import read_json
from thorctl.agent.core.outcome import AgentError, Outcome
from thorctl.protocol.owner import UNKNOWN, held_words, owner_of

if TYPE_CHECKING:
    import argparse

    from thorctl.agent.core.context import Context


def run(ctx: Context, args: argparse.Namespace) -> Outcome:
    """Take (or renew), give back or show the lease. Giving another's lease back needs ``--force``."""
    present = current(ctx)
    if args.action == "show":
        return Outcome({"lease": present})
    if not args.force:
        check(ctx)
    if args.action == "give":
        ctx.files.remove(ctx.paths.lease_json)
        return Outcome({"lease": None}, changed=present is not None)
    if args.ttl <= 0:
        raise AgentError(
            "bad_call", f"--ttl {args.ttl}: must be positive.", "Give the seconds it is to last."
        )
    now = ctx.clock.now()
    lease = {
        "holder": ctx.holder.name,
        "purpose": ctx.holder.purpose,
        "host": ctx.holder.host,
        "reason": args.reason,
        "taken_at": as_text(now),
        "expires_at": as_text(now + args.ttl),
    }
    ends = ctx.clock.since_boot() + args.ttl
    ctx.files.write_json(ctx.paths.lease_json, {**lease, "ends_since_boot": ends})
    return Outcome({"lease": lease}, changed=True)


def current(ctx: Context) -> dict[str, Any] | None:
    """The unexpired lease, or None. An unreadable one counts as held by nobody known, until the next boot.

    /run is memory: what stands there unreadable was put there by hand, and refusing is the safe answer.
    """
    try:
        lease = read_json(ctx.paths.lease_json)
        if lease is None or (left := _left(ctx, lease)) <= 0:
            return None
        owner = owner_of(lease)
        shown = {key: lease[key] for key in ("host", "reason", "taken_at")}
        return {
            "holder": owner.name,
            "purpose": owner.purpose,
            **shown,
            "expires_at": as_text(round(ctx.clock.now() + left)),
        }
    except (ValueError, KeyError, TypeError, OverflowError, OSError):
        return {
            "holder": UNKNOWN,
            "purpose": UNKNOWN,
            "host": UNKNOWN,
            "reason": "unreadable lease",
            "taken_at": None,
            "expires_at": None,
        }


def _left(ctx: Context, lease: dict[str, Any]) -> float:
    """Seconds until it ends."""
    if "ends_since_boot" in lease:
        return float(lease["ends_since_boot"]) - ctx.clock.since_boot()
    return as_seconds(lease["expires_at"]) - ctx.clock.now()  # taken by an agent before this one


def check(ctx: Context) -> None:
    """Raise ``leased`` if an unexpired lease is another holder's, or this one's for another purpose."""
    lease = current(ctx)
    if lease is None or owner_of(lease) == ctx.holder.owner:
        return
    raise AgentError(
        "leased",
        f"This device is leased by {held_words(lease)}.",
        owner_of(lease).way_out("DEVICE"),
        details={"lease": lease},
    )
