"""``plan``: list what stage and activate would do with a release. Changes nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from thorctl.agent.core.outcome import AgentError, Outcome
from thorctl.agent.engine import cache
from thorctl.agent.release import needs
from thorctl.agent.release import store as release_store
from thorctl.agent.release.document import UNIT_FILE
from thorctl.agent.state.journal import load_journal
from thorctl.protocol.results import Planned, PlannedAction, PlannedFile
from thorctl.protocol.states import COMMITTED

if TYPE_CHECKING:
    import argparse
    from pathlib import Path

    from thorctl.agent.core.context import Context
    from thorctl.agent.release.document import Release
    from thorctl.agent.release.needs import Needs
    from thorctl.agent.state.journal import Journal


def run(ctx: Context, args: argparse.Namespace) -> Outcome:
    """Return the actions in order, the bytes to download, and the files that would change."""
    release = release_store.read_argument(args.release)
    release_store.check_identity(ctx.paths, release)
    journal = load_journal(ctx.paths)
    wanted = needs.assess(ctx, release, docker_optional=True)
    committed = journal.state == COMMITTED and journal.current == release.id
    space = needs.space(ctx)
    free = [size for size in (space.state_free_bytes, space.docker_free_bytes) if size is not None]
    already = "absent"
    if wanted.nothing:
        already = "committed" if committed else "staged"
    return Outcome(
        Planned(
            release=release.id,
            already=already,
            actions=tuple(_actions(ctx, release, wanted, journal)),
            download_bytes=wanted.download_bytes,
            required_bytes=wanted.required.total_bytes,
            free_bytes=min(free) if len(free) == 2 else None,
            diff=tuple(_diff(ctx, release, journal)),
        )
    )


def _actions(ctx: Context, release: Release, wanted: Needs, journal: Journal) -> list[PlannedAction]:
    actions = []
    if wanted.image_bytes:
        actions.append(PlannedAction("pull_image", wanted.image_bytes, release.image))
    if wanted.checkpoint_bytes:
        actions.append(PlannedAction("download_checkpoint", wanted.checkpoint_bytes, release.checkpoint_name))
    elif wanted.checkpoint_unverified:
        actions.append(PlannedAction("verify_checkpoint", 0, release.checkpoint_name))
    if wanted.files:
        actions.append(PlannedAction("write_release", 0, ", ".join(wanted.files)))
    unit = release.files()[UNIT_FILE][1]
    if journal.running != release.id:
        detail = f"{journal.running or 'nothing'} -> {release.id}"
        if not cache.ready_mark(ctx, release).exists():
            longest = round(release.ready_seconds(first_start=True) / 60)
            detail += f"; cold start, up to {longest} min"
        actions.append(PlannedAction("restart_engine", 0, detail))
    elif _read(ctx.paths.engine_unit) != unit:
        actions.append(PlannedAction("restart_engine", 0, f"{UNIT_FILE} drifted"))
    return actions


def _diff(ctx: Context, release: Release, journal: Journal) -> list[PlannedFile]:
    """Compare the release's files with the running one's; leave out release.json, which contains them."""
    before: dict[str, bytes | None] = {}
    after = {name: content for name, (_, content) in release.files().items() if name != "release.json"}
    if journal.running:
        directory = ctx.paths.release_dir(journal.running)
        try:
            names = list(release_store.load(ctx.paths, journal.running).files())
        except AgentError:
            names = list(after)
        before = {name: _read(directory / name) for name in names if name != "release.json"}
    before[UNIT_FILE] = _read(ctx.paths.engine_unit)
    return [
        PlannedFile(name, _text(before.get(name)), _text(after.get(name)))
        for name in sorted({*before, *after})
        if before.get(name) != after.get(name)
    ]


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except OSError:
        return None


def _text(content: bytes | None) -> str | None:
    return None if content is None else content.decode(errors="replace")
