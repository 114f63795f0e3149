"""``commit``: keep the release on trial. Requires a smoke test that passed since its activation."""

from __future__ import annotations

from typing import TYPE_CHECKING

from thorctl.agent.core.files import read_json
from thorctl.agent.core.outcome import AgentError, Outcome
from thorctl.agent.release import store as release_store
from thorctl.agent.smoke import last as last_smoke
from thorctl.agent.soak import unit
from thorctl.agent.state import deadline, journal
from thorctl.agent.state.journal import REVIEW, load_journal, save_journal
from thorctl.protocol.encode import encode
from thorctl.protocol.results import Committed
from thorctl.protocol.states import ACTIVATING, COMMITTED, TRIAL
from thorctl.protocol.status import AcceptedSmoke

if TYPE_CHECKING:
    import argparse

    from thorctl.agent.core.context import Context
    from thorctl.agent.state.journal import Journal

_REASON_CHARACTERS = 300


def run(ctx: Context, args: argparse.Namespace) -> Outcome:
    """Write ``committed``, then stop the timer (one that fires finds no trial and does nothing)."""
    now = load_journal(ctx.paths)
    if now.state == COMMITTED and (args.id == now.current or (args.id is None and now.left is None)):
        return Outcome(Committed(now.current, now.state, _accepted(ctx, now)))
    check_on_trial(now, args.id)
    if args.accept_failed_smoke is not None:
        _accept(ctx, now, args.accept_failed_smoke)
    elif not args.without_smoke:
        _check_smoke(ctx, now)
    if now.target_sha256:
        release_store.read_document(ctx.paths, str(now.target), now.target_sha256)
    done = journal.commit(now, ctx.clock.now_text())
    save_journal(ctx, done)
    for state in (ACTIVATING, TRIAL, REVIEW):
        deadline.disarm(ctx, state, done.activation)
    unit.end(ctx, done.activation)
    return Outcome(Committed(done.current, done.state, _accepted(ctx, done)), changed=True)


def check_on_trial(now: Journal, wanted: str | None) -> None:
    """Raise ``bad_state`` unless a release is on trial, and it is ``wanted``, if given."""
    if now.state != TRIAL or wanted not in (None, now.target):
        raise _no_trial(now, wanted)


def _accept(ctx: Context, now: Journal, reason: str) -> None:
    """Record in the smoke test's result why its failure is accepted; the commit follows."""
    if not reason.strip() or len(reason) > _REASON_CHARACTERS or not reason.isprintable():
        raise AgentError(
            "bad_call",
            f"The reason is not one line of printable text, at most {_REASON_CHARACTERS} long.",
            'Give one, such as `--accept-failed-smoke "answers are right, the prompt asks for too much"`.',
        )
    if now.current is not None:
        raise AgentError(
            "bad_state",
            f"{now.target} failed its smoke test, and {now.current} was committed before it.",
            "Return to the previous release: `thorctl rollback DEVICE`. Only a device's first "
            "release can be accepted with a failed smoke test.",
        )
    if not last_smoke.failed(ctx, now):
        _check_smoke(ctx, now)
        return
    accepted = AcceptedSmoke(reason, ctx.holder.name, ctx.clock.now_text())
    known = read_json(ctx.paths.smoke_json)
    ctx.files.write_json(ctx.paths.smoke_json, {**known, "accepted": encode(accepted)})


def _accepted(ctx: Context, now: Journal) -> AcceptedSmoke | None:
    """Return the accepted failure of the committed release's smoke test; None if it passed."""
    smoke = last_smoke.read(ctx)
    return smoke.accepted if smoke is not None and smoke.release == now.current else None


def _check_smoke(ctx: Context, now: Journal) -> None:
    smoke = last_smoke.read(ctx)
    if smoke is None or not last_smoke.is_of_trial(smoke, now) or smoke.passed is not True:
        raise AgentError(
            "smoke_missing",
            f"No smoke test of {now.target} has passed since its activation at {now.activated_at}.",
            "Run `thorctl smoke DEVICE`, then commit again. If it fails, end the trial with `thorctl "
            "rollback DEVICE`, or keep a device's first release with `thorctl commit DEVICE "
            "--accept-failed-smoke REASON`.",
            details={"last_smoke": smoke},
        )


def _no_trial(now: Journal, wanted: str | None) -> AgentError:
    what = f"{wanted} is not on trial" if wanted else "No release is on trial"
    ended = f" The trial of {now.left} ended by a rollback ({now.reason})." if now.left else ""
    where = f"{now.state}, {now.running}" if now.running else now.state
    return AgentError(
        "bad_state",
        f"{what}; this device is {where}.{ended}",
        "Activate the release first: `thorctl activate DEVICE`.",
        details={"state": now.state, "release": now.running, "left": now.left, "reason": now.reason},
    )
