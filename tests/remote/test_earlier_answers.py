"""This thorctl reads what earlier agents answer (tests/fixtures/README.md)."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from tests.fixtures import earlier
from thorctl.ansible_plugins.converged import serves, waits_for_rollout
from thorctl.doctor import devices as doctor_devices
from thorctl.inventory.devices import Device
from thorctl.protocol.status import Status
from thorctl.release.convergence import Desired
from thorctl.remote.answer import Answer, read_answer
from thorctl.remote.earlier import read
from thorctl.rollout.run import preparation
from thorctl.status.drift_view import DriftView
from thorctl.status.model import attention, remarks, row, verdict

DEVICE = Device("thor-01", "192.0.2.1")
PROFILE = "tiny-qwable"
NEXT = f"{PROFILE}-0123456789ab"
DESIRED = Desired(NEXT, None, 2)


def answered(name: str, recording: earlier.Recording = earlier.LAYOUT_1) -> Answer:
    found = recording.answer(name)
    code = 0 if found["ok"] else 1
    return read_answer("thor-01", found["verb"], code, recording.text(f"answer-{name}.json"), "")


@pytest.mark.parametrize(("recording", "name"), earlier.ANSWERS, ids=earlier.id_of)
def test_answer_of_earlier_agent_is_read(recording: earlier.Recording, name: str) -> None:
    answer = answered(name, recording)
    assert answer.ok or (answer.error is not None and answer.error.code != "agent_garbage")


def test_committed_layout_1_is_a_remark_and_no_drift() -> None:
    found = row(DEVICE, answered("status-committed"), DESIRED)
    assert found.convergence.earlier_layout == 1
    assert attention(found) == ()
    assert remarks(found) == (f"layout 1; a rollout installs layout 2: thorctl rollout start {PROFILE}",)
    assert found.drift == []
    assert verdict([found]) == "0 of 1 device serves the desired release, 1 an earlier layout of it."
    out = io.StringIO()
    Console(width=200, file=out).print(DriftView([found]))
    assert "a rollout installs layout 2" in out.getvalue()
    assert "✗" not in out.getvalue()


def test_layout_1_of_another_profile_needs_attention() -> None:
    found = row(DEVICE, answered("status-committed"), Desired("other-0123456789ab", None, 2))
    assert remarks(found) == ()
    assert any("desired is other-0123456789ab" in one for one in attention(found))


def test_layout_1_on_trial_needs_attention() -> None:
    assert attention(row(DEVICE, answered("status-trial"), DESIRED))[0].startswith("on trial")


def test_doctor_says_that_a_rollout_brings_layout_2() -> None:
    check = doctor_devices.check(answered("status-committed"), desired=DESIRED)
    assert check.status == "pass"
    assert "a rollout installs layout 2" in check.found


def test_plan_gives_an_agent_where_theirs_reads_no_layout() -> None:
    data = {"state": "empty", "agent_layouts": [1, 2]}
    assert preparation.layouts(read(Status, answered("status-committed").data)) == ()
    assert preparation.layouts(read(Status, data)) == ()  # it cannot work a soak
    assert preparation.layouts(read(Status, data | {"soak": None})) == (1, 2)


RELEASE = {"schema": 2, "name": PROFILE, "id": NEXT}


def test_agent_without_layouts_reads_layout_1_only() -> None:
    assert preparation.status_of(answered("status-committed")).agent_layouts == (1,)


@pytest.mark.parametrize(
    ("changes", "waits"),
    [
        ({}, True),
        ({"release_layout": 2}, False),
        ({"release_layout": None, "agent_layouts": [1, 2]}, False),
        ({"state": "trial"}, False),
        ({"state": "empty", "release": None}, False),
        ({"release": "other-0123456789ab"}, False),
        ({"engine": {"unit": "failed", "ready": False}}, True),
    ],
)
def test_site_yml_leaves_only_a_committed_layout_1_of_the_profile(
    changes: dict[str, object], waits: bool
) -> None:
    data = answered("status-committed").data | {"release_layout": 1} | changes
    assert not serves(data, RELEASE)
    assert waits_for_rollout(data, RELEASE) is waits
