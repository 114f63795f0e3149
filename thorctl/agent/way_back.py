"""Whether a device that sets out could come back: what serves is not left if it is not whole on the disk."""

from __future__ import annotations

from typing import TYPE_CHECKING

from thorctl.agent import checkpoint, engine_unit, image, release_store
from thorctl.agent.outcome import AgentError
from thorctl.agent.staging.verified import UNVERIFIED

if TYPE_CHECKING:
    from thorctl.agent.context import Context
    from thorctl.agent.journal import Journal


def check(ctx: Context, journal: Journal) -> None:
    """Raise ``no_way_back`` if the committed release runs, and could not be started once more.

    Somebody deleted its image or changed its weights, say. One that does not run is left all the same.
    """
    if journal.current is None or engine_unit.state(ctx).active != "active":
        return
    lacking = _lacking(ctx, journal.current, journal.current_sha256)
    if lacking:
        document = ctx.paths.release_dir(journal.current) / "release.json"
        raise AgentError(
            "no_way_back",
            f"{journal.current} runs, but is not whole on this device any more: {', '.join(lacking)}. There "
            "would be no way back to it.",
            f"`thor-agent stage --release {document}` fetches what is missing, and only that. Or stop it"
            " (`systemctl stop thor-engine`): then it can be left.",
            details={"release": journal.current, "lacking": lacking},
        )


def _lacking(ctx: Context, release_id: str, sha256: str | None) -> list[str]:
    try:
        release = release_store.read_document(ctx.paths, release_id, sha256)
    except AgentError as broken:
        return [broken.message]
    gone = [] if image.present(ctx, release) else [f"image {release.image}"]
    # A file that nobody has hashed is no hindrance: this release runs from it.
    bad = [one for one in checkpoint.unverified(ctx, release) if one.code != UNVERIFIED]
    return gone + [f"{one.file.path} ({one.code})" for one in bad[:3]]
