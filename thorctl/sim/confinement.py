"""The capabilities and system calls of a container device, which shares the kernel of its host.

This is no security boundary: systemd and Docker need CAP_SYS_ADMIN in the host's user namespace. The README
of images/sim-device lists what is closed and what is open.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

# Beyond Docker's defaults. Not --privileged, which a host without CAP_SYS_RESOURCE does not support.
CAPABILITIES = (
    "SYS_ADMIN",  # mounts and namespaces, of systemd and of the inner engine
    "NET_ADMIN",  # the inner engine's bridge and firewall, in the device's own network namespace
    "SYS_PTRACE",  # /proc of other accounts' processes, in the device's own PID namespace
    "AUDIT_CONTROL",  # pam_loginuid of sshd; limited by the kernel outside the host's PID namespace
)

# System calls that reach the host's kernel and disks with CAP_SYS_ADMIN, or a capability granted by mistake.
DENIED = (
    *("kexec_load", "kexec_file_load", "init_module", "finit_module", "delete_module"),
    *("swapon", "swapoff", "quotactl", "quotactl_fd", "syslog", "acct", "lookup_dcookie"),
    *("open_by_handle_at", "fanotify_init"),  # reach every file of the disk that holds the volumes
    "perf_event_open",
)
# On cgroup v2 systemd and runc need it for devices and addresses.
DENIED_ON_V1 = ("bpf",)
# ioctl(2) on a file system: on a volume they stop or change the host's whole disk (linux/fs.h, ext4.h).
_DENIED_IOCTLS = {
    "FIFREEZE": 0xC0045877,
    "FITHAW": 0xC0045878,
    "FITRIM": 0xC0185879,
    "FS_IOC_SHUTDOWN": 0x8004587D,
    "EXT4_IOC_RESIZE_FS": 0x40086610,
}
_MS_REMOUNT, _MS_BIND = 32, 4096  # mount(2)
_EPERM, _ENOSYS = 1, 38


def cgroup_version(root: Path = Path("/sys/fs/cgroup")) -> int:
    """Return 2 if this host has the unified hierarchy of control groups only, else 1."""
    return 2 if (root / "cgroup.controllers").exists() else 1


def seccomp_profile(cgroup_version: int) -> str:
    """Return the seccomp profile in Docker's JSON.

    ``mount -o remount`` without ``bind`` is denied: on a volume it makes the host's disk read-only.
    """
    denied = DENIED if cgroup_version != 1 else (*DENIED, *DENIED_ON_V1)
    calls: list[dict[str, Any]] = [_errno(denied, _EPERM)]
    # The newer interface reconfigures with this call; "not implemented" makes callers use mount(2).
    calls.append(_errno(("fspick",), _ENOSYS))
    calls.append(_errno(("mount",), _EPERM, _masked(3, _MS_REMOUNT | _MS_BIND, _MS_REMOUNT)))
    calls += [
        _errno(("ioctl",), _EPERM, _masked(1, 0xFFFFFFFF, number)) for number in _DENIED_IOCTLS.values()
    ]
    return json.dumps(
        {
            "defaultAction": "SCMP_ACT_ALLOW",
            "archMap": [
                {
                    "architecture": "SCMP_ARCH_X86_64",
                    "subArchitectures": ["SCMP_ARCH_X86", "SCMP_ARCH_X32"],
                },
                {"architecture": "SCMP_ARCH_AARCH64", "subArchitectures": ["SCMP_ARCH_ARM"]},
            ],
            "syscalls": calls,
        }
    )


def _errno(names: tuple[str, ...], number: int, *arguments: dict[str, Any]) -> dict[str, Any]:
    return {
        "names": list(names),
        "action": "SCMP_ACT_ERRNO",
        "errnoRet": number,
        "args": list(arguments),
    }


def _masked(index: int, mask: int, value: int) -> dict[str, Any]:
    return {"index": index, "value": mask, "valueTwo": value, "op": "SCMP_CMP_MASKED_EQ"}
