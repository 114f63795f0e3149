"""Preflight checks of the memory that CPU and GPU share: size, use, swap."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from thorctl.agent.checks.item import FAIL, PASS, UNKNOWN, WARN, Item, memory_size, not_asked
from thorctl.protocol.facts import Memory

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from thorctl.agent.checks.situation import Situation

# vLLM's default, if the profile sets none.
_DEFAULT_SHARE = 0.9


def _memory(situation: Situation) -> Item:
    total = situation.facts.memory.total_bytes if situation.facts.memory else None
    wanted = int(situation.wanted["memory_minimum_bytes"])
    if total is not None and total >= wanted:
        return Item("memory", PASS, memory_size(total), memory_size(wanted), "There is enough memory.")
    remedy = "Choose a profile for a smaller device (a T4000 has 64 GB, a T5000 128 GB)."
    message = "There is too little memory." if total is not None else "The size of the memory is unknown."
    return Item("memory", FAIL, memory_size(total), memory_size(wanted), message, remedy)


def _memory_available(situation: Situation) -> Item:
    name, memory = "memory_available", situation.facts.memory or Memory()
    available, free = memory.available_bytes, memory.free_bytes
    needed, why = _needed(situation, memory.total_bytes)
    found, wanted = memory_size(available), f"{memory_size(needed)}: {why}"
    if situation.engine_running:
        return Item(name, PASS, found, wanted, "An engine runs; its memory is freed before the next starts.")
    remedy = (
        "Find what uses it (`docker stats`, `top`, `nvidia-smi` on the device) and stop it, or lower "
        f"{_limits(situation)} in the profile (`thorctl release show` lists what each part needs)."
    )
    if available is None or available < needed:
        # On a GPU vLLM refuses to start; on a CPU it may still fit.
        status = FAIL if situation.on_gpu else WARN
        message = "Other programs use the memory that the engine needs at its start."
        if available is None:
            message = "The available memory is unknown."
        return Item(name, status, found, wanted, message, remedy)
    if situation.on_gpu and (free is None or free < needed):
        return _page_cache(situation, found, wanted, free)
    return Item(name, PASS, found, wanted, "The memory that the engine needs at its start is available.")


def _page_cache(situation: Situation, found: str, wanted: str, free: int | None) -> Item:
    """Return the result if memory is available but not free: CUDA counts the page cache as used."""
    found = f"{found}, {memory_size(free)} of it free"
    if situation.wanted.get("free_page_cache"):
        message = "Enough is available; the rest is page cache, which is freed before each start."
        return Item("memory_available", PASS, found, wanted, message)
    message = "The rest is page cache, which CUDA counts as used: the engine would not start."
    remedy = "Set `free_page_cache: true` in the device class, or run `sync; sysctl -w vm.drop_caches=3`."
    return Item("memory_available", WARN, found, wanted, message, remedy)


def _needed(situation: Situation, total: int | None) -> tuple[int, str]:
    """Return the bytes that must be available when the engine starts, and their purpose."""
    reserve = int(situation.wanted["reserve"]["memory_bytes"])
    memory = situation.release.get("memory")
    if memory:
        engine = int(memory["total_bytes"])
        return engine + reserve, f"{memory_size(engine)} for the engine and {memory_size(reserve)} in reserve"
    # vLLM sizes its cache, or the release has an earlier layout.
    weights = int(situation.release["lock"]["checkpoint"]["total_bytes"])
    for_weights = weights + reserve, "weights and reserve"
    if not situation.on_gpu or total is None:
        return for_weights
    # vLLM compares this with the free memory that CUDA reports, before it loads anything.
    share = float(_options(situation).get("gpu-memory-utilization", _DEFAULT_SHARE))
    return max(for_weights, (int(total * share), f"{share:g} of all memory"))


def _options(situation: Situation) -> Mapping[str, Any]:
    """Return the effective options; those of the profile for a release of an earlier layout."""
    found: Mapping[str, Any] = situation.release.get("options") or situation.release["profile"]["serve"]
    return found


def _limits(situation: Situation) -> str:
    """Return the options that determine the engine's memory, with their values."""
    options = _options(situation)
    names = (
        ("max-num-seqs", "max-model-len") if situation.release.get("memory") else ("gpu-memory-utilization",)
    )
    return " or ".join(f"{name} ({options[name]})" if name in options else name for name in names)


def _gpu_processes(situation: Situation) -> Item:
    name, wanted, processes = "gpu_processes", "the engine alone", situation.facts.gpu_processes
    if not situation.on_gpu:
        found = UNKNOWN if processes is None else f"{len(processes)} on it"
        return not_asked(name, found, "The device class's engines run on the processor.")
    remedy = "Stop programs that are not needed; the others need their memory beside the engine's."
    if processes is None:
        return Item(
            name,
            WARN,
            UNKNOWN,
            wanted,
            "The other programs on the GPU are unknown.",
            f"Read `nvidia-smi` on the device. {remedy}",
        )
    others = [one for one in processes if one.pid not in situation.engine_pids]
    if not others:
        found = "the engine" if processes else "none"
        return Item(name, PASS, found, wanted, "No other program uses the GPU.")
    found = ", ".join(f"{one.name} ({one.pid}, {memory_size(one.used_bytes)})" for one in others)
    return Item(name, WARN, found, wanted, "Other programs use the GPU and its memory.", remedy)


def _swap(situation: Situation) -> Item:
    areas, wanted = situation.facts.swap, "swap on a disk"
    on_disk = [area for area in areas or () if area.kind != "zram"]
    found = ", ".join(f"{area.path} {memory_size(area.size_bytes)}" for area in areas or ()) or "none"
    if not situation.on_gpu:
        return not_asked("swap", found if areas is not None else UNKNOWN, "The class's engines are small.")
    if on_disk:
        return Item("swap", PASS, found, wanted, "There is swap on a disk.")
    message = "Without swap a device freezes, and logs nothing, when loading or compiling takes all memory."
    if areas is None:
        found, message = UNKNOWN, f"Whether there is swap is unknown. {message}"
    remedy = "Run site.yml (the role thor_host makes a swap file); zram is made of the same memory."
    return Item("swap", WARN, found, wanted, message, remedy)


CHECKS: dict[str, Callable[[Situation], Item]] = {
    "memory": _memory,
    "memory_available": _memory_available,
    "gpu_processes": _gpu_processes,
    "swap": _swap,
}
