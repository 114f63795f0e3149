"""One simulated device for a test."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.agent.stateful_device import Device

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def device(tmp_path: Path) -> Iterator[Device]:
    one = Device(tmp_path)
    yield one
    one.close()
