"""Roll back to the previous release, and verify before an activation that this is possible."""

from __future__ import annotations

from typing import TYPE_CHECKING

from thorctl.agent.core.outcome import AgentError
from thorctl.agent.core.signals import Interrupted
from thorctl.agent.engine import ready
from thorctl.agent.engine import unit as engine_unit
from thorctl.agent.release import store as release_store
from thorctl.agent.soak import unit as soak_unit
from thorctl.agent.staging import image, image_keeper, verified
from thorctl.agent.staging.verified import UNVERIFIED
from thorctl.agent.state import deadline, switch
from thorctl.agent.state.journal import REVIEW, begin_rollback, finish_rollback, save_journal
from thorctl.protocol.states import ACTIVATING, COMMITTED, ROLLING_BACK, TRIAL

if TYPE_CHECKING:
    from thorctl.agent.core.context import Context
    from thorctl.agent.state.journal import Journal


def roll_back(ctx: Context, journal: Journal, reason: str, *, repair: bool = False) -> Journal:
    """Restore the previous release, from ``activating``, ``trial``, ``committed`` or a partial rollback.

    Needs no network and does not wait until the engine is ready. Returns the final journal. ``repair``: pull
    the image first if it was deleted; the running engine continues meanwhile.
    """
    if repair:
        pull_missing_image(ctx, journal)
    _guard(ctx, journal, deadline.GUARD_SECONDS)
    try:
        if journal.state != ROLLING_BACK:
            announced = begin_rollback(journal, ctx.clock.now_text(), reason)
            save_journal(ctx, announced)
            journal = announced
        soak_unit.end(ctx, journal.activation)  # its streams would delay the engine's stop
        if journal.current:
            release = release_store.restore(ctx, journal.current, journal.current_sha256)
            switch.run_release(ctx, release, use_reserve=True)
        else:
            switch.run_nothing(ctx)
        done = finish_rollback(journal, ctx.clock.now_text())
        save_journal(ctx, done)
    except (AgentError, OSError, Interrupted):
        if journal.state == ROLLING_BACK:
            _guard(ctx, journal, deadline.AGAIN_SECONDS)
        else:
            deadline.disarm(ctx, ROLLING_BACK, journal.activation)
        raise
    # Last: a timer that outlives its trial finds another state and does nothing.
    for state in (ACTIVATING, TRIAL, REVIEW, ROLLING_BACK):
        deadline.disarm(ctx, state, done.activation)
    return done


def _guard(ctx: Context, journal: Journal, seconds: int) -> None:
    """Set a timer that repeats the rollback, in case this process dies or fails.

    Outside ``committed`` the trial's timer does the same, only later: a failure of systemd is then logged.
    """
    try:
        deadline.arm(ctx, ROLLING_BACK, journal.activation, journal.running or "nothing", seconds)
    except AgentError as refused:
        if journal.state == COMMITTED:
            raise
        ctx.log.warning("%s", refused)


def wait_for_current(ctx: Context, journal: Journal) -> float | None:
    """Return the seconds until the restored release is ready; None if there is none.

    Raises:
        AgentError: it does not get ready; the journal is valid all the same.
    """
    if not journal.current:
        return None
    return ready.wait(ctx, release_store.load(ctx.paths, journal.current, journal.current_sha256))


def check_restorable(ctx: Context, journal: Journal) -> None:
    """Verify that the current release can be restored, unless it does not run.

    Raises:
        AgentError: ``no_way_back``: its image was deleted or its weights changed, for example.
    """
    if journal.current is None or engine_unit.state(ctx).active != "active":
        return
    gone = missing_parts(ctx, journal.current, journal.current_sha256)
    if gone:
        document = ctx.paths.release_dir(journal.current) / "release.json"
        raise AgentError(
            "no_way_back",
            f"The current release {journal.current} could not be restored: {', '.join(gone)}.",
            "Stage it again, which fetches only what is missing: `thorctl stage DEVICE --release PROFILE` "
            f"with its profile, or `sudo thor-agent stage --release {document}` on the device. To replace it "
            "without a rollback, stop the engine first: `ansible DEVICE --become -a 'systemctl stop "
            "thor-engine'`.",
            details={"release": journal.current, "lacking": gone},
        )
    image_keeper.keep(ctx, release_store.read_document(ctx.paths, journal.current, journal.current_sha256))


def missing_parts(ctx: Context, release_id: str, sha256: str | None) -> list[str]:
    """Return the parts of a release that prevent its start on this device; [] if it is complete.

    Raises:
        AgentError: Docker does not answer.
    """
    try:
        release = release_store.read_document(ctx.paths, release_id, sha256)
    except AgentError as broken:
        return [broken.message]
    gone = [] if image.present(ctx, release) else [f"image {release.image}"]
    # A file without a recorded hash is accepted: the running release uses it.
    bad = [one for one in verified.unverified(ctx, release) if one.code != UNVERIFIED]
    return gone + [f"{one.file.path} ({one.code})" for one in bad[:3]]


def pull_missing_image(ctx: Context, journal: Journal) -> None:
    """Pull the image of the release to restore if it is missing; failures are logged only."""
    back, sha256 = (
        (journal.current, journal.current_sha256)
        if journal.state != COMMITTED
        else (journal.previous, journal.previous_sha256)
    )
    if back is None:
        return
    try:
        release = release_store.read_document(ctx.paths, back, sha256)
        if not ctx.docker.responds() or image.present(ctx, release):
            return
        ctx.log.warning("%s is missing: pulling it before the engine is switched", release.image)
        image.ensure(ctx, release)
    except (AgentError, OSError) as failed:
        ctx.log.warning("%s could not be repaired; the rollback continues: %s", back, failed)
