"""The fault table's rows that need no machine: the real agent, whose systemd, Docker and power are doubles.

Every row asserts what the journal on the disk says, what is served, and what the events hold. Rows for
container devices and virtual Thors have worlds of their own (row.py says what those must be able to do).
"""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from tests.system.faults.agent_rows import ROWS
from tests.system.faults.agent_world import FAULTS, STATES, AgentWorld
from tests.system.faults.row import Row, check_whole, seen_by

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_fault(
    row: Row,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    record_property: Callable[[str, object], None],
) -> None:
    with ExitStack() as exits:
        world = AgentWorld(tmp_path, monkeypatch, exits)
        world.reach(row.state)
        world.befall(row.fault)
        assert world.seen() == seen_by(row)
    record_property("proved: fault rows", 1)


def test_every_state_and_every_fault_has_rows_and_none_twice() -> None:
    check_whole(ROWS, STATES, FAULTS)


def test_an_uncommitted_release_outlives_a_fault_only_where_the_device_still_decides() -> None:
    """On trial at the end: only before the deadline, still to come here, or on a read-only disk."""
    before_the_deadline = {"nothing", "another verb at work", "another's lease"}
    before_the_deadline |= {"the clock jumps ahead", "the clock jumps back"}
    alive = {row.fault for row in ROWS if row.ends == "trial"}
    assert alive == before_the_deadline | {"read-only disk"}
