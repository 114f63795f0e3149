"""Preflight checks of power and temperature, which change an engine's speed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from thorctl.agent.checks.item import FAIL, PASS, UNKNOWN, WARN, Item, not_asked

if TYPE_CHECKING:
    from collections.abc import Callable

    from thorctl.agent.checks.situation import Situation

# A Thor throttles at about 90 °C (one report); an idle one should be far below.
_HOT_CELSIUS = 80.0


def _power_mode(situation: Situation) -> Item:
    modes, default = situation.wanted.get("power_modes") or [], situation.wanted.get("power_mode_default")
    mode = situation.facts.power_mode
    found = mode.name if mode else None
    wanted = " or ".join(modes) or "any"
    if not modes:
        return not_asked(
            "power_mode", found or UNKNOWN, "The device class requires no particular power mode."
        )
    if found in modes:
        return Item("power_mode", PASS, str(found), wanted, "The device class allows the power mode.")
    remedy = "Run `nvpmodel -q` on the device. Add a custom mode to the device class."
    if found is None:
        return Item("power_mode", FAIL, UNKNOWN, wanted, "The power mode is unknown.", remedy)
    if default is not None:
        remedy = f"Run site.yml (the role thor_host sets {default}). {remedy}"
    return Item("power_mode", WARN, found, wanted, f"The device class does not allow {found}.", remedy)


def _over_current(situation: Situation) -> Item:
    name, wanted, events = "over_current", "no event since boot", situation.facts.over_current_events
    if events is None:
        if not situation.on_gpu:
            return not_asked(name, UNKNOWN, "A simulated device has no power supply.")
        message = "The over-current counters cannot be read: whether the device throttles is unknown."
        remedy = (
            "Run `ls /sys/class/hwmon/hwmon*/oc*_event_cnt` on the device: some carrier boards have none."
        )
        return Item(name, WARN, UNKNOWN, wanted, message, remedy)
    seen = {counter: count for counter, count in events.items() if count}
    if not seen:
        return Item(name, PASS, "none", wanted, "The power supply delivers the current.")
    found = ", ".join(f"{counter}: {count}" for counter, count in seen.items())
    message = (
        "The device was throttled because its supply could not deliver the current; clocks may "
        "stay low until it restarts."
    )
    remedy = "Check power supply and cable (140 W for a developer kit), restart, then repeat the preflight."
    return Item(name, WARN, found, wanted, message, remedy)


def _temperature(situation: Situation) -> Item:
    sensors, wanted = situation.facts.temperature_celsius, f"below {_HOT_CELSIUS:.0f} °C before any work"
    if not sensors:
        remedy = "Run `tegrastats` on the device."
        return Item("temperature", WARN, UNKNOWN, wanted, "No temperature can be read.", remedy)
    hottest = max(sensors, key=lambda sensor: sensors[sensor])
    found = f"{sensors[hottest]:.0f} °C ({hottest})"
    if sensors[hottest] < _HOT_CELSIUS:
        return Item("temperature", PASS, found, wanted, "The device is cool enough.")
    message = "The device is hot: it will throttle under load."
    remedy = "Check the fan (`systemctl status nvfancontrol` on the device), the air flow, and other load."
    return Item("temperature", WARN, found, wanted, message, remedy)


CHECKS: dict[str, Callable[[Situation], Item]] = {
    "power_mode": _power_mode,
    "over_current": _over_current,
    "temperature": _temperature,
}
