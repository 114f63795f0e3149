"""``thor-agent facts``: what this device is and how it is, read once; whatever cannot be read is null."""

from __future__ import annotations

import os
from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING, Any

from thorctl.agent import device
from thorctl.agent.gather import gather
from thorctl.agent.outcome import Outcome
from thorctl.agent.parsers import boot_control, devicetree, driver, l4t, meminfo, system

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    from thorctl.agent.context import Context
    from thorctl.agent.parsers.docker import DockerInfo
    from thorctl.agent.parsers.nvidia_smi import Gpu

# Every tool normally answers in a fraction of a second; past this its fact is null.
_LONGEST_SECONDS = 5.0
_DEVICE_TREE = "/sys/firmware/devicetree/base"


def run(ctx: Context, args: argparse.Namespace) -> Outcome:  # noqa: ARG001 - the verb takes no arguments
    """Return all facts as the verb's data; changes nothing and cannot fail."""
    return Outcome(data=collect(ctx))


def collect(ctx: Context) -> dict[str, Any]:
    """Return the facts in the shape of docs/interfaces.md, plus ``module`` and ``docker.installed``."""
    slow: dict[str, Callable[[], Any]] = {
        "sensors": partial(device.sensors, ctx),
        "gpu": partial(device.gpu, ctx),
        "power_mode": partial(device.power_mode, ctx),
        "docker": partial(device.docker_info, ctx),
        "packages": partial(device.packages, ctx),
    }
    found = gather(slow, seconds=_LONGEST_SECONDS, log=ctx.log)
    temperatures, rails = found["sensors"] or (None, None)
    packages = found["packages"] or {}
    return {
        **_identity(ctx),
        "l4t_core_package": packages.get("nvidia-l4t-core"),
        "jetpack_package": packages.get("nvidia-jetpack"),
        "gpu": _gpu(ctx, found["gpu"]),
        "power_mode": asdict(found["power_mode"]) if found["power_mode"] else None,
        "memory": meminfo.parse_meminfo(device.text(ctx, "/proc/meminfo")),
        "disk": _disk(ctx, found["docker"]),
        "temperature_celsius": temperatures,
        "power_milliwatts": rails,
        "docker": _docker(ctx, found["docker"]),
        "uptime_seconds": system.parse_uptime(device.text(ctx, "/proc/uptime")),
        "clock_synchronized": device.clock_synchronized(),
    }


def light(ctx: Context) -> dict[str, Any]:
    """Return the few facts that status shows, in a fraction of a second.

    Keys: ``l4t`` ('38.4.0'), ``power_mode`` ('120W'), ``memory_available_bytes``, ``memory_total_bytes``,
    ``disk_free_bytes`` (state filesystem), ``temperature_celsius`` (hottest sensor); each may be None.
    """
    slow: dict[str, Callable[[], Any]] = {
        "sensors": partial(device.sensors, ctx),
        "power_mode": partial(device.power_mode, ctx),
    }
    found = gather(slow, seconds=_LONGEST_SECONDS, log=ctx.log)
    release = l4t.parse_nv_tegra_release(device.text(ctx, "/etc/nv_tegra_release"))
    memory = meminfo.parse_meminfo(device.text(ctx, "/proc/meminfo")) or {}
    state = device.filesystem(ctx.paths.state_dir)
    temperatures = (found["sensors"] or (None, None))[0] or {}
    return {
        "l4t": release.revision_full if release else None,
        "power_mode": found["power_mode"].name if found["power_mode"] else None,
        "memory_available_bytes": memory.get("available_bytes"),
        "memory_total_bytes": memory.get("total_bytes"),
        "disk_free_bytes": state[0] if state else None,
        "temperature_celsius": max(temperatures.values(), default=None),
    }


def _identity(ctx: Context) -> dict[str, Any]:
    machine = os.uname()
    compatible = devicetree.parse_strings(device.content(ctx, f"{_DEVICE_TREE}/compatible"))
    release = l4t.parse_nv_tegra_release(device.text(ctx, "/etc/nv_tegra_release"))
    boot_id = device.text(ctx, "/proc/sys/kernel/random/boot_id")
    return {
        "architecture": machine.machine or None,
        "hostname": machine.nodename or None,
        "kernel": machine.release or None,
        "os_release": system.parse_os_release(device.text(ctx, "/etc/os-release")),
        "soc_compatible": compatible,
        "model_name": devicetree.parse_string(device.content(ctx, f"{_DEVICE_TREE}/model")),
        "module": boot_control.module_of(
            boot_control.parse_tnspec(device.text(ctx, "/etc/nv_boot_control.conf"))
        ),
        "l4t": asdict(release) if release else None,
        "jetpack": l4t.jetpack_of(release.revision_full) if release else None,
        "boot_id": boot_id.strip() or None if boot_id else None,
    }


def _gpu(ctx: Context, found: Gpu | None) -> dict[str, Any] | None:
    if found is None:
        return None
    loaded = driver.parse_driver_version(device.text(ctx, "/proc/driver/nvidia/version"))
    return {**asdict(found), "driver": found.driver or loaded}


def _disk(ctx: Context, info: DockerInfo | None) -> dict[str, Any] | None:
    # Docker 29 keeps new images with containerd, whose directory need not be on Docker's filesystem.
    if info is not None and info.image_store == "containerd":
        images = "/var/lib/containerd"
    else:
        images = (info.root_directory if info else None) or "/var/lib/docker"
    state, store = device.filesystem(ctx.paths.state_dir), device.filesystem(ctx.paths.at(images))
    return {
        "state_free_bytes": state[0] if state else None,
        "docker_free_bytes": store[0] if store else None,
        "same_filesystem": state[1] == store[1] if state and store else None,
    }


def _docker(ctx: Context, info: DockerInfo | None) -> dict[str, Any]:
    return {
        "installed": info is not None or device.docker_installed(ctx),
        "version": info.version if info else None,
        "storage_driver": info.storage_driver if info else None,
        "image_store": info.image_store if info else None,
        "default_runtime": info.default_runtime if info else None,
        "runtimes": info.runtimes if info else None,
    }
