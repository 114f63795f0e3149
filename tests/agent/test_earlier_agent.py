"""What agent 0.1.0 stored on a device is read by this agent (tests/fixtures/README.md)."""

from __future__ import annotations

import json
import re
import shlex
from typing import TYPE_CHECKING

import pytest

from tests.fixtures import earlier
from tests.support.trial_steps import commit_one
from thorctl.agent.core.paths import Paths
from thorctl.agent.drift import desired
from thorctl.agent.release import document as release_document
from thorctl.agent.release.document import LAYOUTS, UNIT_FILE
from thorctl.agent.state import journal_file
from thorctl.protocol.paths import AGENT

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.stateful_device import Device

EXEC_START = re.compile(r'^ExecStart=(".*)$', re.MULTILINE)


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


def test_timer_of_earlier_agent_ends_its_trial(device: Device) -> None:
    """The journal and the timer of a trial were written before the agent's file was replaced."""
    old, new = commit_one(device, 1), device.release(2)
    device.done("activate", new.id)
    recorded = json.loads(earlier.text("state-trial.json"))
    ids = {"current": old.id, "target": new.id, "activation": device.journal().activation}
    device.paths.journal.write_text(json.dumps(recorded | ids))
    timer = f"thor-trial-{device.journal().activation}"
    (line,) = EXEC_START.findall(earlier.text("timers.txt"))
    words = shlex.split(line)
    assert words[0] == AGENT
    device.systemd.timers[timer] = [one.replace("trial:2", f"trial:{ids['activation']}") for one in words[1:]]
    device.fire_timers()
    journal = device.journal()
    assert (journal.state, journal.current, journal.left) == ("committed", old.id, new.id)
    assert (journal.reason, device.systemd.running_release()) == ("deadline", old.id)


def test_reboot_in_trial_of_earlier_agent_returns(device: Device) -> None:
    old, new = commit_one(device, 1), device.release(2)
    device.done("activate", new.id)
    recorded = json.loads(earlier.text("state-trial.json"))
    ids = {"current": old.id, "target": new.id, "activation": device.journal().activation}
    device.paths.journal.write_text(json.dumps(recorded | ids))
    device.systemd.power_cut()
    device.done("--holder", "device", "recover")
    device.systemd.boot()
    assert (device.journal().state, device.systemd.running_release()) == ("committed", old.id)


def test_device_json_of_earlier_site_yml_is_read() -> None:
    wish = desired.of_host(json.loads(earlier.text("device.json")))
    assert wish is not None
    assert wish.power_mode == "120W"
    assert [one.state for one in wish.packages] == ["held"]
