"""What the engine is asked for to run a device: the Engine API's JSON, exactly. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from thorctl.sim import cgroups, layout

if TYPE_CHECKING:
    from thorctl.sim.cgroups import Cgroups
    from thorctl.sim.state import Device

# What systemd and an inner Docker engine need beyond Docker's defaults. Not --privileged: a host without
# CAP_SYS_RESOURCE cannot give that, and a device has no business with the host's devices.
CAPABILITIES = (
    "SYS_ADMIN",
    "NET_ADMIN",
    "NET_RAW",
    "SYS_PTRACE",
    "SYS_BOOT",
    "SYS_NICE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "IPC_LOCK",
    "DAC_READ_SEARCH",
    "LINUX_IMMUTABLE",
    "SYSLOG",
    "AUDIT_CONTROL",
    "AUDIT_READ",
    "MAC_ADMIN",
)
SHM_BYTES = 2 << 30  # an engine with a private 1 GiB /dev/shm inside, and room beside it
_TMPFS = {"/run": "exec,mode=755", "/run/lock": "mode=1777", "/tmp": "exec,mode=1777"}  # noqa: S108 - in the device
_CGROUP_TMPFS = "ro,nosuid,nodev,noexec,mode=755"
STATE_PATH = "/var/lib/thor"


def container_config(device: Device, *, simulation: str, image: str, host: Cgroups) -> dict[str, Any]:
    """The body of ``POST /containers/create`` for a device.

    ``device.disk_bytes`` makes /var/lib/thor a tmpfs of that size: a small disk, which a reboot empties.
    """
    mounts = [_volume(layout.volume(simulation, device.name, "docker"), "/var/lib/docker")]
    tmpfs = dict(_TMPFS)
    if device.disk_bytes is None:
        mounts.append(_volume(layout.volume(simulation, device.name, "state"), STATE_PATH))
    else:
        tmpfs[STATE_PATH] = f"mode=755,size={device.disk_bytes}"
    if host.version == 2:
        mounts.append(_bind(cgroups.ROOT, cgroups.ROOT))
    else:
        # Each hierarchy by itself, on a read-only tmpfs of the device's own: given the whole /sys/fs/cgroup,
        # systemd would make folders in it and remount it read-only, for the host too.
        tmpfs[cgroups.ROOT] = _CGROUP_TMPFS
        mounts += [_bind(source, target) for source, target in host.mounts]
    network = layout.network(simulation)
    return {
        "Image": image,
        "Hostname": device.name,
        "Labels": {layout.LABEL: simulation, layout.DEVICE_LABEL: device.name},
        "HostConfig": {
            "CapAdd": list(CAPABILITIES),
            "SecurityOpt": ["seccomp=unconfined", "apparmor=unconfined"],
            # What `docker run --security-opt systempaths=unconfined` becomes: an inner engine mounts /proc
            # and sets sysctls, and the device tree is put under /sys/firmware.
            "MaskedPaths": [],
            "ReadonlyPaths": [],
            "CgroupnsMode": "host",
            "ShmSize": SHM_BYTES,
            "Tmpfs": tmpfs,
            "Mounts": mounts,
            "NetworkMode": network,
            # `reboot` in a device ends its container and starts it; a power cut (docker kill) leaves it off.
            "RestartPolicy": {"Name": "unless-stopped"},
            "LogConfig": {"Type": "json-file", "Config": {"max-size": "1m"}},
        },
        "NetworkingConfig": {
            "EndpointsConfig": {
                network: {"IPAMConfig": {"IPv4Address": device.address}, "Aliases": [device.name]}
            }
        },
    }


def _volume(name: str, target: str) -> dict[str, Any]:
    return {"Type": "volume", "Source": name, "Target": target}


def _bind(source: str, target: str) -> dict[str, Any]:
    return {"Type": "bind", "Source": source, "Target": target, "ReadOnly": False}
