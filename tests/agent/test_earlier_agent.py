"""What agent 0.1.0 stored on a device is read by this agent (tests/fixtures/README.md)."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.fixtures import earlier
from thorctl.agent import desired, journal_file, release_document
from thorctl.agent.paths import Paths
from thorctl.agent.release_document import LAYOUTS, UNIT_FILE

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(("name", "state"), earlier.JOURNALS.items())
def test_journal_of_earlier_agent_is_read(tmp_path: Path, name: str, state: str) -> None:
    paths = Paths(tmp_path)
    recorded = earlier.text(f"state-{name}.json")
    paths.journal.parent.mkdir(parents=True, exist_ok=True)
    paths.journal.write_text(recorded)
    found = journal_file.load(paths)
    assert found.state == state
    assert found.document().items() >= json.loads(recorded).items()


def test_release_of_layout_1_is_read() -> None:
    assert 1 in LAYOUTS
    release = release_document.parse(earlier.text("release-1.json").encode())
    assert release.id == earlier.answer("status-committed")["data"]["release"]
    assert release.files()[UNIT_FILE][1] == earlier.text("unit").encode()


def test_device_json_of_earlier_site_yml_is_read() -> None:
    wish = desired.of_host(json.loads(earlier.text("device.json")))
    assert wish is not None
    assert wish.power_mode == "120W"
    assert [one.state for one in wish.packages] == ["held"]
