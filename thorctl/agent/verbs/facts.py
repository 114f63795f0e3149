"""``facts``: the device's hardware, system and condition, read once; an unreadable fact is null."""

from __future__ import annotations

import os
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from thorctl.agent.core import machine
from thorctl.agent.core.files import read_json
from thorctl.agent.core.gather import Source, gather
from thorctl.agent.core.outcome import Outcome
from thorctl.agent.drift.docker_settings import DAEMON_JSON
from thorctl.agent.facts import device
from thorctl.agent.facts import host as device_host
from thorctl.agent.facts import network as device_network
from thorctl.agent.parsers import (
    boot_control,
    devicetree,
    driver,
    l4t,
    meminfo,
    module,
    mountinfo,
    nvidia_smi,
    system,
)
from thorctl.protocol.dataclass import dataclass
from thorctl.protocol.facts import Clocks, Docker, Facts, Network, Space, UnattendedUpgrades, Watchdog
from thorctl.protocol.paths import STATE

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping

    from thorctl.agent.core.context import Context
    from thorctl.agent.parsers import jetson_clocks
    from thorctl.agent.parsers.docker import DockerInfo
    from thorctl.agent.parsers.mountinfo import Mount
    from thorctl.protocol.facts import Gpu

_LONGEST_SECONDS = device.TOOL_SECONDS + 1  # after this time a fact is null
_DEVICE_TREE = "/sys/firmware/devicetree/base"


def run(ctx: Context, args: argparse.Namespace) -> Outcome:  # noqa: ARG001 - the verb takes no arguments
    """Return all facts as the verb's data; change nothing, raise nothing."""
    return Outcome(data=with_settings(ctx, collect(ctx)))


def with_settings(ctx: Context, found: Facts) -> Facts:
    """Add what no report may contain, as it can name a proxy with its password."""
    return replace(found, daemon_json=device.text(ctx, DAEMON_JSON))


def collect(ctx: Context) -> Facts:
    """Return the facts; one that cannot be read is None."""
    sensors = Source("sensors", partial(device.sensors, ctx))
    gpu = Source("gpu", partial(device.gpu, ctx))
    gpu_processes = Source("gpu_processes", partial(device.gpu_processes, ctx))
    gpu_table = Source("gpu_table", partial(device.gpu_table, ctx))
    power_mode = Source("power_mode", partial(device.power_mode, ctx))
    clocks = Source("clocks", partial(device.clocks, ctx))
    docker = Source("docker", partial(device.docker_info, ctx))
    packages = Source("packages", partial(device.packages, ctx))
    packages_held = Source("packages_held", partial(device_host.packages_held, ctx))
    upgrades = Source("upgrades", partial(device_host.upgrades_by_itself, ctx))
    default_target = Source("default_target", partial(device_host.default_target, ctx))
    watchdog = Source("watchdog", partial(device_host.watchdog, ctx))
    network = Source("network", partial(device_network.collect, ctx))
    sources = (
        sensors,
        gpu,
        gpu_processes,
        gpu_table,
        power_mode,
        clocks,
        docker,
        packages,
        packages_held,
        upgrades,
        default_target,
        watchdog,
        network,
    )
    gather(*sources, seconds=_LONGEST_SECONDS, log=ctx.log)
    temperatures, rails = sensors.value or (None, None)
    installed, mounts = packages.value, device_host.mounts(ctx)
    memory = meminfo.parse_meminfo(device.text(ctx, "/proc/meminfo"))
    root = mountinfo.mount_of(mounts, "/")
    l4t_release = l4t.parse_nv_tegra_release(device.text(ctx, "/etc/nv_tegra_release"))
    tnspec = boot_control.parse_tnspec(device.text(ctx, "/etc/nv_boot_control.conf"))
    model = devicetree.parse_string(device.content(ctx, f"{_DEVICE_TREE}/model"))
    compatible = devicetree.parse_strings(device.content(ctx, f"{_DEVICE_TREE}/compatible"))
    boot_id, system_name = device.text(ctx, "/proc/sys/kernel/random/boot_id"), os.uname()
    return Facts(
        device_name=_device_name(ctx),
        machine=machine.machine(ctx),
        serial=machine.serial(ctx),
        architecture=system_name.machine or None,
        hostname=system_name.nodename or None,
        kernel=system_name.release or None,
        os_release=system.parse_os_release(device.text(ctx, "/etc/os-release")),
        soc_compatible=None if compatible is None else tuple(compatible),
        model_name=model,
        tnspec=tnspec,
        module=module.module_of(
            tnspec=tnspec,
            model=model,
            gpu=gpu.value.name if gpu.value else None,
            compatible=compatible,
            memory_bytes=memory.total_bytes if memory else None,
        ),
        l4t=l4t_release,
        jetpack=l4t.jetpack_of(l4t_release.revision_full) if l4t_release else None,
        boot_id=boot_id.strip() or None if boot_id else None,
        l4t_core_package=(installed or {}).get("nvidia-l4t-core"),
        jetpack_package=(installed or {}).get("nvidia-jetpack"),
        container_toolkit=(installed or {}).get("nvidia-container-toolkit"),
        gpu=_gpu(ctx, gpu.value, gpu_table.value),
        gpu_processes=None if gpu_processes.value is None else tuple(gpu_processes.value),
        power_mode=power_mode.value,
        clocks=_clocks(clocks.value),
        cpus=os.cpu_count(),
        memory=memory,
        swap=device_host.swap(ctx),
        container=ctx.paths.at("/run/systemd/container").exists(),
        nginx=device_host.nginx(ctx),
        disk=_space(ctx, docker.value, mounts),
        disks=device_host.disks(ctx),
        root_filesystem=root.type if root else None,
        temperature_celsius=temperatures,
        power_milliwatts=rails,
        over_current_events=device.over_current_events(ctx),
        docker=_docker(ctx, docker.value, installed or {}),
        cgroup=mountinfo.cgroup_version(mounts),
        iptables_raw=device_host.iptables_raw(ctx),
        packages_held=None if packages_held.value is None else tuple(packages_held.value),
        unattended_upgrades=_upgrades(installed, upgrades.value),
        default_target=default_target.value,
        watchdog=watchdog.value or Watchdog(),
        network=network.value or Network(),
        uptime_seconds=system.parse_uptime(device.text(ctx, "/proc/uptime")),
        clock_synchronized=device.clock_synchronized(),
        clock_settable=device.clock_settable(ctx),
    )


def space(ctx: Context) -> Space:
    """Return the fact ``disk``; of programs and services only the Docker engine is queried."""
    return _space(ctx, device.docker_info(ctx), device_host.mounts(ctx))


@dataclass(frozen=True)
class StatusFacts:
    """The facts shown by ``status``, with its names; None: unknown."""

    l4t: str | None = None
    power_mode: str | None = None
    memory_available_bytes: int | None = None
    memory_total_bytes: int | None = None
    disk_free_bytes: int | None = None
    temperature_celsius: float | None = None


def status_facts(ctx: Context) -> StatusFacts:
    """Return the facts shown by ``status``, in a fraction of a second."""
    sensors = Source("sensors", partial(device.sensors, ctx, device.STATUS_SECONDS))
    mode = Source("power mode", partial(device.power_mode, ctx, device.STATUS_SECONDS))
    gather(sensors, mode, seconds=device.STATUS_SECONDS + 1, log=ctx.log)
    release = l4t.parse_nv_tegra_release(device.text(ctx, "/etc/nv_tegra_release"))
    memory = meminfo.parse_meminfo(device.text(ctx, "/proc/meminfo"))
    state = device.filesystem(ctx.paths.state_dir)
    temperatures, _ = sensors.value or (None, None)
    return StatusFacts(
        l4t=release.revision_full if release else None,
        power_mode=mode.value.name if mode.value else None,
        memory_available_bytes=memory.available_bytes if memory else None,
        memory_total_bytes=memory.total_bytes if memory else None,
        disk_free_bytes=state.free_bytes if state else None,
        temperature_celsius=max((temperatures or {}).values(), default=None),
    )


def _device_name(ctx: Context) -> str | None:
    """Return the inventory name that site.yml gave this device."""
    try:
        known = read_json(ctx.paths.device_json)
    except (ValueError, OSError):
        return None
    name = known.get("name") if isinstance(known, dict) else None
    return name if isinstance(name, str) else None


def _gpu(ctx: Context, found: Gpu | None, table: str | None) -> Gpu | None:
    if found is None:
        return None
    loaded = driver.parse_driver_version(device.text(ctx, "/proc/driver/nvidia/version"))
    return replace(
        found,
        driver=found.driver or loaded,
        cuda=nvidia_smi.parse_cuda(table),
        mig=nvidia_smi.parse_mig(table),
    )


def _clocks(found: jetson_clocks.Clocks | None) -> Clocks | None:
    if found is None:
        return None
    return Clocks(found.gpu_hertz, found.gpu_min_hertz, found.gpu_max_hertz, found.memory_hertz, found.locked)


def _space(ctx: Context, info: DockerInfo | None, mounts: list[Mount]) -> Space:
    # Docker 29 keeps new images with containerd, whose directory need not be on Docker's filesystem.
    if info is not None and info.image_store == "containerd":
        images = "/var/lib/containerd"
    else:
        images = (info.root_directory if info else None) or "/var/lib/docker"
    state, store = device.filesystem(ctx.paths.state_dir), device.filesystem(ctx.paths.at(images))
    under_state, under_store = (mountinfo.mount_of(mounts, path) for path in (STATE, images))
    return Space(
        state_free_bytes=state.free_bytes if state else None,
        docker_free_bytes=store.free_bytes if store else None,
        same_filesystem=state.device == store.device if state and store else None,
        state_filesystem=under_state.type if under_state else None,
        docker_filesystem=under_store.type if under_store else None,
        state_read_only=state.read_only if state else None,
        docker_read_only=store.read_only if store else None,
        state_disk=device_host.disk_under(ctx, under_state),
        docker_disk=device_host.disk_under(ctx, under_store),
    )


def _upgrades(
    packages: Mapping[str, str] | None, conditions: tuple[bool | None, bool | None] | None
) -> UnattendedUpgrades:
    """Return whether upgrades are installed, enabled and scheduled; None if one is unknown and none False."""
    installed = None if packages is None else "unattended-upgrades" in packages
    all_three = (installed, *(conditions or (None, None)))
    enabled = False if False in all_three else None if None in all_three else True
    return UnattendedUpgrades(installed, enabled)


def _docker(ctx: Context, info: DockerInfo | None, packages: Mapping[str, str]) -> Docker:
    return Docker(
        installed=info is not None or device.docker_installed(ctx),
        package=next((name for name in ("docker.io", "docker-ce") if name in packages), None),
        unpigz=device.unpigz_installed(ctx),
        version=info.version if info else None,
        storage_driver=info.storage_driver if info else None,
        image_store=info.image_store if info else None,
        default_runtime=info.default_runtime if info else None,
        runtimes=tuple(info.runtimes) if info else None,
    )
