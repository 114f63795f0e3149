"""The main five of the fault table with the real vLLM: a bad model, and four ways to die on a trial."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.system.e2e.site_world import make_anew
from tests.system.faults.row import Row, seen_by
from tests.system.faults.vllm_world import DEVICE, VllmWorld, lay

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.support.simulated import Simulated

pytestmark = [pytest.mark.sim, pytest.mark.vllm, pytest.mark.long]

ROWS = (
    Row(
        "committed",
        "the model babbles",
        "smoke_failed",
        "committed",
        "old",
        ("activate:done", "smoke:smoke_failed", "commit:smoke_missing", "rollback:done"),
    ),
    Row("committed", "the agent is killed", "died", "committed", "old", ("activate:?", "rollback:done")),
    Row("trial", "dockerd is killed, and nobody comes back", "done", "committed", "old", ("rollback:done",)),
    Row("trial", "reboot", "done", "committed", "old", ("recover:done",)),
    Row(
        "committed",
        "the controller is killed, and nobody comes back",
        "interrupted",
        "committed",
        "old",
        ("activate:done", "smoke:done", "rollback:done", "lease:done"),
    ),
)


@pytest.fixture(scope="module")
def world(
    sim: Simulated, broken_checkpoint: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[VllmWorld]:
    """A device with the real vLLM; bare again afterwards."""
    yield lay(sim, broken_checkpoint, tmp_path_factory.mktemp("vllm-faults"))
    make_anew(sim, DEVICE)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_fault(row: Row, world: VllmWorld, record_property: Callable[[str, object], None]) -> None:
    world.answer = "done"
    world.reach(row.state)
    world.befall(row.fault)
    assert world.seen() == seen_by(row)
    record_property("proved: fault rows", 1)
