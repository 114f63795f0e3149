"""``lease take|give|show``: one owner's right to change this device, with holder, purpose, reason and expiry.

An owner is a name and a purpose: a rollout's lease is not its operator's own.

It is stored in memory (/run) and expires by the clock since boot: a wall clock that jumps can neither end it
early, with two operators active, nor extend it by years.
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
    """Acquire (or renew), release or show the lease. Releasing another owner's needs ``--force``."""
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
    """Return the unexpired lease, or None. An unreadable one counts until the next boot.

    Only a person or another program can have written it, so the safe answer is to refuse.
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
    """Return the seconds until the lease expires.

    Raises:
        ValueError, TypeError, OverflowError: its fields are invalid.
    """
    if ends_since_boot is not None:
        return decode(float, ends_since_boot) - ctx.clock.since_boot()
    return as_seconds(str(lease.expires_at)) - ctx.clock.now()  # of an earlier agent


def check(ctx: Context) -> None:
    """Raise ``leased`` if an unexpired lease belongs to another holder, or has another purpose."""
    lease = current(ctx)
    if lease is None or lease.owner == ctx.holder.owner:
        return
    raise AgentError(
        "leased",
        f"This device is leased by {lease.words}.",
        lease.owner.way_out("DEVICE"),
        details={"lease": lease},
    )
