"""Evaluate the preflight checks over a device's facts. A required fact that is unknown is a failure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from thorctl.agent.checks import disk, docker, host, machine, memory, network, power

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from thorctl.agent.checks.item import Item
    from thorctl.agent.checks.situation import Situation

# In the order of troubleshooting: first what cannot be changed.
CHECKS: dict[str, Callable[[Situation], Item]] = {
    **machine.CHECKS,
    **memory.CHECKS,
    **disk.CHECKS,
    **docker.CHECKS,
    **host.CHECKS,
    **network.CHECKS,
    **power.CHECKS,
}


def judge(situation: Situation, skip: Collection[str] = ()) -> list[Item]:
    """Return every check's item, in the order of CHECKS."""
    items = [check(situation) for check in CHECKS.values()]
    return [item.skipped() if item.name in skip else item for item in items]
