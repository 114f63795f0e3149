"""Whether a device that sets out could come back: what serves is not left if it is not whole on the disk."""

from __future__ import annotations

from typing import TYPE_CHECKING

from thorctl.agent.core.outcome import AgentError
from thorctl.agent.engine import unit as engine_unit
from thorctl.agent.release import store as release_store
from thorctl.agent.staging import checkpoint, image, image_keeper
from thorctl.agent.staging.verified import UNVERIFIED
from thorctl.protocol.states import COMMITTED

if TYPE_CHECKING:
    from thorctl.agent.core.context import Context
    from thorctl.agent.state.journal import Journal


def check(ctx: Context, journal: Journal) -> None:
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
    bad = [one for one in checkpoint.unverified(ctx, release) if one.code != UNVERIFIED]
    return gone + [f"{one.file.path} ({one.code})" for one in bad[:3]]


def repair(ctx: Context, journal: Journal) -> None:
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
