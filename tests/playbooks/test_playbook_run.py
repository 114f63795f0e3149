"""The tests' own way to run a playbook."""

from __future__ import annotations

import io
import time
from typing import TYPE_CHECKING

import pytest

from tests.playbooks import playbook_run

if TYPE_CHECKING:
    from pathlib import Path

ENDLESS = """#!/bin/sh
trap '' TERM PIPE
echo begun
sleep 120
"""


class TimeLimit(io.StringIO):
    """Raises where pytest-timeout does: while the playbook runs."""

    def write(self, _: str) -> int:
        pytest.fail("the test's time is up")


def test_time_limit_of_a_test_ends_its_playbook(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tool = tmp_path / "ansible-playbook"
    tool.write_text(ENDLESS)
    tool.chmod(0o755)
    monkeypatch.setattr(playbook_run, "TOOL", tool)
    began = time.monotonic()
    with pytest.raises(pytest.fail.Exception):
        playbook_run.playbook("site.yml", echo=TimeLimit())
    assert time.monotonic() - began < 60
