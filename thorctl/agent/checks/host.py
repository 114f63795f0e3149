"""Preflight checks of the system around the engine: port, clock, Python, automatic upgrades."""

from __future__ import annotations

from typing import TYPE_CHECKING

from thorctl.agent.checks.item import FAIL, PASS, UNKNOWN, WARN, Item
from thorctl.agent.core.clock import as_text

if TYPE_CHECKING:
    from collections.abc import Callable

    from thorctl.agent.checks.situation import Situation

# No Thor is older; an earlier date means a clock that was never set (boards without a battery start in 1970).
_EARLIEST_POSSIBLE = 1_755_820_800.0  # 2025-08-22, the date of Jetson Linux 38.2
_OLDEST_PYTHON = (3, 10)


def _port(situation: Situation) -> Item:
    port = situation.release["profile"]["serve"]["port"]
    listener, wanted = situation.listener, f"port {port} free"
    if listener is None:
        return Item("port", PASS, "free", wanted, f"No program listens on port {port}.")
    if listener.is_engine:
        return Item("port", PASS, "thor-engine", wanted, f"The engine itself listens on port {port}.")
    if listener.is_door:
        return Item(
            "port", PASS, "thor-door", wanted, f"The door in front of the engine listens on port {port}."
        )
    remedy = f"Stop it (`ss -ltnp 'sport = :{port}'` shows it), or set another serve.port in the profile."
    return Item("port", FAIL, str(listener), wanted, f"Port {port} is in use by {listener}.", remedy)


def _clock(situation: Situation) -> Item:
    found, synchronized = as_text(situation.now), situation.facts.clock_synchronized
    wanted = "a synchronised clock"
    remedy = (
        "Start time synchronisation (`timedatectl set-ntp true`) and wait for `timedatectl` to confirm it."
    )
    settable = situation.facts.clock_settable
    if settable is False:
        remedy = (
            "Set and synchronise the clock of the machine that runs this device; the device cannot set it."
        )
    if situation.now < _EARLIEST_POSSIBLE:
        return Item(
            "clock", FAIL, found, wanted, "The clock is not set: certificates would be rejected.", remedy
        )
    if synchronized:
        return Item("clock", PASS, found, wanted, "The clock is synchronised.")
    if settable is False:
        message = "The clock is that of the machine that runs this device, which cannot set it."
        return Item("clock", PASS, found, "a plausible clock", message)
    message = "The clock is not synchronised." if synchronized is False else "The clock's source is unknown."
    return Item("clock", WARN, found, wanted, message, remedy)


def _unattended_upgrades(situation: Situation) -> Item:
    name, enabled = "unattended_upgrades", situation.facts.unattended_upgrades.enabled
    if enabled is False:
        return Item(name, PASS, "off", "off", "The device upgrades nothing by itself.")
    message = "The device upgrades packages by itself: kernel, driver or Docker may change under the engine."
    if enabled is None:
        message = "Whether the device upgrades packages by itself is unknown."
    remedy = "Run site.yml (the role thor_host switches it off), or disable apt-daily-upgrade.timer."
    return Item(name, WARN, UNKNOWN if enabled is None else "on", "off", message, remedy)


def _packages_held(situation: Situation) -> Item:
    name, held = "packages_held", situation.facts.packages_held
    docker = situation.facts.docker.package
    there = {
        "nvidia-l4t-core": situation.facts.l4t_core_package,
        "nvidia-container-toolkit": situation.facts.container_toolkit,
        docker: docker,
    }
    wanted = [package for package, installed in there.items() if package and installed]
    text = f"held: {', '.join(wanted)}" if wanted else "none of ours is installed"
    if held is None:
        remedy = "Run `apt-mark showhold` on the device."
        return Item(name, WARN, UNKNOWN, text, "Which packages are held is unknown.", remedy)
    loose = [package for package in wanted if package not in held]
    if not loose:
        return Item(name, PASS, f"{len(held)} held", text, "The packages below the engine are held.")
    message = f"An `apt upgrade` would change {', '.join(loose)} under the engine."
    remedy = f"Run site.yml, which holds them, or `apt-mark hold {' '.join(loose)}`."
    return Item(name, WARN, f"not held: {', '.join(loose)}", text, message, remedy)


def _python(situation: Situation) -> Item:
    found, wanted = ".".join(map(str, situation.python)), f"{'.'.join(map(str, _OLDEST_PYTHON))} or newer"
    if situation.python >= _OLDEST_PYTHON:
        return Item("python", PASS, found, wanted, "Python is new enough.")
    remedy = "Install a newer python3 and name it in the inventory (ansible_python_interpreter)."
    return Item("python", FAIL, found, wanted, "Python is too old for the agent.", remedy)


CHECKS: dict[str, Callable[[Situation], Item]] = {
    "port": _port,
    "clock": _clock,
    "python": _python,
    "unattended_upgrades": _unattended_upgrades,
    "packages_held": _packages_held,
}
