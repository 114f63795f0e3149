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
_READ_ONLY = {"state_read_only": "/var/lib/thor", "docker_read_only": "Docker's images"}
_SLOW = {"mmc": "an SD card or eMMC", "usb": "a USB disk"}


def _disk(situation: Situation) -> Item:
    required = required_bytes(
        situation.release,
        image_present=situation.image_present,
        checkpoint_present_bytes=situation.checkpoint_present_bytes,
    )
    disk = situation.part("disk")
    state, docker = disk.get("state_free_bytes"), disk.get("docker_free_bytes")
    missing = shortfalls(
        required,
        state_free_bytes=state,
        docker_free_bytes=docker,
        same_filesystem=disk.get("same_filesystem"),
    )
    found = f"{disk_size(state)} for state, {disk_size(docker)} for images"
    if disk.get("same_filesystem"):
        found = f"{disk_size(state)} for state and images"
    store = situation.part("docker").get("image_store")
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
        "Free space on the device (`sudo thor-agent gc`, `docker image prune`), or give it a larger disk."
    )
    return Item("disk", FAIL, found, wanted, f"The disk is too small ({lacks}).", remedy)


def _filesystem(situation: Situation) -> Item:
    """Check that the release outlives a reboot: some robots have an overlay over a read-only root."""
    disk, wanted = situation.part("disk"), "disks that outlive a restart"
    kinds = {"state": disk.get("state_filesystem"), "images": disk.get("docker_filesystem")}
    if not situation.wanted.get("overlay_root_kept"):
        kinds = {"root": situation.facts.get("root_filesystem"), **kinds}
    found = ", ".join(f"{kind or UNKNOWN} for {what}" for what, kind in kinds.items())
    lost = [what for what, kind in kinds.items() if kind in _FLEETING]
    if lost:
        message = f"Data in {', '.join(lost)} is lost at a restart."
        remedy = (
            "Turn the overlay off (`findmnt /` shows it), or move /etc, /var/lib/thor and Docker's data-root "
            "to a disk that is mounted by UUID before Docker starts."
        )
        return Item("filesystem", FAIL, found, wanted, message, remedy)
    read_only = {name: disk.get(fact) for fact, name in _READ_ONLY.items()}
    if any(read_only.values()):
        names = " and ".join(name for name, is_so in read_only.items() if is_so)
        message = f"The disk of {names} is read-only."
        return Item("filesystem", FAIL, f"{found}, read-only", wanted, message, READ_ONLY_REMEDY)
    if None in (*kinds.values(), *read_only.values()):
        remedy = "Read /proc/self/mountinfo on the device, which lists each mount's file system."
        return Item("filesystem", FAIL, found, wanted, "The file system of the release is unknown.", remedy)
    return Item("filesystem", PASS, found, wanted, "Written data outlives a restart.")


def _storage(situation: Situation) -> Item:
    disk, name, wanted = situation.part("disk"), "storage", "NVMe or as fast"
    kinds = {one["name"]: one["kind"] for one in situation.facts.get("disks") or []}
    under = dict.fromkeys((disk.get("state_disk"), disk.get("docker_disk")))
    found = ", ".join(f"{one or UNKNOWN} ({kinds.get(one or '') or UNKNOWN})" for one in under)
    nvme = [one for one, kind in kinds.items() if kind == "nvme" and one not in under]
    where = f"the NVMe disk {nvme[0]}" if nvme else "an NVMe disk"
    remedy = f"Move /var/lib/thor and Docker's data-root to {where}, mounted by UUID before Docker starts."
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
