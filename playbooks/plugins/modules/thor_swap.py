#!/usr/bin/python3
# Copyright the thorctl authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""One swap file: create, resize, remove. Runs on the device."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.thorctl.thor.plugins.module_utils import host

DOCUMENTATION = r"""
---
module: thor_swap
short_description: A swap file with its unit
description:
  - Creates a swap file, and a C(.swap) unit that enables it now and at every boot.
  - A device with swap on a disk already keeps that and gets no file. Swap in compressed memory (zram) does
    not count.
  - The file grows under another name. After a power failure there is a complete file or none.
options:
  path: {description: The file., type: path, required: true}
  size_bytes:
    description: Its size in bytes; 0 removes the file that this module created.
    type: int
    required: true
  resize:
    description: Whether a file of another size is replaced. If not, it is left, and the task fails.
    type: bool
    default: false
attributes:
  check_mode: {support: full}
  diff_mode: {support: full}
author:
  - The thorctl authors (@thorctl)
"""

EXAMPLES = r"""
- name: 16 GiB of swap
  thor_swap: {path: /var/lib/thor/swapfile, size_bytes: 17179869184}
"""

RETURN = r"""
notes:
  description: Why nothing was done, if nothing can or has to be done.
  returned: always
  type: list
  elements: str
"""

UNITS = Path("/etc/systemd/system")
# Requirement of swapon on a preallocated file: blocks that do not move.
FILESYSTEMS = frozenset({"ext4", "xfs"})
SHARE_OF_FREE = 4  # the model and its image need the rest
GIB = 1 << 30


@dataclass(frozen=True)
class Found:
    """The present state of the device.

    Attributes:
        container: whether it is one: swap is then its host's.
        size: of our file; None if there is none.
        used: bytes swapped out to our file; None if it is not in use.
        enabled: whether the next boot takes it into use.
        others: other places on disks that the device swaps to.
        filesystem: type of the one our file is or would be on.
        free: bytes free there.
        available: bytes of memory that can be had without swapping.
    """

    container: bool
    size: int | None
    used: int | None
    enabled: bool
    others: tuple[str, ...]
    filesystem: str
    free: int
    available: int


def main() -> None:
    """Entry point."""
    module = AnsibleModule(
        argument_spec={
            "path": {"type": "path", "required": True},
            "size_bytes": {"type": "int", "required": True},
            "resize": {"type": "bool", "default": False},
        },
        supports_check_mode=True,
    )
    path, size = Path(module.params["path"]), module.params["size_bytes"]
    try:
        unit = host.ask("systemd-escape", "--path", "--suffix=swap", str(path)).strip()
        found = look(path, unit)
        steps, notes = plan(found, size, resize=module.params["resize"])
        if not module.check_mode:
            for step in steps:
                {"stop": stop, "remove": remove, "make": make, "start": start}[step](path, unit, size)
    except host.HostError as problem:
        module.fail_json(msg=str(problem))
    before, after = shown(found.size if found.used is not None else None), shown(size or None)
    header = {"before_header": str(path), "after_header": str(path)}
    diff = [{**header, "before": before, "after": after}] if steps else []
    module.exit_json(changed=bool(steps), notes=notes, diff=diff)


def plan(found: Found, size: int, *, resize: bool) -> tuple[list[str], list[str]]:
    """Return the steps from ``found`` to an enabled file of ``size`` bytes, and why there are none.

    Raises:
        host.HostError: this is impossible, or harmful.
    """
    if found.container:
        return [], ["a container swaps as its host does"]
    if size == 0:
        return ([] if found.size is None else [*leave(found), "remove"]), []
    if found.size is None and found.others:
        return [], [f"the device swaps to {', '.join(found.others)} already"]
    if found.size == size:
        return ([] if found.used is not None and found.enabled else ["start"]), []
    if found.size is not None and not resize:
        raise host.HostError(
            f"swap_other_size: the swap file has {found.size / GIB:.1f} GiB, not {size / GIB:.1f} — have it "
            "replaced with -e thor_host_swap_resize=true, or keep it with thor_host_swap_size: null"
        )
    if found.filesystem not in FILESYSTEMS:
        raise host.HostError(
            f"swap_filesystem: a swap file on {found.filesystem} does not work or does not last — name a "
            "place on a disk's own filesystem with thor_host_swap_path, or none: thor_host_swap_size: null"
        )
    free = found.free + (found.size or 0)
    if size > free // SHARE_OF_FREE:
        raise host.HostError(
            f"disk_too_small: {size / GIB:.1f} GiB of swap are more than a quarter of the {free / GIB:.1f} "
            "GiB that are free — free some, set a smaller thor_host_swap_size, or null to do without"
        )
    return [*leave(found), "make", "start"], []


def leave(found: Found) -> list[str]:
    """Take our file out of use, if its content fits elsewhere."""
    if found.used is None:
        return []
    if found.used > found.available // 2:
        raise host.HostError(
            f"swap_in_use: {found.used / GIB:.1f} GiB are swapped out and memory has no room for them — "
            "stop the engine (`systemctl stop thor-engine`) and run this again"
        )
    return ["stop"]


def look(path: Path, unit: str) -> Found:
    """Return the present state of the device."""
    ours, others = in_use(Path("/proc/swaps").read_text(encoding="ascii"), str(path))
    there = next(place for place in path.parents if place.exists())
    stats = os.statvfs(there)
    return Found(
        container=Path("/run/systemd/container").exists(),
        size=path.stat().st_size if path.exists() else None,
        used=ours,
        enabled=(UNITS / "swap.target.wants" / unit).is_symlink(),
        others=others,
        filesystem=host.ask("stat", "--file-system", "--format", "%T", str(there))
        .strip()
        .replace("ext2/ext3", "ext4"),
        free=stats.f_bavail * stats.f_frsize,
        available=available(Path("/proc/meminfo").read_text(encoding="ascii")),
    )


def in_use(swaps: str, path: str) -> tuple[int | None, tuple[str, ...]]:
    """Parse /proc/swaps: bytes used of ours (None: not in use), and the other areas on disks."""
    ours, others = None, []
    for line in swaps.splitlines()[1:]:
        name, _, _, used, _ = line.split()
        if name == path:
            ours = int(used) * 1024
        elif not name.startswith("/dev/zram"):
            others.append(name)
    return ours, tuple(others)


def available(meminfo: str) -> int:
    """Return MemAvailable in bytes."""
    return next(
        int(line.split()[1]) * 1024 for line in meminfo.splitlines() if line.startswith("MemAvailable:")
    )


def stop(path: Path, unit: str, _: int) -> None:
    """Disable the file."""
    host.ask("swapoff", str(path), timeout=None)
    host.ask("systemctl", "stop", unit, timeout=None)


def remove(path: Path, unit: str, _: int) -> None:
    """Remove unit and file."""
    for link in (UNITS / "swap.target.wants" / unit, UNITS / unit, path):
        link.unlink(missing_ok=True)
    host.ask("systemctl", "daemon-reload")


def make(path: Path, _: str, size: int) -> None:
    """Create the file, complete and durable before it gets its name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    growing = path.with_name(f".{path.name}.new")
    growing.unlink(missing_ok=True)
    try:
        with os.fdopen(os.open(growing, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            os.posix_fallocate(file.fileno(), 0, size)
            os.fsync(file.fileno())
        host.ask("mkswap", str(growing))
        growing.replace(path)
    except OSError as error:
        raise host.HostError(f"swap_failed: {growing}: {error.strerror} — see `df {path.parent}`") from error
    finally:
        growing.unlink(missing_ok=True)


def start(path: Path, unit: str, _: int) -> None:
    """Enable the file, now and at every boot."""
    text = (
        "# Written by thorctl (role thor_host).\n"
        "[Unit]\nDescription=Swap for a model that is mapped and copied at once\n\n"
        f"[Swap]\nWhat={path}\n\n[Install]\nWantedBy=swap.target\n"
    )
    (UNITS / unit).write_text(text, encoding="utf-8")
    wants = UNITS / "swap.target.wants"
    wants.mkdir(exist_ok=True)
    (wants / unit).unlink(missing_ok=True)
    (wants / unit).symlink_to(UNITS / unit)
    host.ask("systemctl", "daemon-reload")
    host.ask("systemctl", "start", unit)


def shown(size: int | None) -> str:
    """Format a size for the diff."""
    return f"{size / GIB:.1f} GiB of swap\n" if size else "no swap file\n"


if __name__ == "__main__":
    main()
