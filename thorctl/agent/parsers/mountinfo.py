"""/proc/self/mountinfo: the file system and device of a path."""

from __future__ import annotations

import re

from thorctl.protocol.dataclass import dataclass

_OCTAL = re.compile(r"\\([0-7]{3})")
_CGROUPS = "/sys/fs/cgroup"


@dataclass(frozen=True)
class Mount:
    """A mounted file system. ``number``: 'major:minor' of its device; 0:… if that is not a block device."""

    number: str
    point: str
    type: str
    source: str


def parse_mountinfo(text: str | None) -> list[Mount]:
    """Return the mounts in order, [] if nothing was read; lines that differ from proc(5)'s are skipped."""
    mounts = []
    for line in (text or "").splitlines():
        front, dash, back = line.partition(" - ")
        fields, described = front.split(), back.split()
        if dash and len(fields) >= 6 and len(described) >= 2:
            mounts.append(Mount(fields[2], _plain(fields[4]), described[0], _plain(described[1])))
    return mounts


def mount_of(mounts: list[Mount], path: str) -> Mount | None:
    """Return the mount of ``path`` (absolute, need not exist): the deepest; of equals the last."""
    above = [one for one in mounts if one.point == "/" or f"{path}/".startswith(f"{one.point}/")]
    return max(enumerate(above), key=lambda pair: (len(pair[1].point), pair[0]))[1] if above else None


def cgroup_version(mounts: list[Mount]) -> int | None:
    """Return 2 for the unified hierarchy, 1 for the old one or both; None if neither is mounted."""
    if any(one.point == _CGROUPS and one.type == "cgroup2" for one in mounts):
        return 2
    return 1 if any(one.type == "cgroup" for one in mounts) else None


def _plain(field: str) -> str:
    return _OCTAL.sub(lambda escape: chr(int(escape.group(1), 8)), field)
