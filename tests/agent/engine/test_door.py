"""Door and bridge follow the release that runs; a layout 1 engine finds its port free."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import pytest

from tests.support.stateful_device import Device, Fuse, PowerCut
from tests.support.trial_steps import commit_one
from thorctl.agent.core.paths import ENGINE_UNIT
from thorctl.agent.engine import door, endpoint
from thorctl.agent.engine.door import BRIDGE_SOCKET, BRIDGE_UNIT, DOOR_UNIT
from thorctl.agent.facts import ports
from thorctl.agent.release.document import SOCKET_LAYOUT, Release
from thorctl.protocol.paths import ENGINE_SOCKET

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from thorctl.agent.engine.endpoint import Dial

START = f"start {ENGINE_UNIT}"
FREE = f"stop {DOOR_UNIT}"
BRIDGE = f"start {BRIDGE_SOCKET}"


@pytest.fixture
def device(tmp_path: Path) -> Iterator[Device]:
    one = Device(tmp_path)
    one.paths.engine_unit.parent.mkdir(parents=True)
    one.install_door()
    yield one
    one.close()


@pytest.fixture
def _engine_of_either_layout_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Both listen on the port of the double; test_endpoint.py has the real sockets."""

    def dial(_: object, release: Release) -> Dial:
        return lambda timeout: socket.create_connection((endpoint.HOST, release.port), timeout)

    monkeypatch.setattr(endpoint, "dial", dial)


def layout(number: int, port: int = 8000) -> Release:
    """As much of a release as ``follow`` reads."""
    return Release({"schema": number, "id": "x", "profile": {"serve": {"port": port}}})


def follow(device: Device, release: Release | None) -> None:
    door.follow(device.context("rollback"), release)


@pytest.mark.parametrize("release", [None, layout(2)], ids=["no engine", "layout 2"])
def test_without_a_tcp_engine_the_door_runs(device: Device, release: Release | None) -> None:
    follow(device, layout(1))
    follow(device, release)
    assert device.systemd.beside == {DOOR_UNIT}


def test_with_a_layout_1_engine_the_bridge_runs(device: Device) -> None:
    follow(device, layout(2))
    follow(device, layout(1, 8123))
    assert device.systemd.beside == {BRIDGE_SOCKET}
    assert (device.paths.run_dir / "bridge.env").read_text() == "PORT=8123\n"


def test_followed_again_the_bridge_is_not_interrupted(device: Device) -> None:
    follow(device, layout(1))
    device.systemd.history.clear()
    follow(device, layout(1))
    assert device.systemd.history == [FREE]
    follow(device, layout(1, 8001))
    assert device.systemd.history[-1] == BRIDGE


def test_what_a_layout_2_engine_left_at_its_socket_goes(device: Device) -> None:
    elsewhere = device.paths.at("/elsewhere")
    elsewhere.mkdir()
    (elsewhere / "kept").touch()
    directory = device.paths.at(ENGINE_SOCKET).parent
    directory.mkdir(parents=True)
    (directory / "engine.sock").mkdir()
    (directory / "link").symlink_to(elsewhere)
    follow(device, layout(1))
    assert not directory.exists()
    assert (elsewhere / "kept").exists()


def test_a_device_without_these_units_is_left_alone(device: Device) -> None:
    for unit in (DOOR_UNIT, BRIDGE_SOCKET, BRIDGE_UNIT):
        device.paths.at(f"/etc/systemd/system/{unit}").unlink()
    follow(device, layout(1))
    follow(device, layout(2))
    assert device.systemd.history == []


def test_each_failure_is_logged_and_not_raised(device: Device, caplog: pytest.LogCaptureFixture) -> None:
    device.systemd.fails = {"stop", "start"}
    follow(device, layout(2))
    follow(device, layout(1))
    assert f"`systemctl start --no-block {DOOR_UNIT}` failed (exit 1)" in caplog.text
    assert f"`systemctl stop {DOOR_UNIT}` failed (exit 1)" in caplog.text


def test_the_port_is_free_before_a_layout_1_engine_starts(device: Device) -> None:
    device.systemd.beside = {DOOR_UNIT}
    commit_one(device, 1)
    history = device.systemd.history
    assert history.index(FREE) < history.index(BRIDGE) < history.index(START)
    assert device.systemd.beside == {BRIDGE_SOCKET}


def test_a_deadline_rollback_to_layout_1_frees_the_port(device: Device) -> None:
    old, new = commit_one(device, 1), device.release(2)
    device.done("activate", new.id)
    device.systemd.beside = {DOOR_UNIT}  # as if `new` were of layout 2
    device.systemd.history.clear()
    device.fire_timers()
    history = device.systemd.history
    assert device.systemd.running_release() == old.id
    assert history.index(FREE) < history.index(START)
    assert device.systemd.beside == {BRIDGE_SOCKET}


def test_a_rollback_to_nothing_leaves_the_door(device: Device) -> None:
    device.done("activate", device.release(1).id)
    device.done("rollback")
    assert device.systemd.beside == {DOOR_UNIT}


def test_a_failing_door_does_not_keep_a_rollback(device: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    old, new = commit_one(device, 1), device.release(2)
    device.done("activate", new.id)

    def refuse(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(door, "_bridge", refuse)
    assert device.done("rollback")["release"] == old.id


def test_at_boot_recover_arranges_a_committed_release(device: Device) -> None:
    commit_one(device, 1)
    device.systemd.power_cut()
    device.systemd.beside = {DOOR_UNIT}
    device.done("recover")
    assert device.systemd.beside == {BRIDGE_SOCKET}


def test_recover_during_a_trial_arranges_its_release(device: Device) -> None:
    device.done("activate", device.release(1).id)
    device.systemd.beside = {DOOR_UNIT}
    assert device.done("recover")["did"] == "nothing"
    assert device.systemd.beside == {BRIDGE_SOCKET}


@pytest.mark.usefixtures("_engine_of_either_layout_answers")
@pytest.mark.parametrize(("has_door", "error"), [(True, "port_in_use"), (False, None)])
def test_a_foreign_port_matters_where_a_door_is_to_have_it(
    device: Device, monkeypatch: pytest.MonkeyPatch, has_door: bool, error: str | None
) -> None:
    if not has_door:
        device.paths.at(f"/etc/systemd/system/{DOOR_UNIT}").unlink()
    monkeypatch.setattr(ports, "listener", lambda *_: ports.Listener(4711, "python3", is_engine=False))
    outcome = device.say("activate", device.release(1, SOCKET_LAYOUT).id)
    assert (outcome.error.code if outcome.error else None) == error


@pytest.mark.usefixtures("_engine_of_either_layout_answers")
def test_layouts_back_and_forth_have_door_or_bridge(device: Device) -> None:
    old = commit_one(device, 1)
    assert device.systemd.beside == {BRIDGE_SOCKET}
    new = device.release(2, SOCKET_LAYOUT)
    device.done("activate", new.id)
    history = device.systemd.history
    assert device.systemd.beside == {DOOR_UNIT}
    history.clear()
    device.fire_timers()
    assert device.systemd.running_release() == old.id
    assert history.index(FREE) < history.index(START)
    assert device.systemd.beside == {BRIDGE_SOCKET}
    device.done("activate", new.id)
    assert device.systemd.beside == {DOOR_UNIT}


def test_a_power_cut_at_any_step_ends_with_the_port_free(tmp_path: Path) -> None:
    """Power is cut at each step of a rollback to layout 1; boot and recover follow."""
    for at in range(1, 200):
        one = Device(tmp_path / str(at))
        one.paths.engine_unit.parent.mkdir(parents=True)
        one.install_door()
        old, new = commit_one(one, 1), one.release(2)
        one.done("activate", new.id)
        one.systemd.beside = {DOOR_UNIT}
        try:
            one.say("rollback", fuse=Fuse(at))
        except PowerCut:
            one.systemd.power_cut()
            one.systemd.beside = {DOOR_UNIT}  # enabled
            one.done("recover")
            one.systemd.boot()
            assert one.systemd.running_release() == old.id
            assert one.systemd.beside == {BRIDGE_SOCKET}
            one.close()
        else:
            one.close()
            break
    assert 5 < at < 199
