"""Build QEMU's command line for a virtual Thor."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

if TYPE_CHECKING:
    from pathlib import Path

QEMU = "qemu-system-aarch64"

# Entries of a Thor's device tree; as in tests/agent/captures.
MODEL = "NVIDIA Jetson AGX Thor Developer Kit"
COMPATIBLE = ("nvidia,p4071-0000+p3834-0008", "nvidia,p3834-0008", "nvidia,tegra264")

# QEMU's caching of the disk's file (qemu-system manual, -drive cache=):
#   writeback     a flush of the guest reaches the host's disk; unflushed data may be lost with QEMU
#   writethrough  each write is flushed: no written data is lost
#   unsafe        flushes are ignored: fast, for a disposable machine
Cache = Literal["writeback", "writethrough", "unsafe"]
CACHES: tuple[Cache, ...] = get_args(Cache)

_MACHINE = "virt,gic-version=3"
DEFAULT_CPUS = 2
DEFAULT_MEMORY_BYTES = 3 << 30

# An emulated processor has no side channels: mitigations would only slow down each system call.
# AppArmor: if the kernel has it, Docker requires its tools, which the image lacks.
_KERNEL_ARGUMENTS = "root=/dev/vda ro console=ttyAMA0 panic=5 kpti=off mitigations=off apparmor=0"
# Files of the machine's folder that sim-identity reads inside (images/sim-vm).
IDENTITY = ("hostname", "hosts", "host_key", "host_key.pub", "authorized_keys")


@dataclass(frozen=True, slots=True)
class Hardware:
    """The hardware of a virtual machine.

    Attributes:
        port: on this host's loopback, forwarded to the machine's SSH.
        cache: see ``Cache``.
        monitor: socket of QEMU's own monitor, at most 107 bytes long; None: it has none.
    """

    name: str
    port: int
    cpus: int = DEFAULT_CPUS
    memory_bytes: int = DEFAULT_MEMORY_BYTES
    cache: Cache = "writeback"
    monitor: Path | None = None


def board(hardware: Hardware) -> list[str]:
    """Return the options of the machine without its devices, which determine its device tree."""
    return [
        *(QEMU, "-nodefaults", "-no-user-config", "-display", "none", "-name", hardware.name),
        *("-accel", "tcg,thread=multi,tb-size=512", "-cpu", "cortex-a72"),
        *("-smp", str(hardware.cpus), "-m", f"{hardware.memory_bytes >> 20}M"),
    ]


def dump_device_tree(hardware: Hardware, out: Path) -> list[str]:
    """Return the command that writes QEMU's own device tree of this machine."""
    return [*board(hardware), "-machine", f"{_MACHINE},dumpdtb={_value(out)}"]


def patch_device_tree(tree: Path) -> list[list[str]]:
    """Return the commands that make the tree a Thor's."""
    return [
        ["fdtput", "-t", "s", str(tree), "/", "model", MODEL],
        ["fdtput", "-t", "s", str(tree), "/", "compatible", *COMPATIBLE],
    ]


def start(hardware: Hardware, folder: Path, *, memory: Path | None = None) -> list[str]:
    """Return the command that boots the machine in ``folder`` (see ``virtual_machine``) in the background.

    QEMU continues through reboots of the guest and ends when the guest powers off. With ``memory`` the
    machine continues from that saved state instead of booting.
    """
    place = _value(folder)
    disk = f"if=none,id=disk,format=qcow2,discard=unmap,cache={hardware.cache},file={place}/disk.qcow2"
    given = (f"name=opt/thorctl/{name},file={place}/identity/{name}" for name in IDENTITY)
    network = f"user,id=net,ipv6=off,hostfwd=tcp:127.0.0.1:{hardware.port}-:22"
    monitor = f"unix:{_value(hardware.monitor)},server=on,wait=off" if hardware.monitor else ""
    return [
        *board(hardware),
        *("-machine", _MACHINE, "-dtb", str(folder / "thor.dtb")),
        *("-kernel", str(folder / "image" / "kernel"), "-initrd", str(folder / "image" / "initrd")),
        *("-append", _KERNEL_ARGUMENTS),
        *("-drive", disk, "-device", "virtio-blk-pci,drive=disk"),
        # romfile: no network boot, whose ROM is in another package.
        *("-netdev", network, "-device", "virtio-net-pci,netdev=net,romfile="),
        *("-device", "virtio-rng-pci"),
        *("-device", "i6300esb", "-action", "watchdog=reset"),
        *("-chardev", f"file,id=console,append=on,path={place}/console.log"),
        *("-serial", "chardev:console"),
        *(word for one in given for word in ("-fw_cfg", one)),
        *(("-qmp", monitor) if monitor else ()),
        *(("-incoming", f"exec:cat {shlex.quote(str(memory))}") if memory else ()),
        *("-pidfile", str(folder / "qemu.pid"), "-daemonize"),
    ]


def _value(path: Path) -> str:
    """Escape a path within a QEMU option: a comma would end it (qemu-system manual)."""
    return str(path).replace(",", ",,")
