"""Can this device take this release: pure checks over facts. A required fact that is unknown is a failure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from thorctl.agent import preflight_host
from thorctl.agent.parsers.l4t import version_tuple
from thorctl.agent.preflight_item import FAIL, PASS, WARN, Item
from thorctl.agent.space import required_bytes, shortfalls

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from thorctl.agent.ports import Listener

UNKNOWN = "unknown"


@dataclass(frozen=True)
class Situation:
    """All that the checks look at.

    Attributes:
        facts: what the verb facts gives.
        release: the release document.
        listener: who listens on the release's port.
        image_present, checkpoint_present_bytes: what of the release is on the device already.
        now: the device's clock, seconds since 1970.
        python: version of the Python that runs the agent, such as (3, 12).
    """

    facts: Mapping[str, Any]
    release: Mapping[str, Any]
    listener: Listener | None
    image_present: bool
    checkpoint_present_bytes: int
    now: float
    python: tuple[int, ...]

    @property
    def wanted(self) -> Mapping[str, Any]:
        """The release's device class."""
        found: Mapping[str, Any] = self.release["device_class"]
        return found


def judge(situation: Situation, skip: Collection[str] = ()) -> list[Item]:
    """Return every check's item, in the order in which a person would go through them."""
    items = [check(situation) for check in CHECKS.values()]
    return [item.skipped() if item.name in skip else item for item in items]


def gibibytes(size: int | None) -> str:
    """Return a size for people."""
    return UNKNOWN if size is None else f"{size / 2**30:.1f} GiB"


def _architecture(situation: Situation) -> Item:
    found, wanted = situation.facts.get("architecture"), situation.wanted["architectures"]
    text = " or ".join(wanted)
    if found in wanted:
        return Item("architecture", PASS, str(found), text, "The processor's architecture fits.")
    remedy = "Give the device the device class that describes it (inventory: thor_device_class)."
    return Item(
        "architecture", FAIL, found or UNKNOWN, text, "The processor's architecture is wrong.", remedy
    )


def _soc(situation: Situation) -> Item:
    wanted = situation.wanted.get("soc")
    compatible = situation.facts.get("soc_compatible")
    found = ", ".join(compatible) if compatible else UNKNOWN
    if wanted is None:
        return Item("soc", PASS, found, "any", "The device class asks for no particular SoC.")
    if f"nvidia,{wanted}" in (compatible or []):
        return Item("soc", PASS, found, wanted, "The device tree names the SoC.")
    remedy = "Check that this host is a Jetson Thor; if it is another machine, take it out of the inventory."
    return Item("soc", FAIL, found, wanted, f"The device tree does not name {wanted}.", remedy)


def _l4t(situation: Situation) -> Item:
    limits = situation.wanted["l4t"]
    wanted = f"{limits['minimum']} or newer, below {limits['below']}"
    facts = situation.facts.get("l4t")
    full = facts.get("revision_full") if facts else None
    found, lowest, below = (version_tuple(text) for text in (full, limits["minimum"], limits["below"]))
    if found is None or lowest is None or below is None:
        remedy = "Read /etc/nv_tegra_release on the device: its first line must name release and revision."
        return Item("l4t", FAIL, full or UNKNOWN, wanted, "The Jetson Linux release is unknown.", remedy)
    if lowest <= found < below:
        return Item("l4t", PASS, str(full), wanted, "The Jetson Linux release fits.")
    remedy = f"Flash Jetson Linux {wanted}, or choose a profile whose device class allows {full}."
    return Item("l4t", FAIL, str(full), wanted, f"Jetson Linux {full} is outside the range.", remedy)


def _memory(situation: Situation) -> Item:
    total = (situation.facts.get("memory") or {}).get("total_bytes")
    wanted = int(situation.wanted["memory_minimum_bytes"])
    if total is not None and total >= wanted:
        return Item("memory", PASS, gibibytes(total), gibibytes(wanted), "There is enough memory.")
    remedy = "Choose a profile for a smaller device (a T4000 has 64 GB, a T5000 128 GB)."
    return Item("memory", FAIL, gibibytes(total), gibibytes(wanted), "There is too little memory.", remedy)


def _memory_available(situation: Situation) -> Item:
    available = (situation.facts.get("memory") or {}).get("available_bytes")
    checkpoint = int(situation.release["lock"]["checkpoint"]["total_bytes"])
    wanted = checkpoint + int(situation.wanted["reserve"]["memory_bytes"])
    found, text = gibibytes(available), gibibytes(wanted)
    if situation.listener is not None and situation.listener.is_engine:
        return Item("memory_available", PASS, found, text, "The engine runs; its memory will be given back.")
    if available is not None and available >= wanted:
        return Item("memory_available", PASS, found, text, "Weights and reserve fit into what is free.")
    message = "Other programs may hold the memory that the weights and the reserve need."
    return Item(
        "memory_available", WARN, found, text, message, "Look for them with `docker stats` and `top`."
    )


def _disk(situation: Situation) -> Item:
    required = required_bytes(
        situation.release,
        image_present=situation.image_present,
        checkpoint_present_bytes=situation.checkpoint_present_bytes,
    )
    disk = situation.facts.get("disk") or {}
    state, docker = disk.get("state_free_bytes"), disk.get("docker_free_bytes")
    missing = shortfalls(
        required,
        state_free_bytes=state,
        docker_free_bytes=docker,
        same_filesystem=disk.get("same_filesystem"),
    )
    found = f"{gibibytes(state)} for state, {gibibytes(docker)} for images"
    wanted = (
        f"{gibibytes(required.total_bytes)}: image and unpack copy {gibibytes(required.image_bytes)}, "
        f"checkpoint {gibibytes(required.checkpoint_bytes)}, reserve {gibibytes(required.reserve_bytes)}"
    )
    if not missing:
        return Item("disk", PASS, found, wanted, "Image, checkpoint and unpack copy fit.")
    lacks = "; ".join(
        f"{short.filesystem}: {gibibytes(short.required_bytes)} needed, {gibibytes(short.free_bytes)} free"
        for short in missing
    )
    remedy = "Free space with `thor-agent gc` and `docker image prune`, or give the device a larger disk."
    return Item("disk", FAIL, found, wanted, f"The disk is too small ({lacks}).", remedy)


CHECKS: dict[str, Callable[[Situation], Item]] = {
    "architecture": _architecture,
    "soc": _soc,
    "l4t": _l4t,
    "memory": _memory,
    "memory_available": _memory_available,
    "disk": _disk,
    **preflight_host.CHECKS,
}
