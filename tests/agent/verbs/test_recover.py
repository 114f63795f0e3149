"""A process that died, a step that failed: no device stays without an engine, or on a trial without end."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

from tests.support.stateful_device import Device, Fuse, PowerCut
from tests.support.trial_steps import code, commit_one
from thorctl.protocol.states import COMMITTED, TRIAL

if TYPE_CHECKING:
    from pathlib import Path

    from thorctl.agent.core.files import Files


def test_recover_starts_a_committed_engine_that_nothing_else_starts(device: Device) -> None:
    """Its link was not on the disk when the power failed, say, or recover had failed at first."""
    release = commit_one(device, 1)
    device.systemd.power_cut()
    device.systemd.booting = False
    assert device.done("--holder", "device", "recover")["did"] == "mended_unit"
    assert device.systemd.running_release() == release.id
    assert device.done("recover")["did"] == "nothing"


def test_recover_lets_the_committed_engine_start_though_its_document_is_damaged(device: Device) -> None:
    """The engine does not read it. Where the unit is another's, nothing is started on a guess."""
    release = commit_one(device, 1)
    document = device.paths.release_dir(release.id) / "release.json"
    document.chmod(0o644)
    document.write_text("{}")
    device.systemd.power_cut()
    assert device.done("--holder", "device", "recover")["did"] == "nothing"
    device.systemd.boot()
    assert device.systemd.running_release() == release.id
    device.paths.engine_unit.write_text("# release something else\n")
    assert code(device.say("recover")) == ("release_invalid", 2)


def test_rubbish_that_stays_does_not_fail_recover(device: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    commit_one(device, 1)
    (device.paths.state_dir / ".tmp-state.json").write_text("half")

    def refuse(_: Files, path: Path) -> None:
        raise OSError(30, "Read-only file system", str(path))

    monkeypatch.setattr("tests.support.stateful_device.FusedFiles.remove", refuse)
    assert device.done("--holder", "device", "recover")["did"] == "nothing"


def test_a_trial_that_lost_its_timer_is_over_for_activate(device: Device) -> None:
    """After a reboot whose recover failed, say: the release must not run on, without an end to its trial."""
    commit_one(device, 1)
    new, other = device.release(2), device.release(3)
    device.done("activate", new.id)
    first = device.journal().activation
    device.systemd.timers.clear()
    assert device.done("activate", new.id)["state"] == TRIAL
    assert device.journal().activation > first
    assert set(device.systemd.timers) == {f"thor-trial-{device.journal().activation}"}
    device.systemd.timers.clear()
    assert device.done("activate", other.id)["release"] == other.id


def test_a_committed_engine_that_is_started_anew_is_never_left_down(tmp_path: Path) -> None:
    """Killed at any step: systemd has the stop and the start as one order."""
    for at in range(1, 40):
        device = Device(tmp_path / str(at))
        release = commit_one(device, 1)
        device.unready = {release.id}
        device.clock.at(1.0, device.unready.clear)
        finished = False
        with suppress(PowerCut):
            device.say("activate", release.id, fuse=Fuse(at))
            finished = True
        assert device.systemd.running_release() == release.id
        assert device.journal().state == COMMITTED
        device.close()
        if finished:
            assert at > 3
            return
    pytest.fail("it never came to its end")
