"""``stage``: fetch all parts of a release and verify them; nothing that runs changes.

The release's own directory is written last, so its existence implies all other parts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from thorctl.agent.core import docker_wait
from thorctl.agent.core.boot import this_boot
from thorctl.agent.core.outcome import AgentError, Outcome
from thorctl.agent.engine import image_user
from thorctl.agent.release import needs
from thorctl.agent.release import store as release_store
from thorctl.agent.release.document import SOCKET_LAYOUT
from thorctl.agent.staging import age, checkpoint, image, side_by_side
from thorctl.agent.state import disk_full
from thorctl.protocol.results import Staged, StagedCheckpoint, StagedImage

if TYPE_CHECKING:
    import argparse

    from thorctl.agent.core.context import Context
    from thorctl.agent.release.document import Release


def run(ctx: Context, args: argparse.Namespace) -> Outcome:
    """Fetch image and checkpoint concurrently, then write the files; skip parts that are complete."""
    release = release_store.read_argument(args.release)
    ctx = docker_wait.patient(ctx)
    try:
        return _stage(ctx, release)
    except AgentError as failed:
        failed.data = Staged(release.id)
        raise
    except OSError as failed:
        refused = disk_full.as_error(failed)
        if refused is None:
            raise
        refused.data, refused.changed = Staged(release.id), True  # fetched bytes are kept
        raise refused from failed


def _image(ctx: Context, release: Release) -> int:
    """Fetch the image, and verify that its program runs as the engine's user."""
    downloaded = image.ensure(ctx, release)
    if release.layout == SOCKET_LAYOUT and release_store.differences(ctx.paths, release):
        image_user.verify(ctx, release)
    return downloaded


def _stage(ctx: Context, release: Release) -> Outcome:
    began = ctx.clock.monotonic()
    release_store.check_identity(ctx.paths, release)
    wanted = needs.assess(ctx, release)
    needs.check_space(ctx, wanted)
    for directory in (ctx.paths.releases, ctx.paths.checkpoints, ctx.paths.cache):
        directory.mkdir(parents=True, exist_ok=True)
    this_boot(ctx)  # cached before two threads need it
    image_bytes, checkpoint_bytes = side_by_side.run(
        ctx, lambda part: _image(part, release), lambda part: checkpoint.ensure(part, release)
    )
    release_store.write(ctx, release)
    age.note_release(ctx, release.id)
    return Outcome(
        Staged(
            release=release.id,
            release_sha256=release.sha256,
            downloaded_bytes=image_bytes + checkpoint_bytes,
            seconds=round(ctx.clock.monotonic() - began, 3),
            image=StagedImage(release.image, image_bytes),
            checkpoint=StagedCheckpoint(
                directory=str(checkpoint.final_dir(ctx, release)),
                files=len(release.checkpoint_files),
                downloaded_bytes=checkpoint_bytes,
            ),
        ),
        changed=not wanted.nothing or image_bytes > 0,  # a present image may have been fetched again
    )
