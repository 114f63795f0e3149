"""Thermal zones of /sys/class/thermal, for a device without tegrastats."""

from __future__ import annotations

from typing import TYPE_CHECKING

from thorctl.agent.parsers.numbers import integer

if TYPE_CHECKING:
    from collections.abc import Iterable

# A zone whose block has no power reports a value far below any possible one.
_LOWEST_REAL_MILLICELSIUS = -55_000


def parse_zones(zones: Iterable[tuple[str | None, str | None]]) -> dict[str, float] | None:
    """Return sensor → °C from (type, temp) file texts; 'tj-thermal' becomes 'tj'. None without a value."""
    celsius: dict[str, float] = {}
    for kind, reading in zones:
        millicelsius = integer(reading)
        name = (kind or "").strip().removesuffix("-thermal")
        if name and millicelsius is not None and millicelsius > _LOWEST_REAL_MILLICELSIUS:
            celsius[name] = millicelsius / 1000
    return celsius or None
