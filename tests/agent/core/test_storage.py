"""Data on a second disk that is not mounted: nothing works on the empty directory below."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from thorctl.agent.core.storage import MARK, MOUNT_UNIT

if TYPE_CHECKING:
    from tests.support.stateful_device import Device


@pytest.fixture
def unit(device: Device) -> None:
    """The device has a mount unit for its data."""
    place = device.paths.at(MOUNT_UNIT)
    place.parent.mkdir(parents=True, exist_ok=True)
    place.touch()


@pytest.mark.usefixtures("unit")
@pytest.mark.parametrize("words", [("status",), ("recover",), ("gc",), ("lease", "take"), ("rollback",)])
def test_a_missing_disk_is_an_error_and_leaves_no_trace(device: Device, words: tuple[str, ...]) -> None:
    before = sorted(device.paths.state_dir.rglob("*"))
    outcome = device.say(*words)
    assert outcome.error is not None
    assert outcome.error.code == "storage_missing"
    assert sorted(device.paths.state_dir.rglob("*")) == before


@pytest.mark.usefixtures("unit")
def test_facts_are_told_without_the_disk(device: Device) -> None:
    assert device.say("facts").error is None


@pytest.mark.usefixtures("unit")
def test_storage_missing_until_the_disk_is_mounted(device: Device) -> None:
    assert device.say("status").error is not None
    device.paths.state_dir.mkdir(parents=True, exist_ok=True)
    (device.paths.state_dir / MARK).touch()
    assert device.say("status").error is None
