"""The fault table on real container devices: real agent over SSH, real systemd and Docker, the light engine.

Every row asserts what the journal on the disk says, what the engine itself says that it is (and that unit,
container and image agree), and what the events hold.
"""

from __future__ import annotations

import re
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.system.faults.container_faults import FAULTS
from tests.system.faults.container_rows import ROWS
from tests.system.faults.container_states import STATES
from tests.system.faults.container_world import ContainerWorld
from tests.system.faults.row import Row, check_whole, seen_by

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.system.faults.container_ground import Ground

# One of each kind, in under three minutes; the others are for `make test-all`.
QUICK = {
    "staging × the agent is killed",
    "activating × the agent is killed",
    "activating × power cut",
    "activating × a checkpoint's file is damaged",
    "trial × nobody comes back",
    "smoking × the model babbles",
    "committing × full disk",
    "rolling back × read-only disk",
}


def _marked(row: Row) -> object:
    marks = [pytest.mark.sim] if row.name in QUICK else [pytest.mark.sim, pytest.mark.long]
    return pytest.param(row, id=row.name, marks=marks)


@pytest.mark.parametrize("row", [_marked(row) for row in ROWS])
def test_fault(row: Row, ground: Ground, record_property: Callable[[str, object], None]) -> None:
    with ExitStack() as exits:
        world = ContainerWorld(ground, exits)
        world.reach(row.state)
        world.befall(row.fault)
        assert world.seen() == seen_by(row)
    record_property("proved: fault rows", 1)


def test_restore_script_imports_what_the_agent_has() -> None:
    script = Path(__file__).with_name("restore.sh").read_text(encoding="utf-8")
    imports = re.findall(r"^from (thorctl\.\S+) import (.+)$", script, re.MULTILINE)
    assert imports
    for module, names in imports:
        exec(f"from {module} import {names}", {})  # noqa: S102 - the script's own line


def test_every_state_and_every_fault_has_rows_and_none_twice() -> None:
    check_whole(ROWS, STATES, FAULTS)
    assert {row.name for row in ROWS} >= QUICK


def test_what_was_not_committed_serves_only_until_its_deadline() -> None:
    """And nothing ever serves that the disk does not call committed, but on trial."""
    for row in ROWS:
        assert row.ends in {"committed", "trial"}, row.name
        assert row.serves in {"old", "new"}, row.name
        assert row.ends == "committed" or row.serves == "new", row.name
        if "nobody comes back" in row.fault:
            assert (row.ends, row.serves) == ("committed", "old"), row.name
