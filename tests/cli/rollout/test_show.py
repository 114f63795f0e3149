"""A rollout at work, as it is shown: live on a terminal, JSON lines for programs, plain lines elsewhere."""

from __future__ import annotations

import io
import json
import sys
from typing import TYPE_CHECKING

from tests.rollout.fleets import Fleet
from thorctl.cli.context import Context
from thorctl.cli.rollout.show import shown
from thorctl.ui.console import Console

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def context(project: Path, messages: io.StringIO, *, as_json: bool = False) -> Context:
    return Context(project, as_json, quiet=False, messages=Console(file=messages, width=200))


def tell_all(made: Context) -> None:
    """A whole rollout, told as it happens."""
    fleet = Fleet.of("well", "smoke_fails", "well", success_percent=40)
    progress = {"thor-02": {"verb": "stage", "phase": "image", "done_bytes": 5, "total_bytes": 10}}
    with shown(made, fleet.rollout, progress) as tell:
        fleet.start()
        told = 0
        while True:
            assert fleet.engine
            todo = fleet.engine.turn()
            tell(fleet.state, fleet.record.lines[told:])
            told = len(fleet.record.lines)
            if todo.over:
                return


def test_plain_lines_go_to_stderr(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    messages = io.StringIO()
    tell_all(context(tmp_path, messages))
    assert capsys.readouterr().out == ""
    assert "thor-01: committed" in messages.getvalue()
    assert "thor-02: smoke failed: babbles" in messages.getvalue()


def test_programs_get_a_line_of_json_for_every_event(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    messages = io.StringIO()
    tell_all(context(tmp_path, messages, as_json=True))
    events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert messages.getvalue() == ""
    assert [events[0]["event"], events[-1]["event"]] == ["started", "ended"]
    assert {"step_begun", "step_ended", "wave_opened", "wave_closed"} <= {one["event"] for one in events}


def test_a_terminal_gets_a_live_view(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "160")
    monkeypatch.setenv("TERM", "xterm")
    tell_all(context(tmp_path, io.StringIO()))
    out = capsys.readouterr().out
    assert "thor-01: committed" in out
    assert "Rollout 20261125-1" in out
    assert "thor-03" in out
