"""What earlier agents stored on a device is read by this agent (tests/fixtures/README.md)."""

from __future__ import annotations

import json
import re
import shlex
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

import pytest

from tests.fixtures import earlier
from tests.fixtures.earlier import BEFORE_CONTRACT, LAYOUT_1, RECORDINGS, Recording
from tests.support.trial_steps import commit_one
from thorctl.agent.core.paths import Paths
from thorctl.agent.drift import desired
from thorctl.agent.release import document as release_document
from thorctl.agent.release.document import LAYOUTS, SOCKET_LAYOUT, UNIT_FILE
from thorctl.agent.state.journal import load_journal
from thorctl.protocol.paths import AGENT

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.stateful_device import Device
    from thorctl.agent.release.document import Release

EXEC_START = re.compile(r'^ExecStart=(".*)$', re.MULTILINE)


@pytest.mark.parametrize(("recording", "name"), earlier.JOURNALS, ids=earlier.id_of)
def test_journal_of_earlier_agent_is_read(tmp_path: Path, recording: earlier.Recording, name: str) -> None:
    paths = Paths(tmp_path)
    recorded = recording.text(f"state-{name}.json")
    paths.journal.parent.mkdir(parents=True, exist_ok=True)
    paths.journal.write_text(recorded)
    assert load_journal(paths).document().items() >= json.loads(recorded).items()


def test_release_of_layout_1_is_read() -> None:
    assert 1 in LAYOUTS
    release = release_document.parse(LAYOUT_1.text("release-1.json").encode())
    assert release.id == LAYOUT_1.answer("status-committed")["data"]["release"]
    assert release.files()[UNIT_FILE][1] == LAYOUT_1.text("unit").encode()


def test_release_of_layout_2_is_read() -> None:
    release = release_document.parse(BEFORE_CONTRACT.text("release-2.json").encode())
    assert release.layout == SOCKET_LAYOUT
    assert release.id == BEFORE_CONTRACT.answer("status-committed-first")["data"]["release"]
    assert release.files()[UNIT_FILE][1] == BEFORE_CONTRACT.text("unit").encode()


@dataclass(frozen=True)
class Update:
    """A device on trial whose agent is replaced: journal and timers are the earlier agent's."""

    device: Device
    recording: Recording
    old: Release
    new: Release

    def journal(self, name: str) -> dict[str, Any]:
        """Put the recorded journal in place, with this device's releases, activation and boot."""
        recorded: dict[str, Any] = json.loads(self.recording.text(f"state-{name}.json"))
        (first, second) = (
            json.loads(self.recording.text("state-trial.json"))[key] for key in ("current", "target")
        )
        released = {first: self.old, second: self.new}
        for key in ("current", "previous", "target", "left"):
            release = released.get(recorded[key])
            recorded[key] = release and release.id
            if recorded.get(f"{key}_sha256"):
                recorded[f"{key}_sha256"] = release and release.sha256
        now = self.device.journal()
        recorded |= {"activation": now.activation, "boot": now.boot}
        if recorded.get("deadline_since_boot"):
            recorded |= {"deadline": now.deadline, "deadline_since_boot": now.deadline_since_boot}
        self.device.paths.journal.write_text(json.dumps(recorded))
        return recorded

    def timer(self, state: str) -> None:
        """Replace the device's timers by the one that the earlier agent set for a state."""
        lines = EXEC_START.findall(self.recording.text("timers.txt"))
        (words,) = [
            words for words in map(shlex.split, lines) if any(one.startswith(f"{state}:") for one in words)
        ]
        assert words[0] == AGENT
        activation = self.device.journal().activation
        name = f"thor-{state}-{activation}"
        words = [f"{state}:{activation}" if one.startswith(f"{state}:") else one for one in words[1:]]
        self.device.systemd.timers = {name: words}


@pytest.fixture(params=RECORDINGS, ids=earlier.id_of)
def update(device: Device, request: pytest.FixtureRequest) -> Update:
    """The device serves ``new`` on trial, after ``old``."""
    old, new = commit_one(device, 1), device.release(2)
    device.done("activate", new.id)
    return Update(device, request.param, old, new)


def test_trial_of_earlier_agent_keeps_its_deadline(update: Update) -> None:
    recorded = update.journal("trial")
    status = update.device.done("status")
    assert (status["state"], status["release"], status["previous"]) == ("trial", update.new.id, update.old.id)
    # Of a trial that has a time since boot, status computes the wall clock's.
    ends = datetime.fromisoformat(status["deadline"]) - datetime.fromisoformat(recorded["deadline"])
    assert abs(ends.total_seconds()) <= 1
    assert update.device.done("activate", update.new.id)["deadline"] == recorded["deadline"]


def test_timer_of_earlier_agent_ends_its_trial(update: Update) -> None:
    update.journal("trial")
    update.timer("trial")
    update.device.fire_timers()
    journal = update.device.journal()
    assert (journal.state, journal.current, journal.left) == ("committed", update.old.id, update.new.id)
    assert (journal.reason, update.device.systemd.running_release()) == ("deadline", update.old.id)


def test_trial_of_earlier_agent_is_committed(update: Update) -> None:
    update.journal("trial")
    update.device.smoke_passed(update.new)
    update.device.done("commit", update.new.id)
    journal = update.device.journal()
    assert (journal.state, journal.current, journal.previous) == ("committed", update.new.id, update.old.id)


def test_trial_of_earlier_agent_is_rolled_back(update: Update) -> None:
    update.journal("trial")
    update.device.done("rollback", update.new.id)
    assert (update.device.journal().state, update.device.systemd.running_release()) == (
        "committed",
        update.old.id,
    )


@pytest.mark.parametrize("state", ["activating", "trial", "rolling-back"])
def test_reboot_in_a_state_of_earlier_agent_returns(update: Update, state: str) -> None:
    update.journal(state)
    update.device.systemd.power_cut()
    update.device.done("--holder", "device", "recover")
    update.device.systemd.boot()
    assert (update.device.journal().state, update.device.systemd.running_release()) == (
        "committed",
        update.old.id,
    )


@pytest.mark.parametrize("state", ["activating", "rolling-back"])
def test_dead_verb_of_earlier_agent_is_rolled_back(update: Update, state: str) -> None:
    update.journal(state)
    update.device.done("rollback")
    assert (update.device.journal().state, update.device.systemd.running_release()) == (
        "committed",
        update.old.id,
    )


def test_committed_release_of_earlier_agent_is_left_for_the_one_before(update: Update) -> None:
    update.journal("committed-over-previous")
    update.device.done("rollback", update.new.id)
    assert (update.device.journal().state, update.device.systemd.running_release()) == (
        "committed",
        update.old.id,
    )


def test_device_json_of_earlier_site_yml_is_read() -> None:
    wish = desired.of_host(json.loads(LAYOUT_1.text("device.json")))
    assert wish is not None
    assert wish.power_mode == "120W"
    assert [one.state for one in wish.packages] == ["held"]
