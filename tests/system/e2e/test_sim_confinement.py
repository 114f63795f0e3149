"""What root of a container device tries on the host's kernel and disks."""

from __future__ import annotations

import shlex
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.support.simulated import Simulated

pytestmark = pytest.mark.sim

DEVICE = "thor-01"
NOT_FOUND = 127
MOUNT_DEVICES = (
    "mkdir -p /run/v1 && { mountpoint -q /run/v1 || mount -t cgroup -o devices cgroup /run/v1; } && "
)
# None changes anything of a host that lets it happen.
ATTACKS = {
    "core pattern": "f=/proc/sys/kernel/core_pattern; v=$(cat $f); echo $v > $f",
    "core pattern, by sysctl": 'sysctl -w "$(sysctl kernel.core_pattern)"',
    "page cache": "echo 1 > /proc/sys/vm/drop_caches",
    "sysrq": "echo h > /proc/sysrq-trigger",
    "interrupts": "f=/proc/irq/default_smp_affinity; v=$(cat $f); echo $v > $f",
    "log of the kernel": "dmesg",
    "clock": 'date -s "@$(date +%s)"',
    "file system of the volume, reconfigured": "mount -o remount,rw /var/lib/thor",
    "host's disk, by its number": "mknod /run/disk b $DISK && head -c 1 /run/disk",
    "host's disk, allowed first": MOUNT_DEVICES + "echo 'b *:* r' > /run/v1/devices.allow",
    "release agent": "ls /sys/fs/cgroup/release_agent || ls /sys/fs/cgroup/*/release_agent",
    "release agent, mounted anew": MOUNT_DEVICES + "ls /run/v1/release_agent",
    "release agent of a new hierarchy": (
        "mkdir -p /run/new && mount -t cgroup -o none,name=test,release_agent=/bin/true cgroup /run/new"
    ),
    "control groups of others": "ls -d /sys/fs/cgroup/docker || ls -d /sys/fs/cgroup/*/docker",
}
# What system calls answer that no command makes as simply. Their arguments do nothing where they are allowed.
PROBE = textwrap.dedent("""
    import ctypes, os
    libc = ctypes.CDLL(None, use_errno=True)
    x86 = os.uname().machine == "x86_64"
    class Handle(ctypes.Structure):
        _fields_ = [("size", ctypes.c_uint), ("kind", ctypes.c_int), ("bytes", ctypes.c_ubyte * 128)]
    handle, mount = Handle(size=128), ctypes.c_int()
    place = os.open("/var/lib/thor", os.O_RDONLY)
    assert libc.name_to_handle_at(place, b"", ctypes.byref(handle), ctypes.byref(mount), 0x1000) == 0
    calls = {
        "open_by_handle_at": lambda: libc.open_by_handle_at(place, ctypes.byref(handle), os.O_RDONLY),
        "fanotify_init": lambda: libc.fanotify_init(0, 0),
        "swapoff": lambda: libc.swapoff(b"/nowhere"),
        "kexec_load": lambda: libc.syscall(246 if x86 else 104, 0, -1, 0, -1),
        "delete_module": lambda: libc.delete_module(b"no_such_module", 0),
        "thaw a file system": lambda: libc.ioctl(place, ctypes.c_ulong(0xC0045878), 0),
    }
    for name, call in calls.items():
        ctypes.set_errno(0)
        print(name, os.strerror(ctypes.get_errno()) if call() < 0 else "allowed", sep=": ")
""")
NEEDS = (
    "sysctl -w net.ipv4.ip_forward=1",
    "mkdir -p /run/a && mount --bind /etc /run/a && mount -o remount,bind,ro,nodev /run/a && umount /run/a",
    "mount -t tmpfs tmpfs /run/a && umount /run/a",
    "systemd-run --quiet --wait --property=ProtectSystem=strict --property=MemoryMax=64M true",
)


@pytest.fixture
def sim(bare: Simulated) -> Simulated:
    """Devices whose root attacks."""
    return bare


def disk_number() -> str:
    """``major minor`` of a disk of this host."""
    disk = next(path for path in sorted(Path("/sys/class/block").iterdir()) if (path / "device").exists())
    return (disk / "dev").read_text().strip().replace(":", " ")


@pytest.mark.parametrize("attack", ATTACKS)
def test_root_of_a_device_fails_at_the_host_s(sim: Simulated, attack: str) -> None:
    command = ATTACKS[attack].replace("$DISK", disk_number())
    done = sim.ssh(DEVICE, f"sudo sh -c {shlex.quote(command)}")
    assert done.returncode not in {0, NOT_FOUND}, done.stdout + done.stderr


def test_system_calls_that_reach_past_a_device_are_denied(sim: Simulated) -> None:
    answers = sim.run(DEVICE, f"sudo python3 -c {shlex.quote(PROBE)}").splitlines()
    said = dict(line.split(": ", 1) for line in answers)
    assert set(said.values()) == {"Operation not permitted"}, said


@pytest.mark.parametrize("command", NEEDS, ids=["sysctl", "bind", "tmpfs", "unit"])
def test_what_a_device_needs_of_the_kernel_it_has(sim: Simulated, command: str) -> None:
    sim.run(DEVICE, f"sudo sh -c {shlex.quote(command)}")
