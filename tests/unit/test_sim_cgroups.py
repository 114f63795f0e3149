"""A device gets the host's hierarchies: one by one on cgroup v1 and hybrid hosts, the one there is on v2."""

from __future__ import annotations

from thorctl.sim.cgroups import Cgroups, parse_mounts

UNIFIED = """\
22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
31 25 0:27 / /sys/fs/cgroup rw,nosuid,nodev,noexec,relatime shared:9 - cgroup2 cgroup2 rw,nsdelegate
"""
HYBRID = """\
24 22 0:23 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
25 24 0:24 / /sys/fs/cgroup/cpu,cpuacct rw,relatime shared:3 - cgroup cgroup rw,cpu,cpuacct
26 24 0:25 / /sys/fs/cgroup/blkio rw,relatime - cgroup cgroup rw,blkio
27 24 0:26 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory
28 24 0:27 / /sys/fs/cgroup/systemd rw,relatime - cgroup cgroup rw,xattr,name=systemd
29 24 0:28 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw
"""


def test_unified() -> None:
    assert parse_mounts(UNIFIED) == Cgroups(version=2)


def test_hybrid_gives_what_systemd_and_the_engine_use_and_no_more() -> None:
    root = "/sys/fs/cgroup"
    assert parse_mounts(HYBRID) == Cgroups(
        version=1,
        mounts=(
            (f"{root}/cpu,cpuacct", f"{root}/cpu"),
            (f"{root}/cpu,cpuacct", f"{root}/cpuacct"),
            (f"{root}/memory", f"{root}/memory"),
            (f"{root}/systemd", f"{root}/systemd"),
            (f"{root}/unified", f"{root}/unified"),
        ),
    )


def test_a_chroot_that_holds_the_same_hierarchies_once_more_changes_nothing() -> None:
    again = HYBRID.replace("/sys/fs/cgroup", "/build/root/sys/fs/cgroup")
    assert parse_mounts(HYBRID + again) == parse_mounts(HYBRID)
