"""Build the Engine API's JSON for a device's container."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from thorctl.sim import confinement, layout

if TYPE_CHECKING:
    from thorctl.sim.state import Device

SHM_BYTES = 2 << 30  # for an engine with a private 1 GiB /dev/shm inside, and reserve
_TMPFS = {"/run": "exec,mode=755", "/run/lock": "mode=1777", "/tmp": "exec,mode=1777"}  # noqa: S108 - in the device
STATE_PATH = "/var/lib/thor"
# The inner engine's data, on volumes: an overlay is impossible on the overlay of the device's file system.
ENGINE_VOLUMES = {"docker": "/var/lib/docker", "containerd": "/var/lib/containerd"}


def container_config(device: Device, *, simulation: str, image: str, cgroup_version: int) -> dict[str, Any]:
    """Return the body of ``POST /containers/create`` for a device.

    ``device.disk_bytes`` makes /var/lib/thor a tmpfs of that size: a small disk, which a reboot empties.
    """
    mounts = [
        _volume(layout.volume(simulation, device.name, kind), target)
        for kind, target in ENGINE_VOLUMES.items()
    ]
    tmpfs = dict(_TMPFS)
    if device.disk_bytes is None:
        mounts.append(_volume(layout.volume(simulation, device.name, "state"), STATE_PATH))
    else:
        tmpfs[STATE_PATH] = f"mode=755,size={device.disk_bytes}"
    network = layout.network(simulation)
    return {
        "Image": image,
        "Hostname": device.name,
        "Labels": {layout.LABEL: simulation, layout.DEVICE_LABEL: device.name},
        "HostConfig": {
            "CapAdd": list(confinement.CAPABILITIES),
            "SecurityOpt": [
                f"seccomp={confinement.seccomp_profile(cgroup_version)}",
                "apparmor=unconfined",  # Docker's profile forbids every mount
            ],
            # /proc and /sys are masked and read-only as by Docker's default; images/sim-device's sim-boot
            # does the rest.
            "CgroupnsMode": "private",
            "ShmSize": SHM_BYTES,
            "Tmpfs": tmpfs,
            "Mounts": mounts,
            "NetworkMode": network,
            # `reboot` in a device ends its container and starts it; a power failure (docker kill) leaves it
            # off.
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
