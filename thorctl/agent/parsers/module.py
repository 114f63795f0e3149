"""The device's module, T5000 (128 GB) or T4000 (64 GB), in the order of NVIDIA's detect_jetson.sh."""

from __future__ import annotations

from thorctl.agent.parsers.boot_control import module_of as module_of_tnspec
from thorctl.agent.parsers.devicetree import soc_of

_GIB = 1024**3
_DEVELOPER_KIT = "jetson agx thor developer kit"  # sold with a T5000 only
_T5000_LEAST_BYTES = 96 * _GIB
_T4000_RANGE_BYTES = range(56 * _GIB, 64 * _GIB + 1)


def module_of(
    *,
    tnspec: str | None,
    model: str | None,
    gpu: str | None,
    compatible: list[str] | None,
    memory_bytes: int | None,
) -> str | None:
    """Return 'T5000' or 'T4000'; None if undetermined.

    The flashed board takes precedence, then the device tree's model, then the GPU's name. Other makers'
    carrier boards have neither: there the memory decides, and only on this SoC.
    """
    named = module_of_tnspec(tnspec) or _named(model) or _named(gpu)
    if named or soc_of(compatible) != "tegra264" or memory_bytes is None:
        return named
    if memory_bytes >= _T5000_LEAST_BYTES:
        return "T5000"
    return "T4000" if memory_bytes in _T4000_RANGE_BYTES else None


def _named(text: str | None) -> str | None:
    words = (text or "").lower()
    if "t4000" in words:
        return "T4000"
    return "T5000" if "t5000" in words or _DEVELOPER_KIT in words else None
