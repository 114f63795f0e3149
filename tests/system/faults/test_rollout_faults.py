"""The fault table of rollouts: real ``thorctl rollout`` over two container devices with the light engine.

Every row asserts where thorctl says that the rollout stands, and of the canary what its disk, its engine and
its events say; the second device serves the new release only if the rollout finished.
"""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from tests.system.faults.rollout_faults import FAULTS
from tests.system.faults.rollout_rows import ROWS
from tests.system.faults.rollout_world import STATES, RolloutWorld
from tests.system.faults.row import Row, check_whole, seen_by

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.system.faults.container_ground import Ground


@pytest.mark.sim
@pytest.mark.long
@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_fault(
    row: Row, ground: Ground, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    with ExitStack() as exits:
        world = RolloutWorld(ground, exits, tmp_path)
        world.reach(row.state)
        world.befall(row.fault)
        assert world.seen() == seen_by(row), "".join(world.lines)
    record_property("proved: fault rows", 1)


def test_every_state_and_every_fault_has_rows_and_none_twice() -> None:
    check_whole(ROWS, STATES, FAULTS)


def test_only_a_rollout_that_finished_or_was_committing_leaves_the_new_release() -> None:
    for row in ROWS:
        new = row.answer == "finished" or (row.state, row.answer) == ("a rollout commits", "interrupted")
        assert (row.ends, row.serves) == ("committed", "new" if new else "old"), row.name
