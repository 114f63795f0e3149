"""Preflight checks of Docker: its engine, the NVIDIA runtime, and the kernel features they need."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from thorctl.agent.checks.item import FAIL, PASS, UNKNOWN, WARN, Item, not_asked
from thorctl.agent.checks.situation import NVIDIA
from thorctl.agent.parsers.l4t import version_tuple

if TYPE_CHECKING:
    from collections.abc import Callable

    from thorctl.agent.checks.situation import Situation

# 1.17.7 is the first that detects a Thor as a Tegra (changelog; PR 1079); 1.17.8 fixes CVE-2025-23266, by
# which an image becomes root on the device.
_TOOLKIT = (1, 17, 8)
# Since this version Docker adds rules for published ports to the table raw (moby issue 49557).
_DOCKER_WANTS_RAW = 28


def _docker(situation: Situation) -> Item:
    docker = situation.facts.docker
    if docker.version:
        found = f"{docker.version} ({docker.image_store or UNKNOWN} image store)"
        return Item("docker", PASS, found, "an engine that answers", "Docker answers.")
    if docker.installed:
        remedy = "Start it: `systemctl start docker`. `journalctl -u docker` shows why it does not run."
        return Item("docker", FAIL, "no answer", "an engine that answers", "Docker does not answer.", remedy)
    message = "Docker is not installed; the role thor_runtime installs it."
    return Item(
        "docker", WARN, "absent", "an engine that answers", message, "Run site.yml, or install docker.io."
    )


def _container_runtime(situation: Situation) -> Item:
    wanted = situation.wanted["container"].get("runtime")
    docker = situation.facts.docker
    runtimes = docker.runtimes
    # Docker also lists the shims behind them, io.containerd.…, which are never configured.
    found = ", ".join(one for one in runtimes or () if "." not in one) or UNKNOWN
    name = "container_runtime"
    if wanted is None:
        return not_asked(name, found, "The device class requires no particular container runtime.")
    if wanted in (runtimes or ()):
        return Item(name, PASS, found, wanted, f"Docker has the runtime {wanted}.")
    remedy = f"Add {wanted} to the runtimes in /etc/docker/daemon.json and restart Docker."
    if wanted == NVIDIA:
        remedy = "Run site.yml, or `nvidia-ctk runtime configure --runtime=docker` and restart Docker."
    if not docker.installed:
        message = "Docker is not installed; the role thor_runtime installs it and its runtime."
        return Item(name, WARN, "absent", wanted, message, remedy)
    message = f"Docker has no runtime {wanted}; the role thor_runtime configures it."
    return Item(name, WARN if runtimes else FAIL, found, wanted, message, remedy)


def _container_toolkit(situation: Situation) -> Item:
    name, lowest = "container_toolkit", ".".join(map(str, _TOOLKIT))
    found, wanted = situation.facts.container_toolkit, f"{lowest} or newer"
    if not situation.on_gpu:
        return not_asked(name, found or UNKNOWN, "The device class's engines need no NVIDIA runtime.")
    version = version_tuple((found or "").partition("-")[0])  # without Debian's revision
    if version is None:
        message = "The version of nvidia-container-toolkit is unknown, or it is not installed."
        remedy = (
            "Run site.yml (the role thor_runtime installs it), or `apt-get install nvidia-container-toolkit`."
        )
        return Item(name, WARN, found or UNKNOWN, wanted, message, remedy)
    if version >= _TOOLKIT:
        message = "The NVIDIA container toolkit supports a Thor and has no known vulnerability."
        return Item(name, PASS, str(found), wanted, message)
    message = f"Before {lowest} a container image can become root on the device (CVE-2025-23266)."
    remedy = (
        "Run `apt-get install --only-upgrade --allow-change-held-packages nvidia-container-toolkit` on the "
        "device (site.yml holds it)."
    )
    return Item(name, FAIL, str(found), wanted, message, remedy)


def _iptables_raw(situation: Situation) -> Item:
    """Check the kernel for iptables' table raw, which the engine does not need: other containers may."""
    name, wanted, raw = (
        "iptables_raw",
        "a kernel with it, for published ports",
        situation.facts.iptables_raw,
    )
    found = UNKNOWN if raw is None else "there" if raw else "missing"
    major = re.match(r"\d+", situation.facts.docker.version or "")
    if not raw and major and int(major.group()) >= _DOCKER_WANTS_RAW:
        lacks = "lacks" if raw is False else "may lack"
        message = (
            f"The kernel {lacks} iptables' table raw: Docker may refuse to publish other containers' ports."
        )
        remedy = (
            "Run other containers with `--network host`, or set DOCKER_INSECURE_NO_IPTABLES_RAW=1 for "
            "dockerd, which opens ports published on loopback to the neighbours. The engine needs neither."
        )
        return Item(name, WARN, found, wanted, message, remedy)
    return Item(name, PASS, found, wanted, "The engine uses the host's network and needs no such rules.")


def _cgroup(situation: Situation) -> Item:
    version = situation.facts.cgroup
    if version is not None:
        return Item("cgroup", PASS, f"version {version}", "version 1 or 2", "The kernel has control groups.")
    remedy = (
        "Read `mount | grep cgroup` and the kernel's command line on the device: systemd mounts them at boot."
    )
    message = "No control groups are mounted: Docker cannot start a container."
    return Item("cgroup", FAIL, UNKNOWN, "version 1 or 2", message, remedy)


CHECKS: dict[str, Callable[[Situation], Item]] = {
    "docker": _docker,
    "container_runtime": _container_runtime,
    "container_toolkit": _container_toolkit,
    "iptables_raw": _iptables_raw,
    "cgroup": _cgroup,
}
