"""Compute the disk space that a release needs on a device: for preflight, plan and stage."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from thorctl.protocol.dataclass import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping

    from thorctl.protocol.facts import Space


@dataclass(frozen=True)
class Required:
    """Bytes that staging adds, by purpose.

    Attributes:
        image_bytes: the image as pulled (compressed) plus unpacked, on Docker's file system.
        checkpoint_bytes: missing checkpoint files, on the state's file system.
        reserve_bytes: space to keep free on each file system (the device class's reserve.disk_bytes).
    """

    image_bytes: int
    checkpoint_bytes: int
    reserve_bytes: int

    @property
    def total_bytes(self) -> int:
        """The sum, with one reserve: the required space of one shared file system."""
        return self.image_bytes + self.checkpoint_bytes + self.reserve_bytes


@dataclass(frozen=True)
class Shortfall:
    """A file system with too little space. ``free_bytes`` None: the free space could not be read."""

    filesystem: str
    required_bytes: int
    free_bytes: int | None


def required_bytes(
    release: Mapping[str, Any], *, image_present: bool = False, checkpoint_present_bytes: int = 0
) -> Required:
    """Return the bytes that staging ``release`` (docs/reference/interfaces.md) adds to the disks.

    Docker keeps a layer's compressed copy while it unpacks it, and the containerd image store keeps both,
    so a missing image takes compressed × (1 + the class's image_unpack_ratio). A complete release requires
    nothing: the reserve applies only if something is to be written.
    Args:
        release: the release document.
        image_present: the image of the lock's digest is already in Docker's store.
        checkpoint_present_bytes: bytes of the checkpoint already on disk, partial downloads included.
    """
    lock, device_class = release["lock"], release["device_class"]
    compressed = int(lock["image"]["compressed_bytes"])
    image = 0 if image_present else math.ceil(compressed * (1 + float(device_class["image_unpack_ratio"])))
    checkpoint = max(0, int(lock["checkpoint"]["total_bytes"]) - checkpoint_present_bytes)
    reserve = int(device_class["reserve"]["disk_bytes"]) if image or checkpoint else 0
    return Required(image, checkpoint, reserve)


def shortfalls(required: Required, space: Space) -> list[Shortfall]:
    """Return the file systems with too little space; [] if the release fits.

    ``same_filesystem`` None (unknown) counts as shared, the stricter case; unknown free space is a shortfall
    of all that is to be written there.
    """
    if space.same_filesystem is False:
        wanted = [
            ("state", required.checkpoint_bytes, space.state_free_bytes),
            ("docker", required.image_bytes, space.docker_free_bytes),
        ]
    else:
        known = [free for free in (space.state_free_bytes, space.docker_free_bytes) if free is not None]
        shared_free = min(known) if len(known) == 2 else None
        wanted = [("state and docker", required.image_bytes + required.checkpoint_bytes, shared_free)]
    return [
        Shortfall(name, size + required.reserve_bytes, free)
        for name, size, free in wanted
        if size and (free is None or free < size + required.reserve_bytes)
    ]
