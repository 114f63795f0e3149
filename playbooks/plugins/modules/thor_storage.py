#!/usr/bin/python3
# Copyright the thorctl authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Data of thorctl and Docker on a second disk. No builtin survives a power cut while it copies."""

from __future__ import annotations

import json
import os
import shlex
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.thorctl.thor.plugins.module_utils import host

DOCUMENTATION = r"""
---
module: thor_storage
short_description: Mount the data of thorctl, containerd and Docker from a second disk
description:
  - Bind-mounts the directories C(thor), C(containerd) and C(docker) of O(path) at C(/var/lib) by systemd
    units. A unit mounts only a directory that has the file C(.thor-storage).
  - A transient unit of the device copies the data, whether or not the connection lasts. A directory is used
    at its old place until its copy is complete and on the disk.
  - Docker whose C(daemon.json) sets C(data-root) keeps its data there; RV(notes) says so.
options:
  path: {description: Directory on a mounted disk., type: path, required: true}
  move: {description: Whether existing data are copied; else they are an error., type: bool, default: false}
  remove_old: {description: Whether the data that the mounts cover are deleted., type: bool, default: false}
attributes:
  check_mode: {support: full}
  diff_mode: {support: full}
author:
  - The thorctl authors (@thorctl)
"""

EXAMPLES = r"""
- name: Mount the data from the second disk
  thor_storage: {path: /mnt/nvme}
"""

RETURN = r"""
notes: {description: Directories that are left where they are., returned: always, type: list, elements: str}
"""

NAMES = ("thor", "containerd", "docker")
PARENT = Path("/var/lib")
UNITS = Path("/etc/systemd/system")
DAEMON_JSON = Path("/etc/docker/daemon.json")
MARK = ".thor-storage"  # the agent looks for it, too (thorctl/agent/core/storage.py)
MOVING = ".thor-moving"
MOVE_UNIT = "thor-storage-move"
SCRIPT = Path("/run/thor-storage-move.sh")
# Docker needs extended attributes and whiteouts that outlive a restart.
FILESYSTEMS = frozenset({"ext4", "xfs", "btrfs"})
BAD_OPTIONS = {os.ST_RDONLY: "ro", os.ST_NOSUID: "nosuid", os.ST_NODEV: "nodev", os.ST_NOEXEC: "noexec"}
# What a directory in use contains; everything else is made again by its owner.
CONTENT = {
    "thor": ("state.json", "releases/*", "checkpoints/*"),
    "containerd": ("io.containerd.content.v1.content/blobs/sha256/*",),
    "docker": ("image/*/imagedb/content/sha256/*", "containers/*", "volumes/*/_data"),
}
SPARE = 1.05
GB = 1_000_000_000
Step = Literal["copy", "use", "mount"]


@dataclass(frozen=True)
class Disk:
    """The file system of the new place.

    Attributes:
        mount: its mount point.
        filesystem: its type.
        boot: whether a boot mounts it: ``never``, ``required`` (else emergency mode) or ``nofail``.
        options: mount options with which containers fail.
        writable: the first of the directories above the data that users other than root may change.
        free: bytes for copies.
        moving: a move was interrupted, so whole copies that are not in use are outdated.
    """

    mount: str
    filesystem: str
    boot: str
    options: str
    writable: str | None
    free: int
    moving: bool


@dataclass(frozen=True)
class Directory:
    """One of the three.

    Attributes:
        unit: its mount unit is in place; from then on the copy is the one in use.
        mounted: it is mounted from the new place.
        content: it contains data.
        copy: what is at the new place: ``none``, a ``whole`` copy, or ``other`` data.
        size: bytes of a copy.
    """

    unit: bool
    mounted: bool
    content: bool
    copy: str
    size: int


def main() -> None:
    """Entry point."""
    module = AnsibleModule(
        argument_spec={
            "path": {"type": "path", "required": True},
            "move": {"type": "bool", "default": False},
            "remove_old": {"type": "bool", "default": False},
        },
        supports_check_mode=True,
    )
    path, root, names = Path(module.params["path"]), docker_root(), list(NAMES)
    notes = []
    if root != str(PARENT / "docker"):
        names.remove("docker")
        notes.append(f"Docker's data stay in {root} (data-root in {DAEMON_JSON})")
    try:
        found = {name: look(path, name) for name in names}
        steps = plan(str(path), look_disk(path), found, move=module.params["move"])
        if steps and not module.check_mode:
            carry_out(path, steps)
        old = [name for name in names if module.params["remove_old"] and name not in steps and covered(name)]
        for name in old if not module.check_mode else []:
            covered(name, "-delete")
    except host.HostError as problem:
        module.fail_json(msg=str(problem), notes=notes)
    lines = [f"{PARENT / name}: {step} {path / name}\n" for name, step in steps.items()]
    lines += [f"{PARENT / name}: delete the data below the mount\n" for name in old]
    module.exit_json(changed=bool(lines), notes=notes, diff=[{"before": "", "after": "".join(lines)}])


def plan(path: str, disk: Disk, found: dict[str, Directory], *, move: bool) -> dict[str, Step]:
    """Return the steps by directory: ``copy`` it, ``use`` the copy there, or ``mount`` the one in use.

    Raises:
        host.HostError: the disk is unsuitable, or data would be lost from sight.
    """
    require_suitable(path, disk)
    steps: dict[str, Step] = {}
    for name, one in found.items():
        here, there = f"/var/lib/{name}", f"{path}/{name}"
        if one.unit and one.copy != "whole":
            raise host.HostError(
                f"storage_data_missing: {there}, which {here} is mounted from, has no data — mount its disk, "
                "or correct thor_storage_path"
            )
        if one.unit:
            steps |= {} if one.mounted else {name: "mount"}
        elif one.copy == "other" or (one.copy == "whole" and one.content and not disk.moving):
            raise host.HostError(
                f"storage_occupied: {there} has data that are not of {here} — decide which to keep, and move "
                f"{there} away"
            )
        elif one.content and not move:
            raise host.HostError(
                f"storage_in_use: {here} has data, and {there} has none — copy them with "
                "-e thor_storage_move=true (Docker and the engine stop meanwhile), or leave them with "
                "thor_storage_path: null"
            )
        else:
            steps[name] = "use" if one.copy == "whole" and not one.content else "copy"
    size = sum(found[name].size for name, step in steps.items() if step == "copy")
    if size * SPARE > disk.free:
        raise host.HostError(
            f"disk_too_small: {path} has {disk.free / GB:.1f} GB free, and {size / GB:.1f} GB are to be "
            "copied — free some: `thor-agent gc`"
        )
    return steps


def require_suitable(path: str, disk: Disk) -> None:
    """Refuse a disk that a boot could miss without a word, or on which Docker's data do not last."""
    at, line = disk.mount, "line in /etc/fstab, then run `systemctl daemon-reload`"
    wrong = {
        f"storage_not_mounted: {path} is on the root file system — mount its disk, with a {line}": at == "/",
        f"storage_filesystem: Docker's data do not last on {disk.filesystem} ({at}) — use ext4 or xfs": (
            disk.filesystem not in FILESYSTEMS
        ),
        f"storage_options: {at} is mounted with {disk.options} — remove that from its {line}": disk.options,
        f"storage_not_in_fstab: no boot mounts {at} — give it a {line}": disk.boot == "never",
        f"storage_stops_boot: without {at} a boot ends in emergency mode — add nofail to its {line}": (
            disk.boot == "required"
        ),
        f"storage_writable: users other than root may change {disk.writable} — run "
        f"`chown root:root {disk.writable} && chmod go-w {disk.writable}`": disk.writable,
    }
    for text, is_so in wrong.items():
        if is_so:
            raise host.HostError(text)


def look_disk(path: Path) -> Disk:
    """Read the disk's present state."""
    mount = next(place for place in (path, *path.parents) if place.is_mount())
    unit = host.ask("systemd-escape", "--path", "--suffix=mount", str(mount)).strip()
    shown = host.ask("systemctl", "show", "--property=FragmentPath,RequiredBy", "--", unit)
    facts = dict(line.split("=", 1) for line in shown.splitlines())
    required = "local-fs.target" in facts["RequiredBy"].split()
    stats, above = os.statvfs(mount), [place for place in (path, *path.parents) if place.exists()]
    open_to_all = (str(one) for one in above if one.stat().st_uid != 0 or one.stat().st_mode & 0o022)
    return Disk(
        mount=str(mount),
        filesystem=host.ask("stat", "--file-system", "--format=%T", str(mount))
        .strip()
        .replace("ext2/ext3", "ext4"),
        boot="required" if required else "nofail" if facts["FragmentPath"] else "never",
        options=",".join(name for flag, name in BAD_OPTIONS.items() if stats.f_flag & flag),
        writable=next(open_to_all, None),
        free=stats.f_bavail * stats.f_frsize + sum(size_of(path / f".{name}.partial") for name in NAMES),
        moving=(path / MOVING).exists(),
    )


def look(path: Path, name: str) -> Directory:
    """Read the present state of one directory."""
    here, there, unit = PARENT / name, path / name, UNITS / f"var-lib-{name}.mount"
    committed = unit.exists() and unit.read_text(encoding="utf-8") == mount_unit(path, name)
    occupied = there.exists() and (not there.is_dir() or any(there.iterdir()))
    return Directory(
        unit=committed,
        mounted=occupied and here.exists() and here.samefile(there),
        content=any(next(here.glob(place), None) for place in CONTENT[name]),
        copy="whole" if (there / MARK).exists() else "other" if occupied else "none",
        size=0 if committed else size_of(here),
    )


def size_of(root: Path) -> int:
    """Return the bytes below a directory without the swap file, which is not copied; 0 if there is none."""
    words = ("du", "--summarize", "--one-file-system", "--block-size=1", "--exclude=swapfile", str(root))
    return int((host.run(*words, timeout=None).stdout.split() or ["0"])[0])


def docker_root() -> str:
    """Return Docker's data-root."""
    with suppress(FileNotFoundError):
        return str(json.loads(DAEMON_JSON.read_text(encoding="utf-8")).get("data-root") or PARENT / "docker")
    return str(PARENT / "docker")


def mount_unit(path: Path, name: str) -> str:
    """Return the mount unit; its assertion keeps systemd from creating a source that is missing."""
    return (
        "# Written by thorctl (role thor_storage).\n[Unit]\n"
        f"Description=Data of {name} on a second disk\nAssertPathExists={path}/{name}/{MARK}\n\n"
        f"[Mount]\nWhat={path}/{name}\nWhere={PARENT}/{name}\nType=none\nOptions=bind,nofail\n"
    )


def carry_out(path: Path, steps: dict[str, Step]) -> None:
    """Copy, switch and start again, in a unit that no lost connection ends."""
    if host.run("systemctl", "is-active", "--quiet", MOVE_UNIT).returncode == 0:
        raise host.HostError(
            f"storage_moving: data are being copied — wait: `journalctl --follow --unit {MOVE_UNIT}`"
        )
    require_still()
    # As a file: systemd would put variables of its own into an argument.
    SCRIPT.write_text(script(path, steps), encoding="utf-8")
    words = ("systemd-run", "--quiet", "--wait", "--collect", "--unit", MOVE_UNIT, "sh", str(SCRIPT))
    done = host.run(*words, timeout=None)
    missing = [name for name in steps if not look(path, name).mounted]
    if done.returncode != 0 or missing:
        said = host.run("journalctl", "--unit", MOVE_UNIT, "--lines=5", "--no-pager", "--output=cat").stdout
        raise host.HostError(
            f"storage_move_failed: not mounted from {path}: {', '.join(missing) or 'nothing'} — "
            f"{done.stderr.strip()}\n{said.strip()}"
        )


def require_still() -> None:
    """Refuse while a release is on trial, or containers would run on without Docker (live-restore)."""
    with suppress(ValueError):  # no agent yet
        state = json.loads(host.run("thor-agent", "status").stdout)["data"].get("state")
        if state not in (None, "empty", "committed"):
            raise host.HostError(
                f"storage_busy: the device is in state {state} — run this again when its release is committed"
            )
    if host.run("docker", "info", "--format", "{{.LiveRestoreEnabled}}").stdout.strip() != "true":
        return
    names = host.run("docker", "ps", "--format", "{{.Names}}").stdout.split()
    # The engine's unit stops with Docker's; what keeps images from being pruned writes nothing.
    others = [name for name in names if name != "thor-engine" and not name.startswith("thor-keep-")]
    if others:
        raise host.HostError(
            f"storage_live_restore: {', '.join(others)} would run on while Docker is stopped, and write to "
            f"the old place — stop them first: `docker stop {' '.join(others)}`"
        )


def script(path: Path, steps: dict[str, Step]) -> str:
    """Return the move: a copy is renamed once complete, and in use once its mount unit is renamed."""
    disk = shlex.quote(str(path))
    copies = "\n".join(f"copy {name}" for name, step in steps.items() if step == "copy")
    commits = "\n".join(
        f"commit {name} {shlex.quote(mount_unit(path, name))}"
        for name, step in steps.items()
        if step != "mount"
    )
    return f"""
set -eu
copy() {{
    partial={disk}/.$1.partial
    rm -rf "$partial" {disk}/"$1"
    mkdir "$partial"
    if [ -d {PARENT}/$1 ]; then
        chown --reference {PARENT}/$1 "$partial"
        chmod --reference {PARENT}/$1 "$partial"
        find {PARENT}/$1 -mindepth 1 -maxdepth 1 ! -name swapfile \\
            -exec cp --archive --one-file-system --target-directory "$partial" {{}} +
    fi
    touch "$partial/{MARK}"
    sync --file-system {disk}
    mv --no-target-directory "$partial" {disk}/"$1"
}}
commit() {{
    printf %s "$2" >{UNITS}/.thor-storage
    sync {UNITS}/.thor-storage
    mv {UNITS}/.thor-storage {UNITS}/var-lib-$1.mount
}}
again() {{
    exec 8>&- 9>&-
    [ -z "$was" ] || systemctl start $was
    [ -z "$engine" ] || systemctl start --no-block $engine
}}
if [ -d /run/thor/private ]; then # the agent's locks
    exec 8>>/run/thor/private/lock 9>>/run/thor/private/stage.lock
    flock --timeout 60 8 && flock --timeout 60 9 || {{ echo "the agent is at work"; exit 1; }}
fi
was= engine=
for unit in containerd.service docker.socket docker.service var-lib-thor-cache.mount; do
    ! systemctl --quiet is-active $unit || was="$was $unit"
done
! systemctl --quiet is-active thor-engine.service || engine=thor-engine.service
trap again EXIT
systemctl stop $engine $was 'var-lib-thor-*.mount' 'var-lib-thor-*.swap'
timeout 30 sh -c 'while grep -qs containerd-shim /proc/[0-9]*/comm; do sleep 0.2; done' ||
    {{ echo "a container runs on without Docker"; exit 1; }}
mkdir -p {disk}
touch {disk}/{MOVING}
{copies}
sync --file-system {disk}
for name in {" ".join(steps)}; do
    ! mountpoint --quiet {PARENT}/$name || systemctl stop var-lib-$name.mount
done
{commits}
sync --file-system {UNITS}
rm {disk}/{MOVING}
systemctl daemon-reload
systemctl start {" ".join(f"var-lib-{name}.mount" for name in steps)}
"""


def covered(name: str, *action: str) -> bool:
    """Return whether the mount covers data, seen in another mount namespace; ``-delete`` deletes them."""
    below = (
        f"umount --lazy {PARENT}/{name} && [ ! -e {PARENT}/{name}/{MARK} ] && "
        f"find {PARENT}/{name} -xdev -mindepth 1 {' '.join(action or ('-print', '-quit'))}"
    )
    return bool(host.run("unshare", "--mount", "sh", "-c", below, timeout=None).stdout.strip())


if __name__ == "__main__":
    main()
