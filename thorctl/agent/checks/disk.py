"""Preflight checks of the disks: space for the release, persistence, speed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from thorctl.agent.checks.item import FAIL, PASS, UNKNOWN, WARN, Item, disk_size
from thorctl.agent.release.disk_space import required_bytes, shortfalls
from thorctl.agent.state.disk_full import READ_ONLY_REMEDY

if TYPE_CHECKING:
    from collections.abc import Callable

    from thorctl.agent.checks.situation import Situation

# File systems that are lost at a restart, or that cannot be written to.
_FLEETING = {"overlay", "aufs", "tmpfs", "ramfs", "rootfs", "squashfs"}
_SLOW = {"mmc": "an SD card or eMMC", "usb": "a USB disk"}


def _disk(situation: Situation) -> Item:
    required = required_bytes(
        situation.release,
        image_present=situation.image_present,
        checkpoint_present_bytes=situation.checkpoint_present_bytes,
    )
    space = situation.facts.disk
    state, docker = space.state_free_bytes, space.docker_free_bytes
    missing = shortfalls(required, space)
    found = f"{disk_size(state)} for state, {disk_size(docker)} for images"
    if space.same_filesystem:
        found = f"{disk_size(state)} for state and images"
    store = situation.facts.docker.image_store
    copies = (
        "packed and unpacked, which containerd keeps both" if store == "containerd" else "and unpack copy"
    )
    wanted = (
        f"{disk_size(required.total_bytes)}: image {copies} {disk_size(required.image_bytes)}, "
        f"checkpoint {disk_size(required.checkpoint_bytes)}, reserve {disk_size(required.reserve_bytes)}"
    )
    if not required.total_bytes:
        return Item("disk", PASS, found, "nothing", "All bytes of the release are there.")
    if not missing:
        return Item("disk", PASS, found, wanted, "Image, checkpoint and unpack copy fit.")
    lacks = "; ".join(
        f"{short.filesystem}: {disk_size(short.required_bytes)} needed, {disk_size(short.free_bytes)} free"
        for short in missing
    )
    remedy = (
        "Free space on the device (`sudo thor-agent gc`, `docker image prune`), or put its data on a larger "
        "disk (thor_storage_path)."
    )
    return Item("disk", FAIL, found, wanted, f"The disk is too small ({lacks}).", remedy)


def _filesystem(situation: Situation) -> Item:
    """Check that the release outlives a reboot: some robots have an overlay over a read-only root."""
    space, wanted = situation.facts.disk, "disks that outlive a restart"
    kinds = {"state": space.state_filesystem, "images": space.docker_filesystem}
    if not situation.wanted.get("overlay_root_kept"):
        kinds = {"root": situation.facts.root_filesystem, **kinds}
    found = ", ".join(f"{kind or UNKNOWN} for {what}" for what, kind in kinds.items())
    lost = [what for what, kind in kinds.items() if kind in _FLEETING]
    if lost:
        message = f"Data in {', '.join(lost)} is lost at a restart."
        remedy = (
            "Turn the overlay off (`findmnt /` shows it), or put /etc on a disk that is mounted at boot, and "
            "the rest on one by thor_storage_path."
        )
        return Item("filesystem", FAIL, found, wanted, message, remedy)
    read_only = {"/var/lib/thor": space.state_read_only, "Docker's images": space.docker_read_only}
    if any(read_only.values()):
        names = " and ".join(name for name, is_so in read_only.items() if is_so)
        message = f"The disk of {names} is read-only."
        return Item("filesystem", FAIL, f"{found}, read-only", wanted, message, READ_ONLY_REMEDY)
    if None in (*kinds.values(), *read_only.values()):
        remedy = "Read /proc/self/mountinfo on the device, which lists each mount's file system."
        return Item("filesystem", FAIL, found, wanted, "The file system of the release is unknown.", remedy)
    return Item("filesystem", PASS, found, wanted, "Written data outlives a restart.")


def _storage(situation: Situation) -> Item:
    space, name, wanted = situation.facts.disk, "storage", "NVMe or as fast"
    kinds = {one.name: one.kind for one in situation.facts.disks or ()}
    under = dict.fromkeys((space.state_disk, space.docker_disk))
    found = ", ".join(f"{one or UNKNOWN} ({kinds.get(one or '') or UNKNOWN})" for one in under)
    nvme = [one for one, kind in kinds.items() if kind == "nvme" and one not in under]
    where = f"the NVMe disk {nvme[0]}" if nvme else "an NVMe disk"
    remedy = f"Put /var/lib/thor and Docker's data on {where} by thor_storage_path."
    slow = [_SLOW[kind] for one in under if (kind := kinds.get(one or "")) in _SLOW]
    if slow:
        message = f"Weights and images are on {' and '.join(dict.fromkeys(slow))}: every start takes minutes."
        return Item(name, WARN, found, wanted, message, remedy)
    if any(kinds.get(one or "") is None for one in under):
        message = "The kind of disk of weights and images is unknown."
        return Item(
            name,
            WARN,
            found,
            wanted,
            message,
            f"Read `lsblk -o NAME,TRAN,MOUNTPOINT` on the device. {remedy}",
        )
    return Item(name, PASS, found, wanted, "Weights and images are on a fast disk.")


CHECKS: dict[str, Callable[[Situation], Item]] = {
    "disk": _disk,
    "filesystem": _filesystem,
    "storage": _storage,
}
