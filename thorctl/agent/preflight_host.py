"""Preflight checks of what runs on the device: Docker, port, clock, power mode, Python."""

from __future__ import annotations

from typing import TYPE_CHECKING

from thorctl.agent.clock import as_text
from thorctl.agent.preflight_item import FAIL, PASS, WARN, Item

if TYPE_CHECKING:
    from collections.abc import Callable

    from thorctl.agent.preflight_checks import Situation

# No Thor is older than this; a clock that says so was never set (boards without a battery start in 1970).
_EARLIEST_POSSIBLE = 1_755_820_800.0  # 2025-08-22, the date of Jetson Linux 38.2
_OLDEST_PYTHON = (3, 10)


def _docker(situation: Situation) -> Item:
    docker = situation.facts.get("docker") or {}
    if docker.get("version"):
        return Item("docker", PASS, docker["version"], "an engine that answers", "Docker answers.")
    if docker.get("installed"):
        remedy = "Start it: `systemctl start docker`; `journalctl -u docker` says why it does not run."
        return Item("docker", FAIL, "no answer", "an engine that answers", "Docker does not answer.", remedy)
    message = "Docker is not installed; the role thor_runtime installs it."
    return Item(
        "docker", WARN, "absent", "an engine that answers", message, "Run site.yml, or install docker.io."
    )


def _container_runtime(situation: Situation) -> Item:
    wanted = situation.wanted["container"].get("runtime")
    docker = situation.facts.get("docker") or {}
    runtimes = docker.get("runtimes")
    found = ", ".join(runtimes) if runtimes else "unknown"
    name = "container_runtime"
    if wanted is None:
        return Item(name, PASS, found, "any", "The device class asks for no particular container runtime.")
    if wanted in (runtimes or []):
        return Item(name, PASS, found, wanted, f"Docker knows the runtime {wanted}.")
    remedy = f"Run site.yml, or `nvidia-ctk runtime configure --runtime=docker` where {wanted} is nvidia."
    if not docker.get("installed"):
        message = "Docker is not installed; the role thor_runtime installs it and its runtime."
        return Item(name, WARN, "absent", wanted, message, remedy)
    message = f"Docker does not know the runtime {wanted}; the role thor_runtime configures it."
    return Item(name, WARN if runtimes else FAIL, found, wanted, message, remedy)


def _port(situation: Situation) -> Item:
    port = situation.release["profile"]["serve"]["port"]
    listener, wanted = situation.listener, f"port {port} free"
    if listener is None:
        return Item("port", PASS, "free", wanted, f"Nobody listens on port {port}.")
    if listener.is_engine:
        return Item("port", PASS, "thor-engine", wanted, f"The engine itself listens on port {port}.")
    remedy = f"Stop it (`ss -ltnp 'sport = :{port}'` shows it), or set another serve.port in the profile."
    return Item("port", FAIL, str(listener), wanted, f"Port {port} is in use by {listener}.", remedy)


def _clock(situation: Situation) -> Item:
    found, synchronized = as_text(situation.now), situation.facts.get("clock_synchronized")
    wanted = "a synchronised clock"
    remedy = (
        "Start time synchronisation (`timedatectl set-ntp true`) and wait for `timedatectl` to confirm it."
    )
    if situation.now < _EARLIEST_POSSIBLE:
        return Item(
            "clock", FAIL, found, wanted, "The clock is not set: certificates will be refused.", remedy
        )
    if synchronized:
        return Item("clock", PASS, found, wanted, "The clock is synchronised.")
    message = "Nothing keeps the clock right." if synchronized is False else "Who keeps the clock is unknown."
    return Item("clock", WARN, found, wanted, message, remedy)


def _power_mode(situation: Situation) -> Item:
    modes = situation.wanted.get("power_modes") or []
    found = (situation.facts.get("power_mode") or {}).get("name")
    wanted = " or ".join(modes) or "any"
    if not modes or found in modes:
        return Item("power_mode", PASS, found or "unknown", wanted, "The power mode is one of the class.")
    remedy = "Run `nvpmodel -q` on the device; a mode with a name of its own belongs into the device class."
    message = f"The power mode {found} is not one of the class." if found else "The power mode is unknown."
    return Item("power_mode", FAIL, found or "unknown", wanted, message, remedy)


def _python(situation: Situation) -> Item:
    found, wanted = ".".join(map(str, situation.python)), f"{'.'.join(map(str, _OLDEST_PYTHON))} or newer"
    if situation.python >= _OLDEST_PYTHON:
        return Item("python", PASS, found, wanted, "Python is new enough.")
    remedy = "Install a newer python3 and name it in the inventory (ansible_python_interpreter)."
    return Item("python", FAIL, found, wanted, "Python is too old for the agent.", remedy)


CHECKS: dict[str, Callable[[Situation], Item]] = {
    "docker": _docker,
    "container_runtime": _container_runtime,
    "port": _port,
    "clock": _clock,
    "power_mode": _power_mode,
    "python": _python,
}
