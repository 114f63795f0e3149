"""``commit``: keep the release on trial. Refused unless a smoke passed since its activation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from thorctl.agent import deadline, journal, journal_file, release_store
from thorctl.agent.files import read_json
from thorctl.agent.journal import ACTIVATING, COMMITTED, TRIAL
from thorctl.agent.outcome import AgentError, Outcome

if TYPE_CHECKING:
    import argparse

    from thorctl.agent.context import Context
    from thorctl.agent.journal import Journal

_SHOWN = ("release", "passed", "at", "tokens_per_second")


def run(ctx: Context, args: argparse.Namespace) -> Outcome:
    """Write ``committed``, then take the timer back (one left over finds no trial and does nothing)."""
    now = journal_file.load(ctx.paths)
    if now.state == COMMITTED and (args.id == now.current or (args.id is None and now.left is None)):
        return Outcome({"release": now.current, "state": now.state})
    if now.state != TRIAL or args.id not in (None, now.target):
        raise _no_trial(now, args.id)
    if not args.without_smoke:
        _check_smoke(ctx, now)
    if now.target_sha256:
        release_store.read_document(ctx.paths, str(now.target), now.target_sha256)
    done = journal.commit(now, ctx.clock.now_text())
    journal_file.save(ctx, done)
    for state in (ACTIVATING, TRIAL):
        deadline.disarm(ctx, state, done.activation)
    return Outcome({"release": done.current, "state": done.state}, changed=True)


def last_smoke(ctx: Context) -> dict[str, Any] | None:
    """The last smoke: release, passed, at, tokens_per_second; None if none or unreadable."""
    try:
        smoke = read_json(ctx.paths.smoke_json)
        return None if smoke is None else {key: smoke[key] for key in _SHOWN}
    except (ValueError, KeyError, TypeError, OSError):
        return None


def _check_smoke(ctx: Context, now: Journal) -> None:
    smoke = last_smoke(ctx)
    good = smoke is not None and smoke["release"] == now.target and smoke["passed"] is True
    if not good or _activation_of(ctx) != now.activation:
        raise AgentError(
            "smoke_missing",
            f"No smoke passed for {now.target} since its activation at {now.activated_at}.",
            "Run `thorctl smoke DEVICE`, or commit with `--without-smoke` if you know why.",
            details={"last_smoke": smoke},
        )


def _activation_of(ctx: Context) -> int | None:
    """The activation that the last smoke speaks of; None where an agent before this one made it."""
    try:
        activation = read_json(ctx.paths.smoke_json)["activation"]
        return activation if isinstance(activation, int) else None
    except (ValueError, KeyError, TypeError, OSError):
        return None


def _no_trial(now: Journal, wanted: str | None) -> AgentError:
    what = f"{wanted} is not on trial" if wanted else "No release is on trial"
    ended = f" The trial of {now.left} ended by a rollback ({now.reason})." if now.left else ""
    where = f"{now.state}, {now.running}" if now.running else now.state
    return AgentError(
        "bad_state",
        f"{what}; this device is {where}.{ended}",
        "Activate the release first: `ansible-playbook activate.yml --limit DEVICE`.",
        details={"state": now.state, "release": now.running, "left": now.left, "reason": now.reason},
    )
