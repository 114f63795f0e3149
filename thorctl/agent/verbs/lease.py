"""``lease take|give|show``: one owner's right to change this device, with holder, purpose, reason and expiry.

An owner is a name and a purpose: what a rollout holds is not its own operator's to change by hand.

It lies in memory (/run) and ends by the clock that counts from boot: a wall clock that jumps neither ends it
early, with two operators at work, nor keeps it for years.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from thorctl.agent.core.clock import as_seconds, as_text
from thorctl.agent.core.files import read_json
from thorctl.agent.core.outcome import AgentError, Outcome
from thorctl.protocol.decode import decode
from thorctl.protocol.encode import encode
from thorctl.protocol.lease import Lease, LeaseShown
from thorctl.protocol.owner import UNKNOWN

if TYPE_CHECKING:
    import argparse

    from thorctl.agent.core.context import Context


def run(ctx: Context, args: argparse.Namespace) -> Outcome:
    """Take (or renew), give back or show the lease. Giving another's lease back needs ``--force``."""
    present = current(ctx)
    if args.action == "show":
        return Outcome(LeaseShown(present))
    if not args.force:
        check(ctx)
    if args.action == "give":
        ctx.files.remove(ctx.paths.lease_json)
        return Outcome(LeaseShown(None), changed=present is not None)
    if args.ttl <= 0:
        raise AgentError("bad_call", f"--ttl {args.ttl} is not positive.", "Give its length in seconds.")
    now = ctx.clock.now()
    lease = Lease(
        holder=ctx.holder.name,
        purpose=ctx.holder.purpose,
        host=ctx.holder.host,
        reason=args.reason,
        taken_at=as_text(now),
        expires_at=as_text(now + args.ttl),
    )
    ends = ctx.clock.since_boot() + args.ttl
    ctx.files.write_json(ctx.paths.lease_json, {**encode(lease), "ends_since_boot": ends})
    return Outcome(LeaseShown(lease), changed=True)


def current(ctx: Context) -> Lease | None:
    """The unexpired lease, or None. An unreadable one counts as held by nobody known, until the next boot.

    /run is memory: what stands there unreadable was put there by hand, and refusing is the safe answer.
    """
    try:
        document = read_json(ctx.paths.lease_json)
        if document is None:
            return None
        lease = decode(Lease, document)
        left = _left(ctx, lease, document.get("ends_since_boot"))
        ends = as_text(round(ctx.clock.now() + left))
    except (ValueError, TypeError, OverflowError, OSError):
        return Lease(UNKNOWN, UNKNOWN, UNKNOWN, "unreadable lease")
    if left <= 0:
        return None
    return replace(lease, holder=lease.owner.name, purpose=lease.owner.purpose, expires_at=ends)


def _left(ctx: Context, lease: Lease, ends_since_boot: object) -> float:
    """Seconds until it ends.

    Raises:
        ValueError, TypeError, OverflowError: there is no telling.
    """
    if ends_since_boot is not None:
        return decode(float, ends_since_boot) - ctx.clock.since_boot()
    return as_seconds(str(lease.expires_at)) - ctx.clock.now()  # taken by an agent before this one


def check(ctx: Context) -> None:
    """Raise ``leased`` if an unexpired lease is another holder's, or this one's for another purpose."""
    lease = current(ctx)
    if lease is None or lease.owner == ctx.holder.owner:
        return
    raise AgentError(
        "leased",
        f"This device is leased by {lease.words}.",
        lease.owner.way_out("DEVICE"),
        details={"lease": lease},
    )
