"""What people and programs are told of a rollout: its standing, what to do next, every line in words."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import pytest
from rich.console import Console

from tests.rollout.fleets import Fleet
from thorctl.rollout.model.phases import Phase
from thorctl.rollout.model.state import seconds
from thorctl.rollout.plan import from_document
from thorctl.rollout.views import events, summary
from thorctl.rollout.views.plan import PlanView, change
from thorctl.rollout.views.rollout import RolloutView, folded, of_all, of_one
from thorctl.ui.format import duration


def shown(view: object) -> str:
    console = Console(width=160, color_system=None)
    with console.capture() as capture:
        console.print(view)
    return capture.get()


def test_a_good_end() -> None:
    fleet = Fleet.of(*["well"] * 3)
    fleet.run()
    data = summary.as_json(fleet.rollout, fleet.state, at_work=False)
    assert (data["status"], data["next"], summary.exit_code(fleet.state)) == ("finished", None, 0)
    assert [one["phase"] for one in data["devices"]] == ["updated"] * 3
    assert [one["tokens_per_second"] for one in data["devices"]] == [40.0] * 3
    assert [wave["state"] for wave in data["waves"]] == ["done", "done"]
    assert summary.problems(fleet.state) == ()
    assert json.loads(json.dumps(data)) == data
    text = shown(RolloutView(fleet.rollout, fleet.state, at_work=False))
    assert "finished" in text
    assert "m-aaaaaaaaaaaa → m-bbbbbbbbbbbb, by ann@desk" in text


def test_a_stop_names_the_device_and_why() -> None:
    fleet = Fleet.of("smoke_fails", "well", "well")
    fleet.run()
    data = summary.as_json(fleet.rollout, fleet.state, at_work=False)
    assert (data["status"], summary.exit_code(fleet.state)) == ("stopped", 1)
    assert "canary" in data["reason"]
    assert [wave["state"] for wave in data["waves"]] == ["stopped", "not begun"]
    (problem,) = summary.problems(fleet.state)
    assert (problem.code, problem.device) == ("device_failed", "thor-01")
    assert "babbles" in problem.message
    assert "thorctl history show 20261125-1 thor-01" in problem.remedy


def test_a_stop_tells_who_returned_from_who_was_left_alone() -> None:
    fleet = Fleet.of(
        "well", "smoke_fails", "well", "well", waves=[{"count": 1}, {"rest": True}], on_stop="return"
    )
    fleet.run()
    lines = shown(RolloutView(fleet.rollout, fleet.state, at_work=False)).splitlines()
    assert [line.split() for line in lines[3:7]] == [
        ["Wave", "Who", "State", "Well", "Failed", "Returned", "Absent", "Left", "alone"],
        ["1", "canary", "done", "0", "0", "1", "0", "0"],
        ["2", "1", "device", "stopped", "0", "1", "0", "0", "0"],
        ["3", "the", "rest", "not", "begun", "0", "0", "0", "0", "2"],
    ]


def test_devices_stand_in_the_order_of_their_waves() -> None:
    fleet = Fleet.of(*["well"] * 4, canary={"devices": ["thor-03"]}, waves=[{"site": "b"}, {"rest": True}])
    fleet.run()
    text = shown(RolloutView(fleet.rollout, fleet.state, at_work=False))
    assert re.findall(r"^(thor-\d+) ", text, re.MULTILINE) == ["thor-03", "thor-02", "thor-04", "thor-01"]


def test_an_absent_device_is_to_be_caught_up() -> None:
    fleet = Fleet.of(*["well"] * 3)
    fleet[2].linked = False
    fleet.run()
    data = summary.as_json(fleet.rollout, fleet.state, at_work=False)
    assert (data["status"], summary.exit_code(fleet.state)) == ("incomplete", 3)
    assert data["next"] == "thorctl rollout resume 20261125-1"
    assert [problem.code for problem in summary.problems(fleet.state)] == ["device_absent"]
    assert "Continue with: thorctl rollout resume" in shown(RolloutView(fleet.rollout, fleet.state, False))


def test_a_dead_controller_is_seen() -> None:
    fleet = Fleet.of(*["well"] * 3)
    fleet.start()
    assert fleet.engine
    fleet.engine.turn()
    state = fleet.state
    fleet.kill()
    assert summary.standing(state, at_work=True) == "running"
    assert summary.standing(state, at_work=False) == "interrupted"
    assert summary.next_command("1", state, at_work=False) == "thorctl rollout resume 1"


def test_approval_is_asked_for_by_name() -> None:
    fleet = Fleet.of(*["well"] * 3, approve="after_canary")
    fleet.run()
    data = summary.as_json(fleet.rollout, fleet.state, at_work=True)
    assert (data["status"], data["next"]) == ("waits for approval", "thorctl rollout approve 20261125-1")


def test_every_line_has_its_words() -> None:
    fleet = Fleet.of("well", "smoke_fails", "well", success_percent=40)
    fleet.run()
    told = [line for line in map(events.tell, fleet.record.lines) if line]
    text = "\n".join(told)
    for part in (
        "  started by ann@desk",
        "wave 1 opens: canary",
        "thor-01: staged, 1.0 kB downloaded",
        "thor-01: on trial, ready after 30 s",
        "thor-01: smoke test passed, 40.0 tok/s",
        "thor-01: committed",
        "thor-02: smoke failed: babbles",
        "thor-02: rolled back",
        "ended: finished",
    ):
        assert part in text, text
    for line in fleet.record.lines:
        assert json.dumps(events.line_json(line))


def test_a_device_on_hold_is_told_and_an_order_says_itself() -> None:
    fleet = Fleet.of(*["well"] * 3, approve="after_canary")
    fleet[2].hold = "on patrol"
    fleet.run()
    fleet.record.order(fleet.world, "approved", wave=2)
    fleet.run()
    told = [line[10:] for line in map(events.tell, fleet.record.lines) if line]
    assert "thor-02: on hold: on patrol" in told
    assert {"started by ann@desk", "resumed by ann@desk", "approved by bob"} <= set(told)
    assert "wave 2 (the rest) waits for `thorctl rollout approve`" in told


def test_the_plan_says_what_is_not_known() -> None:
    fleet = Fleet.of(*["well"] * 3)
    text = shown(PlanView(from_document(fleet.rollout.plan)))
    assert "3 devices in 2 waves" in text
    assert "at least 2 min, as not every device was measured here" in text
    assert "–" in text


def test_plan_names_the_devices_that_need_an_agent_first() -> None:
    plan = from_document(Fleet.of(*["well"] * 3).rollout.plan)
    devices = tuple(replace(one, agent="0.2.0") for one in plan.devices[:2])
    text = " ".join(shown(PlanView(replace(plan, devices=(*devices, plan.devices[2])))).split())
    names = [one.name for one in devices]
    assert f"The agents of {', '.join(names)} cannot take part" in text
    assert f"site.yml --limit {','.join(names)}" in text


def test_the_plan_says_how_much_memory_a_release_needs() -> None:
    plan = from_document(Fleet.of(*["well"] * 3).rollout.plan)
    assert "of memory" not in shown(PlanView(plan))
    devices = tuple(replace(one, memory_bytes=36 * 2**30) for one in plan.devices)
    told = shown(PlanView(replace(plan, devices=devices)))
    assert told.count(f"{devices[0].release} needs 36.0 GiB of memory.") == 1


@pytest.mark.parametrize(
    ("seconds", "text"), [(None, "–"), (0, "0 s"), (89, "89 s"), (90, "2 min"), (5400, "1 h 30 min")]
)
def test_durations(seconds: float | None, text: str) -> None:
    assert duration(seconds) == text


def test_a_change_says_each_thing_once() -> None:
    assert change("m-aaaaaaaaaaaa", "m-bbbbbbbbbbbb") == "aaaaaaaaaaaa → bbbbbbbbbbbb"
    assert change("other-m-aaaaaaaaaaaa", "m-bbbbbbbbbbbb") == "other-m-aaaaaaaaaaaa → bbbbbbbbbbbb"
    assert change(None, "m-bbbbbbbbbbbb") == "– → bbbbbbbbbbbb"


def test_releases_have_a_column_where_they_differ_only() -> None:
    fleet = Fleet.of(*["well"] * 3)
    fleet[3].current = "other-cccccccccccc"
    fleet.run()
    text = shown(RolloutView(fleet.rollout, fleet.state, at_work=False))
    assert "\nm-bbbbbbbbbbbb, by ann@desk" in text
    assert "other-cccccccccccc → bbbbbbbbbbbb" in text
    assert "aaaaaaaaaaaa → bbbbbbbbbbbb" in text


@pytest.mark.parametrize(
    ("progress", "text"),
    [
        ({"phase": "checkpoint", "done_bytes": 2**30, "total_bytes": 4 * 2**30, "bytes_per_second": 2**24},
         "checkpoint 25 %, 1.1 of 4.3 GB, 17 MB/s, 3 min left"),
        ({"phase": "start"}, "starting"),
        ({"phase": "image", "done_bytes": None, "bytes_per_second": "fast"}, "image"),
        ({}, "under way"),
    ],
)  # fmt: skip
def test_progress_in_words(progress: dict[str, object], text: str) -> None:
    assert of_one(progress) == text


def test_progress_of_all_together() -> None:
    half = {"phase": "checkpoint", "done_bytes": 2**30, "total_bytes": 2**31, "bytes_per_second": 2**24}
    slow = {**half, "bytes_per_second": 2**23}
    assert of_all([half, slow, {"phase": "image"}]) == "2 devices at it: 2.1 of 4.3 GB, 25 MB/s, 2 min left"
    assert of_all([half, {**half, "bytes_per_second": None}]) == "2 devices at it: 2.1 of 4.3 GB, 17 MB/s"
    assert of_all([{"phase": "image"}]) == of_all([]) == ""


def test_while_it_stages_the_title_says_how_far_all_are() -> None:
    fleet = Fleet.of(*["well"] * 3)
    fleet.turn_until("to be staged")
    assert fleet.engine
    fleet.engine.turn()
    progress = {"thor-01": {"phase": "checkpoint", "done_bytes": 2**30, "total_bytes": 2**31}}
    first = shown(RolloutView(fleet.rollout, fleet.state, True, progress)).splitlines()[0]
    assert first.endswith("running  staging everywhere first; 1 device at it: 1.1 of 2.1 GB")


def test_wait_for_a_canary_is_not_told_while_it_is_at_work() -> None:
    fleet = Fleet.of(*["well"] * 3)
    fleet.turn_until("on trial")
    waiting = replace(fleet.state, waiting=("no canary could be reached", 0.0))
    assert summary.reason(waiting) == ""
    away = {name: replace(one, phase=Phase.ABSENT) for name, one in waiting.devices.items()}
    assert summary.reason(replace(waiting, devices=away)) == "no canary could be reached"


def test_why_of_an_earlier_absence_is_not_told_during_a_step() -> None:
    fleet = Fleet.of(*["well"] * 3)
    fleet.turn_until("to be staged")
    assert fleet.engine
    fleet.engine.turn()
    assert "thor-01" in fleet.state.open
    offline = {name: replace(one, why="offline: no route") for name, one in fleet.state.devices.items()}
    state = replace(fleet.state, devices=offline)
    assert "offline" not in shown(RolloutView(fleet.rollout, state, True))
    assert "offline" in shown(RolloutView(fleet.rollout, replace(state, open={}), True))


def test_rollout_that_takes_longer_than_planned_has_no_seconds_left() -> None:
    fleet = Fleet.of(*["well"] * 3)
    fleet.turn_until("on trial")
    brief = replace(fleet.state.brief, plan=replace(fleet.state.brief.plan, seconds=600.0))
    state = replace(fleet.state, brief=brief)
    began = seconds(fleet.rollout.began_at)
    titles = [
        shown(RolloutView(fleet.rollout, state, True, now=began + at)).splitlines()[0] for at in (300, 1200)
    ]
    assert titles[0].endswith("running  about 5 min left, by what was last measured")
    assert titles[1].endswith("running  10 min longer than the 10 min of the plan")


def test_a_long_reason_is_cut_part_by_part_so_that_its_end_is_seen() -> None:
    babble = "smoke_failed: printable for the prompt 'capital'. Text: '" + "spea " * 60
    assert folded("it failed; it serves old") == "it failed; it serves old"
    first, last = folded(f"{babble}; it serves old").split("; ")
    assert (first[:12], first[-1], len(first) <= 101, last) == ("smoke_failed", "…", True, "it serves old")


def test_a_device_sends_nothing_but_text_to_a_terminal() -> None:
    fleet = Fleet.of(*["well"] * 3)
    fleet[2].hold = "on \x1b[2J\x07 patrol\r\nnow"
    fleet.run()
    told = [events.tell(line) or "" for line in fleet.record.lines]
    (problem,) = summary.problems(fleet.state)
    view = shown(RolloutView(fleet.rollout, fleet.state, at_work=False))
    for text in (*told, problem.message, *view.splitlines()):
        assert text.isprintable(), text
    assert "on \ufffd[2J\ufffd patrol now" in problem.message
