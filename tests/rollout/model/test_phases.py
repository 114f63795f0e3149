"""The transition table is what the code does: a row has what random devices and answers lead to, no more."""

from __future__ import annotations

import random
from collections import defaultdict
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.rollout.cases import DEVICE, NEW, NOW, OLD, RULES, status
from thorctl.protocol.decode import decode
from thorctl.protocol.status import Soak
from thorctl.rollout.model import transitions
from thorctl.rollout.model.device import Device
from thorctl.rollout.model.phases import ON_TRIAL, PREPARED, RESUMED, ROWS, STOPPED, VERBS, Phase, admitted
from thorctl.rollout.model.rules import ABSENCES, TRIES, Ended, Rules
from thorctl.rollout.policy import SIMULATED, Speed, Wait
from thorctl.rollout.views.transitions import BEGIN, END, markdown

if TYPE_CHECKING:
    from thorctl.rollout.model.phases import Row

DRAWS = 4000  # of each row: ten times what the rarest transition needs with this seed
PAGE = Path(__file__).resolve().parents[3] / "docs" / "explanation" / "rollout.md"
OTHER = "bob@desk"
LEASES = (
    None,
    {"holder": RULES.holder, "reason": RULES.lease},
    {"holder": OTHER, "reason": "rollout 7"},
    {"holder": OTHER, "reason": "by hand"},
)
CODES = (
    *("device_unreachable", "agent_timeout", "agent_garbage", "auth_failed", "busy", "leased", "held"),
    *("not_staged", "preflight_failed", "smoke_failed", "engine_died", "download_interrupted", "disk_full"),
)
SOAKS = (
    None,
    {"state": "running", "release": NEW, "alive": True, "steps": 20, "steps_wanted": 100},
    {"state": "failed", "release": NEW, "alive": False, "steps": 20, "steps_wanted": 100, "reason": "Xid"},
    {"state": "done", "release": NEW, "alive": False, "steps": 100, "steps_wanted": 100},
)
LONG_AGO = (None, NOW - 10, NOW - 10**6)


class Draw:
    """Devices, answers and rules at random, as far as they can occur in a phase."""

    def __init__(self, seed: str) -> None:
        self.random = random.Random(seed)  # noqa: S311 - the same draws in each run
        self.one = self.random.choice

    def device(self, phase: Phase) -> Device:
        began = (NOW - 100, NOW - 5000)
        return replace(
            DEVICE,
            phase=phase,
            staged=phase is not Phase.NEW and self.one((True, False)),
            leased=self.one((True, False)),
            fault=self.one((None, None, "bad")),
            before=self.one((OLD, None)),
            began_at=self.one(began if phase in ON_TRIAL else (None, *began)),
            trial_from=self.one((None, NOW - 90)),
            trial_seconds=self.one((3000, 50)),
            tries=self.one((0, 1, TRIES)),
            strikes=self.one((0, 1)),
            refused_since=self.one(LONG_AGO),
            silent_since=self.one(LONG_AGO),
            restaged=self.one((True, False)),
            had_release=self.one((True, False)),
            soak_from=self.one((NOW - 10, NOW - 10**5) if phase is Phase.SOAKING else (None, NOW - 10)),
            restarts=self.one((None, 0)),
            soak=self.one((None, decode(Soak, SOAKS[1]), replace(decode(Soak, SOAKS[1]), state="done"))),
            since=self.one((None, "1", "2")),
            absences=self.one((0, ABSENCES + 1)),
            held_since=self.one((None, NOW - 10**6)),
            hold=self.one((None, "on patrol")),
            baseline=self.one((None, 40.0)),
        )

    def end(self) -> Ended:
        if self.random.random() < 0.35:
            hold = {"hold": {"reason": "on patrol"}}
            details: dict[str, Any] = self.one(({}, {"lease": self.one(LEASES[1:])}, hold))
            return Ended(NOW, False, self.one((True, True, False)), self.one(CODES), "about", details=details)
        data = status(
            self.one(("committed", "empty", "trial", "activating", "rolling-back", "??")),
            self.one((NEW, OLD, None)),
            lease=self.one(LEASES),
            hold=self.one((None, None, {"reason": "on patrol"})),
            activated_by=self.one((None, RULES.holder, OTHER)),
            passed=self.one((True, True, False)),
            tokens_per_second=self.one((40.0, 1.0, None)),
            release_sha256=self.one((None, "s", "t")),
            last_smoke=self.one((None, {"release": OLD, "passed": True, "tokens_per_second": 40.0})),
            review_seconds_left=self.one((None, None, 5)),
            agent_layouts=[1, 2],
            since=self.one(("1", "2")),
            soak=self.one(SOAKS),
        )
        if self.random.random() < 0.2:
            data["engine"] = {"unit": "failed", "ready": False, "restarts": 3}
        if self.random.random() < 0.05:
            del data["state"]
        return Ended(NOW, True, data=data)

    def rules(self) -> Rules:
        return replace(
            RULES,
            soak_seconds=self.one((5, 60)),
            speed=self.one((None, Speed())),
            wait=self.one((Wait(), Wait(hold_seconds=3600))),
            stopped=self.one((False, False, True)),
            sha256=self.one(("", "s")),
            over_hold=self.one((None, "on patrol")),
            work=self.one((None, SIMULATED)),
            review_seconds=self.one((0, 100)),
        )


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.start.name}-{row.verb}")
def test_row_is_what_the_code_does(row: Row) -> None:
    draw = Draw(f"{row.start.name} {row.verb}")
    found = {
        transitions.JUDGES[row.verb](draw.device(row.start), draw.end(), draw.rules()).phase
        for _ in range(DRAWS)
    }
    assert found == row.to


def test_no_end_leads_out_of_the_table() -> None:
    """Also where a stop moved the device while its verb was at work."""
    draw = Draw("late")
    left: dict[tuple[Phase, str], set[Phase]] = defaultdict(set)
    for row in ROWS:
        for phase in {row.start, STOPPED.get(row.start, row.start)}:
            for _ in range(200):
                device, end, rules = draw.device(phase), draw.end(), draw.rules()
                if row.start in PREPARED - {Phase.READY}:
                    device = replace(device, began_at=None, silent_since=None)  # nothing was changed on it
                after = transitions.JUDGES[row.verb](device, end, rules).phase
                if after not in admitted(phase, row.verb):
                    left[phase, row.verb].add(after)
    assert left == {}


def test_what_the_table_does_not_admit_is_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    def astray(device: Device, end: Ended, rules: Rules) -> Device:
        return replace(device, phase=Phase.UPDATED)

    monkeypatch.setitem(transitions.JUDGES, "stage", astray)
    device = Device("thor-01", NEW, phase=Phase.STAGING)
    assert transitions.ended(device, "stage", Ended(NOW, True), RULES).phase is Phase.UNKNOWN


def test_every_phase_is_left_or_settled() -> None:
    final = {Phase.FAILED, Phase.ROLLED_BACK, Phase.ROLLBACK_FAILED}
    assert {phase for phase, verbs in VERBS.items() if not verbs} == final
    reached = {phase for row in ROWS for phase in row.to} | set(STOPPED.values()) | set(RESUMED.values())
    assert set(Phase) - reached == {Phase.NEW}
    assert {STOPPED[phase] for phase in ON_TRIAL} == {Phase.ROLLING_BACK}
    assert {STOPPED[phase] for phase in PREPARED} == {Phase.STAGED}


def test_the_page_shows_the_table() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert text[text.index(BEGIN) : text.index(END)] == BEGIN + markdown()
