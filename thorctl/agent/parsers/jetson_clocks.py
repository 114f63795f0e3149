"""`jetson_clocks --show`: whether the clocks are locked at their maximum, which changes a benchmark."""

from __future__ import annotations

import re

from thorctl.protocol.dataclass import dataclass

_HEADER = re.compile(r"^SOC family:(\S+)\s+Machine:(.+)$", re.MULTILINE)
_GPU = re.compile(r"^gpu-gpc-0 MinFreq=(\d+) MaxFreq=(\d+) CurrentFreq=(\d+)", re.MULTILINE)
_EMC = re.compile(r"^EMC MinFreq=\d+ MaxFreq=(\d+) CurrentFreq=(\d+) FreqOverride=(\d)", re.MULTILINE)
_MODE = re.compile(r"^NV Power Mode: (\S+)", re.MULTILINE)


@dataclass(frozen=True)
class Clocks:
    """Clocks in hertz; None if the line is missing. ``locked``: GPU and memory are at their maximum."""

    soc: str
    machine: str
    gpu_hertz: int | None
    gpu_min_hertz: int | None
    gpu_max_hertz: int | None
    memory_hertz: int | None
    power_mode: str | None
    locked: bool | None


def parse_show(text: str | None) -> Clocks | None:
    """Parse the output of `jetson_clocks --show` (root only); None without its header."""
    header = _HEADER.search(text or "")
    if header is None or text is None:
        return None
    gpu, emc, mode = _GPU.search(text), _EMC.search(text), _MODE.search(text)
    locked = None if gpu is None or emc is None else gpu.group(1) == gpu.group(2) and emc.group(3) == "1"
    return Clocks(
        soc=header.group(1),
        machine=header.group(2).strip(),
        gpu_hertz=int(gpu.group(3)) if gpu else None,
        gpu_min_hertz=int(gpu.group(1)) if gpu else None,
        gpu_max_hertz=int(gpu.group(2)) if gpu else None,
        memory_hertz=int(emc.group(2)) if emc else None,
        power_mode=mode.group(1) if mode else None,
        locked=locked,
    )
