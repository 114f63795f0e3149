"""One simulated device for a test."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.agent.stateful_device import Device
from thorctl.agent.files import Files

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(autouse=True)
def _no_wait_for_other_disks(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the rest of this machine writes is none of the agent's tests' business."""
    monkeypatch.setattr(Files, "sync_all", lambda _: None)


@pytest.fixture
def device(tmp_path: Path) -> Iterator[Device]:
    one = Device(tmp_path)
    yield one
    one.close()
