"""Preflight checks of the hardware: processor, SoC, module, Jetson Linux, GPU."""

from __future__ import annotations

from typing import TYPE_CHECKING

from thorctl.agent.checks.item import FAIL, PASS, UNKNOWN, WARN, Item, not_asked
from thorctl.agent.parsers.l4t import version_tuple
from thorctl.protocol.facts import Gpu

if TYPE_CHECKING:
    from collections.abc import Callable

    from thorctl.agent.checks.situation import Situation


def _architecture(situation: Situation) -> Item:
    found, wanted = situation.facts.architecture, situation.wanted["architectures"]
    text = " or ".join(wanted)
    if found in wanted:
        return Item("architecture", PASS, str(found), text, "The processor's architecture fits.")
    remedy = "Give the device the device class that describes it (inventory: thor_device_class)."
    return Item(
        "architecture", FAIL, found or UNKNOWN, text, "The processor's architecture is wrong.", remedy
    )


def _soc(situation: Situation) -> Item:
    wanted = situation.wanted.get("soc")
    compatible = situation.facts.soc_compatible
    found = ", ".join(compatible) if compatible else UNKNOWN
    if wanted is None:
        return not_asked("soc", found, "The device class requires no particular SoC.")
    if f"nvidia,{wanted}" in (compatible or ()):
        return Item("soc", PASS, wanted, wanted, "The device tree names the SoC.")
    remedy = "Check that this host is a Jetson Thor; if it is not, remove it from the inventory."
    return Item("soc", FAIL, found, wanted, f"The device tree does not name {wanted}.", remedy)


def _module(situation: Situation) -> Item:
    wanted, found = situation.wanted.get("module"), situation.facts.module
    if wanted is None:
        return not_asked("module", found or UNKNOWN, "The device class requires no particular module.")
    if found is not None and found == wanted:
        return Item("module", PASS, found, wanted, "The module is that of the device class.")
    if found is None:
        remedy = (
            "Read /etc/nv_boot_control.conf (TNSPEC), the device tree's model and `free -g` on the device: "
            "a T5000 has 128 GB, a T4000 64 GB. If the class is right, turn this check off."
        )
        return Item("module", FAIL, UNKNOWN, wanted, "The Thor module is unknown.", remedy)
    message = f"This is a {found}; its memory and power modes differ from a {wanted}'s."
    remedy = f"Give it the device class of a {found} (inventory: thor_device_class)."
    return Item("module", FAIL, found, wanted, message, remedy)


def _l4t(situation: Situation) -> Item:
    limits = situation.wanted["l4t"]
    wanted = f"{limits['minimum']} or newer, below {limits['below']}"
    full = situation.facts.l4t.revision_full if situation.facts.l4t else None
    found, lowest, below = (version_tuple(text) for text in (full, limits["minimum"], limits["below"]))
    if found is None or lowest is None or below is None:
        remedy = "Read /etc/nv_tegra_release on the device: its first line must name release and revision."
        return Item("l4t", FAIL, full or UNKNOWN, wanted, "The Jetson Linux release is unknown.", remedy)
    if lowest <= found < below:
        return Item("l4t", PASS, str(full), wanted, "The Jetson Linux release fits.")
    remedy = f"Flash Jetson Linux {wanted}, or choose a profile whose device class allows {full}."
    return Item("l4t", FAIL, str(full), wanted, f"Jetson Linux {full} is outside the range.", remedy)


def _gpu(situation: Situation) -> Item:
    gpu = situation.facts.gpu or Gpu()
    said = [gpu.name] if gpu.name else []
    said += [f"driver {gpu.driver}"] if gpu.driver else []
    found, wanted = ", ".join(said) or UNKNOWN, "a GPU that answers"
    if not situation.on_gpu:
        return not_asked("gpu", found, "The device class's engines run on the processor.")
    if gpu.name:
        return Item("gpu", PASS, found, wanted, "nvidia-smi answers.")
    remedy = (
        "Run `nvidia-smi` on the device: without an answer there the driver is not loaded "
        "(`dmesg | grep -i nvrm`, and that the nvidia-l4t packages all have one version)."
    )
    return Item("gpu", FAIL, found, wanted, "nvidia-smi does not answer, or lists several GPUs.", remedy)


def _mig(situation: Situation) -> Item:
    name, wanted, on = "mig", "off", (situation.facts.gpu or Gpu()).mig
    if not situation.on_gpu:
        return not_asked(name, UNKNOWN, "The device class's engines run on the processor.")
    if on is False:
        return Item(name, PASS, "off", wanted, "The GPU is not partitioned.")
    if on is None:
        remedy = "Run `nvidia-smi` on the device: its table has a column MIG M."
        return Item(name, WARN, UNKNOWN, wanted, "Whether the GPU is partitioned (MIG) is unknown.", remedy)
    message = (
        "The GPU is partitioned (MIG): on a Thor NVIDIA's container runtime gives a container no partition."
    )
    remedy = (
        "Stop what uses the GPU, then on it `sudo nvidia-smi mig -dci`, `sudo nvidia-smi mig -dgi` and "
        "`sudo nvidia-smi -mig 0`."
    )
    return Item(name, FAIL, "on", wanted, message, remedy)


CHECKS: dict[str, Callable[[Situation], Item]] = {
    "architecture": _architecture,
    "soc": _soc,
    "module": _module,
    "l4t": _l4t,
    "gpu": _gpu,
    "mig": _mig,
}
