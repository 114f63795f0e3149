"""Which control-group hierarchies a device gets from the host. Pure, but for reading the mount table."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

ROOT = "/sys/fs/cgroup"
# What systemd and a container engine use. The others (blkio, hugetlb, net_cls, …) are withheld on purpose:
# systemd in a device would otherwise put groups into their root, where they outlive it.
CONTROLLERS = ("memory", "pids", "cpu", "cpuacct", "cpuset", "devices", "freezer")


@dataclass(frozen=True, slots=True)
class Cgroups:
    """The hierarchies of a host.

    Attributes:
        version: 2 where ``/sys/fs/cgroup`` itself is the unified hierarchy; else 1.
        mounts: for version 1: (path on the host, path in a device).
    """

    version: int
    mounts: tuple[tuple[str, str], ...] = ()


def parse_mounts(text: str) -> Cgroups:
    """From ``/proc/self/mountinfo`` (proc(5)); version 1 includes the hybrid layout."""
    mounts: dict[str, str] = {}  # path in a device -> path on the host
    for line in text.splitlines():
        before, _, after = line.partition(" - ")
        place = before.split()[4]
        kind, _, options = [*after.split(" "), "", ""][:3]
        if kind == "cgroup2" and place == ROOT:
            return Cgroups(version=2)
        if kind == "cgroup2":
            mounts.setdefault(f"{ROOT}/unified", place)
        elif kind == "cgroup":
            names = options.split(",")
            if "name=systemd" in names:
                mounts.setdefault(f"{ROOT}/systemd", place)
            # One hierarchy may carry several controllers (cpu,cpuacct): a device sees it under each name.
            # The first mount counts: while a chroot is at work the same hierarchies hang in there once more.
            for name in names:
                if name in CONTROLLERS:
                    mounts.setdefault(f"{ROOT}/{name}", place)
    return Cgroups(version=1, mounts=tuple((place, target) for target, place in sorted(mounts.items())))


def of_host() -> Cgroups:
    """This host's hierarchies."""
    return parse_mounts(Path("/proc/self/mountinfo").read_text(encoding="utf-8"))
