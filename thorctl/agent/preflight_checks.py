"""Can this device take this release: pure checks over facts. A required fact that is unknown is a failure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from thorctl.agent import (
    preflight_disk,
    preflight_docker,
    preflight_host,
    preflight_machine,
    preflight_memory,
    preflight_network,
    preflight_power,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from thorctl.agent.preflight_item import Item
    from thorctl.agent.preflight_situation import Situation

# In the order in which a person would go through them: what cannot be changed first.
CHECKS: dict[str, Callable[[Situation], Item]] = {
    **preflight_machine.CHECKS,
    **preflight_memory.CHECKS,
    **preflight_disk.CHECKS,
    **preflight_docker.CHECKS,
    **preflight_host.CHECKS,
    **preflight_network.CHECKS,
    **preflight_power.CHECKS,
}


def judge(situation: Situation, skip: Collection[str] = ()) -> list[Item]:
    """Return every check's item, in the order of CHECKS."""
    items = [check(situation) for check in CHECKS.values()]
    return [item.skipped() if item.name in skip else item for item in items]
