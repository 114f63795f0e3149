"""Conditions of a device that change a release's speed."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from thorctl.agent.core.gather import Source, gather
from thorctl.agent.facts import device
from thorctl.agent.parsers import l4t, meminfo, nvidia_smi
from thorctl.protocol.bench import Condition

if TYPE_CHECKING:
    from thorctl.agent.core.context import Context

_LONGEST_SECONDS = device.TOOL_SECONDS + 1


def read(ctx: Context) -> Condition:
    """Return the present conditions; an unreadable one is None."""
    sensors = Source("sensors", partial(device.sensors, ctx))
    mode = Source("power mode", partial(device.power_mode, ctx))
    clocks_ = Source("clocks", partial(device.clocks, ctx))
    programs = Source("processes", partial(device.gpu_processes, ctx))
    gather(sensors, mode, clocks_, programs, seconds=_LONGEST_SECONDS, log=ctx.log)
    temperatures, rails = sensors.value or (None, None)
    clocks, processes = clocks_.value, programs.value
    linux = l4t.parse_nv_tegra_release(device.text(ctx, "/etc/nv_tegra_release"))
    memory = meminfo.parse_meminfo(device.text(ctx, "/proc/meminfo"))
    return Condition(
        at=ctx.clock.now_text(),
        power_mode=mode.value.name if mode.value else None,
        clocks_locked=clocks.locked if clocks else None,
        gpu_min_hertz=clocks.gpu_min_hertz if clocks else None,
        gpu_max_hertz=clocks.gpu_max_hertz if clocks else None,
        memory_hertz=clocks.memory_hertz if clocks else None,
        temperature_celsius=temperatures,
        power_milliwatts=rails,
        over_current_events=device.over_current_events(ctx),
        gpu_processes=None if processes is None else tuple(sorted(one.name for one in processes)),
        gpu_memory_bytes=nvidia_smi.used_bytes(processes),
        memory_available_bytes=memory.available_bytes if memory else None,
        l4t=linux.revision_full if linux else None,
    )


def delta(before: dict[str, int] | None, after: dict[str, int] | None) -> dict[str, int] | None:
    """Return the increase of each counter; None unless both readings have the same counters."""
    if before is None or after is None or before.keys() != after.keys():
        return None
    return {name: after[name] - count for name, count in before.items()}
