"""The rollback to the release before, and the check, ahead of an activation, that it will be possible."""

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
    """Return to the release before, from ``activating``, ``trial``, ``committed`` or a half-done rollback.

    Needs no network and does not wait until the engine is ready. Returns the final journal. ``repair``: where
    somebody deleted its image, try to pull it first; what runs goes on meanwhile.
    """
    if repair:
        pull_missing_image(ctx, journal)
    _guard(ctx, journal, deadline.GUARD_SECONDS)
    try:
        if journal.state != ROLLING_BACK:
            announced = begin_rollback(journal, ctx.clock.now_text(), reason)
            save_journal(ctx, announced)
            journal = announced
        soak_unit.end(ctx, journal.activation)  # its streams would hold up the engine's stop
        if journal.current:
            release = release_store.restore(ctx, journal.current, journal.current_sha256)
            switch.run_release(ctx, release, at_any_price=True)
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
    """Have the device finish its way back by itself, if this process dies on it or cannot.

    Where the timer of a trial runs that will do so, too, only later: so a refusal is no reason to stay.
    """
    try:
        deadline.arm(ctx, ROLLING_BACK, journal.activation, journal.running or "nothing", seconds)
    except AgentError as refused:
        if journal.state == COMMITTED:
            raise
        ctx.log.warning("%s", refused)


def wait_for_current(ctx: Context, journal: Journal) -> float | None:
    """Seconds until the release rolled back to is ready; None if there is none.

    Raises:
        AgentError: it does not get ready; the journal stands all the same.
    """
    if not journal.current:
        return None
    return ready.wait(ctx, release_store.load(ctx.paths, journal.current, journal.current_sha256))


def check_restorable(ctx: Context, journal: Journal) -> None:
    """Raise ``no_way_back`` if the committed release runs, and could not be started once more.

    Somebody deleted its image or changed its weights, say. One that does not run is left all the same.
    """
    if journal.current is None or engine_unit.state(ctx).active != "active":
        return
    gone = lacking(ctx, journal.current, journal.current_sha256)
    if gone:
        document = ctx.paths.release_dir(journal.current) / "release.json"
        raise AgentError(
            "no_way_back",
            f"The current release {journal.current} could not be restored: {', '.join(gone)}.",
            "Stage it again, which fetches only what is missing: `cd playbooks && ansible-playbook "
            "stage.yml --limit DEVICE` with its profile, or `sudo thor-agent stage --release "
            f"{document}` on the device. To replace it without a rollback, stop the engine first: "
            "`ansible DEVICE --become -a 'systemctl stop thor-engine'`.",
            details={"release": journal.current, "lacking": gone},
        )
    image_keeper.keep(ctx, release_store.read_document(ctx.paths, journal.current, journal.current_sha256))


def lacking(ctx: Context, release_id: str, sha256: str | None) -> list[str]:
    """What of a release is not on this device, so that it could not be started: [] is nothing.

    Raises:
        AgentError: Docker does not say.
    """
    try:
        release = release_store.read_document(ctx.paths, release_id, sha256)
    except AgentError as broken:
        return [broken.message]
    gone = [] if image.present(ctx, release) else [f"image {release.image}"]
    # A file that nobody has hashed is no hindrance: this release runs from it.
    bad = [one for one in verified.unverified(ctx, release) if one.code != UNVERIFIED]
    return gone + [f"{one.file.path} ({one.code})" for one in bad[:3]]


def pull_missing_image(ctx: Context, journal: Journal) -> None:
    """Pull the image that a rollback needs, if it is gone; the rollback does not depend on it."""
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
        ctx.log.warning("%s is gone: it is pulled before the engine is switched", release.image)
        image.ensure(ctx, release)
    except (AgentError, OSError) as failed:
        ctx.log.warning("%s could not be repaired, and the rollback goes on: %s", back, failed)
