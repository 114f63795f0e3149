"""The condition a device is in when it is measured: what makes the same release faster or slower."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from thorctl.agent import device
from thorctl.agent.gather import gather
from thorctl.agent.parsers import jetson_clocks, meminfo, nvidia_smi
from thorctl.agent.parsers.numbers import integer

if TYPE_CHECKING:
    from collections.abc import Callable

    from thorctl.agent.context import Context

_LONGEST_SECONDS = 8.0
_TOOL_SECONDS = 6.0
_COUNTERS = "hwmon*/oc*_event_cnt"
_APPS = ["nvidia-smi", "--query-compute-apps=pid,process_name,used_memory", "--format=csv,noheader,nounits"]


def read(ctx: Context) -> dict[str, Any]:
    """Return the condition as of now; what cannot be read is None.

    Keys: ``at``, ``power_mode`` (its name), ``clocks_locked`` (by jetson_clocks), ``gpu_min_hertz``,
    ``gpu_max_hertz``, ``memory_hertz``, ``temperature_celsius`` and ``power_milliwatts`` (by sensor),
    ``over_current_events`` (by counter, since boot), ``gpu_processes`` (their names), ``gpu_memory_bytes``,
    ``memory_available_bytes``.
    """
    slow: dict[str, Callable[[], Any]] = {
        "sensors": partial(device.sensors, ctx),
        "power_mode": partial(device.power_mode, ctx),
        "clocks": partial(_clocks, ctx),
        "apps": partial(_apps, ctx),
    }
    found = gather(slow, seconds=_LONGEST_SECONDS, log=ctx.log)
    temperatures, rails = found["sensors"] or (None, None)
    clocks, apps = found["clocks"], found["apps"]
    memory = meminfo.parse_meminfo(device.text(ctx, "/proc/meminfo")) or {}
    return {
        "at": ctx.clock.now_text(),
        "power_mode": found["power_mode"].name if found["power_mode"] else None,
        "clocks_locked": clocks.locked if clocks else None,
        "gpu_min_hertz": clocks.gpu_min_hertz if clocks else None,
        "gpu_max_hertz": clocks.gpu_max_hertz if clocks else None,
        "memory_hertz": clocks.memory_hertz if clocks else None,
        "temperature_celsius": temperatures,
        "power_milliwatts": rails,
        "over_current_events": over_current_events(ctx),
        "gpu_processes": None if apps is None else _names(apps),
        "gpu_memory_bytes": nvidia_smi.parse_process_memory(apps),
        "memory_available_bytes": memory.get("available_bytes"),
    }


def over_current_events(ctx: Context) -> dict[str, int] | None:
    """Return the over-current counters, ``hwmon3/oc1`` → events since boot; None where there are none."""
    found = {}
    for file in sorted(ctx.paths.at("/sys/class/hwmon").glob(_COUNTERS)):
        try:
            count = integer(file.read_text())
        except OSError:
            continue
        if count is not None:
            found[f"{file.parent.name}/{file.name.partition('_')[0]}"] = count
    return found or None


def delta(before: dict[str, int] | None, after: dict[str, int] | None) -> dict[str, int] | None:
    """Return by how much each counter rose; None unless the same counters were read both times."""
    if before is None or after is None or before.keys() != after.keys():
        return None
    return {name: after[name] - count for name, count in before.items()}


def _clocks(ctx: Context) -> jetson_clocks.Clocks | None:
    done = ctx.runner.run(["jetson_clocks", "--show"], timeout=_TOOL_SECONDS)
    return jetson_clocks.parse_show(done.stdout) if done.ok else None


def _apps(ctx: Context) -> str | None:
    done = ctx.runner.run(_APPS, timeout=_TOOL_SECONDS)
    return done.stdout if done.ok else None


def _names(apps: str) -> list[str]:
    fields = [line.split(",") for line in apps.splitlines() if line.strip()]
    return sorted(field[1].strip() for field in fields if len(field) > 1)
