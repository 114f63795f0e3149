"""Determine the missing parts of a release, and whether the disks have space for them: for plan and stage."""

from __future__ import annotations

from typing import TYPE_CHECKING

from thorctl.agent.core.outcome import AgentError
from thorctl.agent.release import store as release_store
from thorctl.agent.release.disk_space import Required, required_bytes, shortfalls
from thorctl.agent.staging import checkpoint, image, verified
from thorctl.agent.verbs import facts
from thorctl.protocol.dataclass import dataclass
from thorctl.protocol.sizes import gigabytes

if TYPE_CHECKING:
    from thorctl.agent.core.context import Context
    from thorctl.agent.release.document import Release
    from thorctl.protocol.facts import Space


@dataclass(frozen=True)
class Needs:
    """The missing parts. ``image_bytes`` compressed, ``checkpoint_bytes`` to download; ``files`` to write."""

    image_bytes: int
    checkpoint_bytes: int
    checkpoint_unverified: bool
    files: list[str]
    required: Required

    @property
    def download_bytes(self) -> int:
        """The bytes to download."""
        return self.image_bytes + self.checkpoint_bytes

    @property
    def nothing(self) -> bool:
        """Whether the release is staged."""
        return not (self.image_bytes or self.checkpoint_bytes or self.checkpoint_unverified or self.files)


def assess(ctx: Context, release: Release, *, docker_optional: bool = False) -> Needs:
    """Return the missing parts by sizes and records, without hashing.

    ``docker_optional``: without a Docker engine the image counts as missing (a device before site.yml).
    """
    has_image = False
    try:
        has_image = image.present(ctx, release)
    except AgentError:
        if not docker_optional:
            raise
    missing = checkpoint.missing_bytes(ctx, release)
    total = release.document["lock"]["checkpoint"]["total_bytes"]
    return Needs(
        # At least 1: a missing image always counts, whatever size the lock records.
        image_bytes=0 if has_image else max(1, release.document["lock"]["image"]["compressed_bytes"]),
        checkpoint_bytes=missing,
        checkpoint_unverified=bool(verified.unverified(ctx, release)),
        files=release_store.differences(ctx.paths, release),
        required=required_bytes(
            release.document, image_present=has_image, checkpoint_present_bytes=total - missing
        ),
    )


def space(ctx: Context) -> Space:
    """Return the file systems that a release needs, without starting a program."""
    return facts.space(ctx)


def check_space(ctx: Context, needs: Needs) -> None:
    """Raise ``disk_too_small`` if a file system has too little space, before the first byte is written."""
    if not needs.download_bytes:
        return
    short = shortfalls(needs.required, space(ctx))
    if short:
        lines = [
            f"{one.filesystem} has {'unknown' if one.free_bytes is None else gigabytes(one.free_bytes)} free "
            f"of {gigabytes(one.required_bytes)} needed"
            for one in short
        ]
        raise AgentError(
            "disk_too_small",
            f"The disk is too small for the release: {'; '.join(lines)}.",
            "Free space on the device: `sudo thor-agent gc`, `docker image prune`, or a larger disk.",
            details={"short": [vars(one) for one in short], "required": vars(needs.required)},
        )
