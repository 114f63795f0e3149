#!/usr/bin/python3
# Copyright the thorctl authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Change Docker's data-root, unless that would hide existing data. Runs on the device."""

from __future__ import annotations

import os
import shlex
from dataclasses import dataclass
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.thorctl.thor.plugins.module_utils import host

DOCUMENTATION = r"""
---
module: thor_data_root
short_description: Check whether Docker's data may move, and move them on request
description:
  - Docker with another data-root starts empty, without a warning about its present data. So this module
    checks first. Nothing is moved unless requested.
  - A move runs in a unit of its own on the device. A broken link does not stop it, and after a power failure
    Docker is where it was. The old directory stays.
options:
  path: {description: The new data-root of Docker., type: path, required: true}
  current: {description: The present data-root., type: path, required: true}
  settings: {description: The whole text of daemon.json with O(path)., type: str, required: true}
  move: {description: Whether Docker's present data may be copied there., type: bool, default: false}
  on_root:
    description: Whether O(path) may be on the root file system. If not, its disk counts as not mounted.
    type: bool
    default: false
attributes:
  check_mode: {support: full}
  diff_mode: {support: none}
author:
  - The thorctl authors (@thorctl)
"""

EXAMPLES = r"""
- name: Docker's data on the second disk
  thor_data_root:
    path: /mnt/nvme/docker
    current: /var/lib/docker
    settings: '{"data-root": "/mnt/nvme/docker"}'
"""

RETURN = r"""
moved:
  description: Whether data were, or in check mode would be, copied. Docker then has its new settings already.
  returned: always
  type: bool
"""

CONTAINERD_BLOBS = Path("/var/lib/containerd/io.containerd.content.v1.content/blobs/sha256")
UNIT = "thor-move-data-root"
SCRIPT = Path("/run/thor-move-data-root.sh")
DAEMON_JSON = Path("/etc/docker/daemon.json")
# Docker needs extended attributes and whiteouts that survive a restart.
FILESYSTEMS = frozenset({"ext4", "xfs", "btrfs"})
SPARE = 1.05
GB = 1_000_000_000


@dataclass(frozen=True)
class Found:
    """The present state of the device.

    Attributes:
        content: whether Docker has images, containers or volumes where it is now.
        containerd: whether containerd keeps images, which a data-root does not contain.
        occupied: whether the new place has any content.
        filesystem: type of the one at the new place.
        on_root: whether that is the root filesystem.
        is_mount: whether the new place is a mount point itself.
        size: bytes that would be copied.
        free: bytes free at the new place.
    """

    content: bool
    containerd: bool
    occupied: bool
    filesystem: str
    on_root: bool
    is_mount: bool
    size: int
    free: int


def main() -> None:
    """Entry point."""
    module = AnsibleModule(
        argument_spec={
            "path": {"type": "path", "required": True},
            "current": {"type": "path", "required": True},
            "settings": {"type": "str", "required": True},
            "move": {"type": "bool", "default": False},
            "on_root": {"type": "bool", "default": False},
        },
        supports_check_mode=True,
    )
    wanted = module.params
    old, new = Path(wanted["current"]), Path(wanted["path"])
    try:
        moves = judge(look(old, new), str(old), str(new), move=wanted["move"], on_root=wanted["on_root"])
        if moves and not module.check_mode:
            carry_out(old, new, wanted["settings"])
    except host.HostError as problem:
        module.fail_json(msg=str(problem))
    module.exit_json(changed=moves, moved=moves)


def judge(found: Found, old: str, new: str, *, move: bool, on_root: bool) -> bool:
    """Return whether data have to be copied before Docker gets the new place.

    Raises:
        host.HostError: this is impossible, or would hide existing data.
    """
    if found.is_mount:
        raise host.HostError(
            f"data_root_is_mount: {new} is a mount point — name a directory on that disk: {new}/docker"
        )
    if found.filesystem not in FILESYSTEMS:
        raise host.HostError(
            f"data_root_filesystem: Docker's data do not last on {found.filesystem} ({new}) — name a "
            "directory on a disk (ext4, xfs)"
        )
    if found.on_root and not on_root:
        raise host.HostError(
            f"data_root_not_mounted: {new} is on the root filesystem: is its disk mounted, and in "
            "/etc/fstab? — mount it, or allow this with -e thor_runtime_data_root_on_root=true"
        )
    if found.containerd:
        raise host.HostError(
            "data_root_containerd: Docker's images are containerd's here (/var/lib/containerd), and no "
            "data-root moves those — remove them first (docker system prune --all) and have them pulled again"
        )
    if not found.content:
        return False
    if found.occupied:
        raise host.HostError(
            f"data_root_two: Docker has data in {old}, and {new} has others — decide which to keep "
            "and move the other away"
        )
    if not move:
        raise host.HostError(
            f"data_root_in_use: Docker has data in {old}, and would start empty in {new} — have them copied "
            "with -e thor_runtime_data_root_move=true (the engine stops meanwhile), or leave it where it is: "
            "thor_runtime_data_root: null"
        )
    if found.size * SPARE > found.free:
        raise host.HostError(
            f"disk_too_small: {old} has {found.size / GB:.1f} GB, {new} has room for {found.free / GB:.1f} — "
            "free some: `thor-agent gc`"
        )
    return True


def look(old: Path, new: Path) -> Found:
    """Return the present state of the device."""
    there = next(place for place in (new, *new.parents) if place.exists())
    filesystem = host.ask("stat", "--file-system", "--format", "%T", str(there)).strip()
    stats = os.statvfs(there)
    content = has_content(old)
    return Found(
        content=content,
        containerd=CONTAINERD_BLOBS.is_dir() and any(CONTAINERD_BLOBS.iterdir()),
        occupied=new.exists() and not (new.is_dir() and not any(new.iterdir())),
        filesystem="ext4" if filesystem == "ext2/ext3" else filesystem,
        on_root=there.stat().st_dev == Path("/").stat().st_dev,
        is_mount=new.is_mount(),
        size=size_of(old) if content else 0,
        free=stats.f_bavail * stats.f_frsize,
    )


def size_of(root: Path) -> int:
    """Return the bytes below a directory. Docker is running: files that vanish meanwhile are no error."""
    words = ("du", "--summarize", "--one-file-system", "--block-size=1", str(root))
    return int(host.run(*words, timeout=None).stdout.split()[0])


def has_content(root: Path) -> bool:
    """Return whether a data-root holds an image, a container or a volume."""
    places = ("image/*/imagedb/content/sha256/*", "containers/*", "volumes/*/_data")
    return any(next(root.glob(place), None) for place in places)


def carry_out(old: Path, new: Path, settings: str) -> None:
    """Copy, switch and start again, in a unit independent of the SSH connection."""
    if host.run("systemctl", "is-active", "--quiet", UNIT).returncode == 0:
        raise host.HostError(
            f"data_root_moving: a move is in progress — wait for it: `journalctl --follow --unit {UNIT}`"
        )
    require_still()
    pending = DAEMON_JSON.with_name(".daemon.json.thor")
    pending.write_text(settings, encoding="utf-8")
    pending.chmod(0o644)
    new.parent.mkdir(parents=True, exist_ok=True)
    # As a file: systemd would put variables of its own into an argument.
    SCRIPT.write_text(script(old, new, pending), encoding="utf-8")
    words = ("systemd-run", "--quiet", "--wait", "--collect", "--unit", UNIT, "sh", str(SCRIPT))
    done = host.run(*words, timeout=None)
    root = host.run("docker", "info", "--format", "{{.DockerRootDir}}").stdout.strip()
    if done.returncode != 0 or root != str(new):
        said = host.run(
            "journalctl", "--unit", UNIT, "--lines", "5", "--no-pager", "--output", "cat"
        ).stdout.strip()
        raise host.HostError(
            f"data_root_move_failed: Docker's data are in {root or 'an unknown place'} — "
            f"{done.stderr.strip()}\n{said}"
        )


def require_still() -> None:
    """Refuse if containers run on without Docker (live-restore): what they write meanwhile would be lost."""
    if host.run("docker", "info", "--format", "{{.LiveRestoreEnabled}}").stdout.strip() != "true":
        return
    names = host.run("docker", "ps", "--format", "{{.Names}}").stdout.split()
    # The engine's unit stops with Docker's; what keeps images from being pruned writes nothing.
    others = [name for name in names if name != "thor-engine" and not name.startswith("thor-keep-")]
    if others:
        raise host.HostError(
            f"data_root_live_restore: {', '.join(others)} would run on while Docker is stopped, and "
            f"write to the old place — stop them first: `docker stop {' '.join(others)}`"
        )


def script(old: Path, new: Path, pending: Path) -> str:
    """Return the script of the move. The copy gets its name, and Docker its settings, only when complete."""
    a, b, partial = (
        shlex.quote(str(path)) for path in (old, new, new.with_name(f".{new.name}.thor-partial"))
    )
    settings = f"{shlex.quote(str(pending))} {DAEMON_JSON}"
    return f"""
set -eu
engine=$(systemctl is-active thor-engine.service || true)
again() {{
    systemctl start docker.service
    if [ "$engine" = active ]; then systemctl start --no-block thor-engine.service; fi
}}
trap again EXIT
systemctl stop docker.socket docker.service
rm -rf {partial}
mkdir -p {partial}
cp --archive --one-file-system {a}/. {partial}/
sync --file-system {partial}
if [ -d {b} ]; then rmdir {b}; fi
mv --no-target-directory {partial} {b}
if [ -e {DAEMON_JSON} ]; then cp --archive {DAEMON_JSON} {DAEMON_JSON}.before-thorctl; fi
mv {settings}
sync --file-system {DAEMON_JSON}
"""


if __name__ == "__main__":
    main()
