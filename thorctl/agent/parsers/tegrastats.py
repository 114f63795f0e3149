"""One line of tegrastats on a Thor (Jetson Linux R38): memory, temperatures, power rails."""

from __future__ import annotations

import re

from thorctl.protocol.dataclass import dataclass

_MIB = 1024 * 1024
_RAM = re.compile(r"\bRAM (\d+)/(\d+)MB\b")
_SWAP = re.compile(r"\bSWAP (\d+)/(\d+)MB\b")
_TEMPERATURE = re.compile(r"(?:^|\s)(\w+)@(-?\d+(?:\.\d+)?)C(?=\s|$)")
_RAIL = re.compile(r"(?:^|\s)(\w+) (\d+)mW/(\d+)mW(?=\s|$)")
# A sensor without power reports −256 °C, which is no temperature.
_LOWEST_REAL_CELSIUS = -55.0


@dataclass(frozen=True)
class Tegrastats:
    """The values of a line; a field that the line lacks (an idle rail, no swap) is absent.

    Attributes:
        ram_used_bytes, ram_total_bytes: unified memory.
        swap_used_bytes, swap_total_bytes: None on a device without swap.
        temperature_celsius: by sensor, such as tj, gpu, cpu.
        power_milliwatts: by rail, present value; VIN is the whole board.
    """

    ram_used_bytes: int
    ram_total_bytes: int
    swap_used_bytes: int | None
    swap_total_bytes: int | None
    temperature_celsius: dict[str, float]
    power_milliwatts: dict[str, int]


def parse_line(text: str | None) -> Tegrastats | None:
    """Parse the first line of ``text``; None if it is not tegrastats' (each has RAM)."""
    lines = (text or "").strip().splitlines()
    ram = _RAM.search(lines[0]) if lines else None
    if ram is None:
        return None
    swap = _SWAP.search(lines[0])
    temperatures = {name: float(value) for name, value in _TEMPERATURE.findall(lines[0])}
    return Tegrastats(
        ram_used_bytes=int(ram.group(1)) * _MIB,
        ram_total_bytes=int(ram.group(2)) * _MIB,
        swap_used_bytes=int(swap.group(1)) * _MIB if swap else None,
        swap_total_bytes=int(swap.group(2)) * _MIB if swap else None,
        temperature_celsius={n: v for n, v in temperatures.items() if v > _LOWEST_REAL_CELSIUS},
        power_milliwatts={name: int(now) for name, now, _average in _RAIL.findall(lines[0])},
    )
