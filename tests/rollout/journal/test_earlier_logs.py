"""Rollout logs of the last commit without a common contract are replayed (tests/fixtures/README.md)."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from thorctl.cli.main import run
from thorctl.result import Exit
from thorctl.rollout.journal.replay import fold
from thorctl.rollout.model.state import begin
from thorctl.store import rollouts
from thorctl.store.connection import opened
from thorctl.store.migrations import steps
from thorctl.store.rollouts import Line, Rollout

FILE = Path(__file__).parents[2] / "fixtures" / "rollouts-257c6f3.jsonl"
LOGS: list[dict[str, Any]] = [json.loads(one) for one in FILE.read_text(encoding="utf-8").splitlines()]
# Phases that have another name since.
RENAMED = {
    "in doubt": "unknown",
    "recalled": "rollback requested",
    "returning": "rolling back",
    "left": "rollback unverified",
    "back": "testing the previous release",
    "returned": "rolled back",
    "lost": "unreachable",
    "not returned": "rollback failed",
}
STEPS_THEN = 2  # of the store's schema


def read(log: dict[str, Any]) -> tuple[Rollout, list[Line]]:
    rollout = Rollout(**log["rollout"])
    return rollout, [Line(rollout=rollout.id, **line) for line in log["lines"]]


@pytest.mark.parametrize("log", LOGS, ids=range(len(LOGS)))
def test_replay_gives_the_phases_that_were_seen_then(log: dict[str, Any]) -> None:
    rollout, lines = read(log)
    state = fold(begin(rollout), lines)
    phases = {name: RENAMED.get(phase, phase) for name, phase in log["phases"].items()}
    assert {name: one.phase.value for name, one in state.devices.items()} == phases
    assert {key: getattr(state, key) for key in log["state"]} == log["state"]


@pytest.mark.parametrize("log", LOGS, ids=range(len(LOGS)))
def test_store_of_then_is_shown(log: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("THORCTL_STATE_DIR", str(tmp_path))
    rollout, lines = read(log)
    with opened(known=steps()[:STEPS_THEN]) as db:
        made = rollouts.put(db, rollout)
        rollouts.append(db, [replace(line, rollout=made.id) for line in lines])
    for words in (["rollout", "status", made.id], ["history"], ["history", "show", made.id]):
        shown = run(words)
        assert shown is not None
        assert (shown.exit_code, shown.errors) == (Exit.SUCCESS, ())
        names = {one["name"] for one in shown.data.get("devices", ())}
        assert names == (set() if words == ["history"] else set(log["phases"]))
