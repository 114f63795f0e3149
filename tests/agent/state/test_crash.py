"""Power cut or killed at every single step of activate, commit and rollback: one whole release comes back."""

from __future__ import annotations

import socket
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

from tests.support.stateful_device import Device, Fuse, PowerCut
from thorctl.agent.engine import endpoint
from thorctl.agent.engine.door import BRIDGE_SOCKET, DOOR_UNIT
from thorctl.agent.release import store as release_store
from thorctl.agent.release.document import SOCKET_LAYOUT, TCP_LAYOUT
from thorctl.protocol.states import COMMITTED, EMPTY, TRIAL

if TYPE_CHECKING:
    from pathlib import Path

    from thorctl.agent.core.context import Context
    from thorctl.agent.engine.endpoint import Dial
    from thorctl.agent.release.document import Release


ONE_LAYOUT = (TCP_LAYOUT, TCP_LAYOUT)
# Of the committed release and the new one: forth and back.
CHANGES = [(TCP_LAYOUT, SOCKET_LAYOUT), (SOCKET_LAYOUT, TCP_LAYOUT)]


@pytest.fixture(autouse=True)
def _engine_of_either_layout_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Both listen on the port of the double; tests/agent/engine has the real sockets."""

    def dial(_: Context, release: Release) -> Dial:
        return lambda timeout: socket.create_connection((endpoint.HOST, release.port), timeout)

    monkeypatch.setattr(endpoint, "dial", dial)


class Scene:
    """A device with ``old`` committed (or nothing), ``new`` staged, and the verb that is to be cut.

    ``layouts``: of ``old`` and ``new``.
    """

    def __init__(self, root: Path, verb: str, *, first: bool, layouts: tuple[int, int] = ONE_LAYOUT) -> None:
        self.device = Device(root)
        self.beside = layouts != ONE_LAYOUT
        if self.beside:
            self.device.install_door()
        self.old: Release | None = None
        if not first:
            self.old = self.device.release(1, layouts[0])
            self._commit(self.old)
        self.new = self.device.release(2, layouts[1])
        self.words = [verb, self.new.id] if verb != "rollback committed" else ["rollback"]
        if verb in ("commit", "rollback", "rollback committed"):
            self.device.done("activate", self.new.id)
            self.device.smoke_passed(self.new)
        if verb == "rollback committed":
            self.device.done("commit")

    def _commit(self, release: Release) -> None:
        self.device.done("activate", release.id)
        self.device.smoke_passed(release)
        self.device.done("commit")

    def assert_whole(self, *, may_be_new: bool) -> None:
        """Exactly one whole release runs, and it is the one the journal calls committed."""
        journal = self.device.journal()
        assert journal.state in (COMMITTED, EMPTY)
        assert self.device.systemd.running_release() == journal.current
        allowed = {self.old.id if self.old else None} | ({self.new.id} if may_be_new else set())
        assert journal.current in allowed
        if journal.current:
            release = release_store.load(self.device.paths, journal.current)
            assert self.device.paths.engine_unit.read_bytes() == release.files()["thor-engine.service"][1]
            if self.beside:
                self.assert_beside(release)
        else:
            assert not self.device.paths.engine_unit.exists()

    def assert_beside(self, release: Release) -> None:
        """The door listens unless the release's engine does; then the bridge is there."""
        door, bridge = (one in self.device.systemd.beside for one in (DOOR_UNIT, BRIDGE_SOCKET))
        assert (door, bridge) == ((False, True) if release.layout == TCP_LAYOUT else (True, False))


VERBS = ["activate", "commit", "rollback", "rollback committed"]
SCENES = [(verb, first) for verb in VERBS for first in (False, True) if (verb, first) != (VERBS[3], True)]

LAYOUT_SCENES = [(verb, first, ONE_LAYOUT) for verb, first in SCENES] + [
    (verb, False, layouts) for verb in VERBS for layouts in CHANGES
]


def _steps(root: Path, verb: str, *, first: bool, layouts: tuple[int, int] = ONE_LAYOUT) -> int:
    scene = Scene(root, verb, first=first, layouts=layouts)
    fuse = Fuse()
    outcome = scene.device.say(*scene.words, fuse=fuse)
    scene.device.close()
    assert outcome.error is None
    return fuse.steps


def _cut(scene: Scene, at: int) -> None:
    with suppress(PowerCut):
        scene.device.say(*scene.words, fuse=Fuse(at))


@pytest.mark.slow
@pytest.mark.parametrize(("verb", "first", "layouts"), LAYOUT_SCENES)
def test_power_cut_at_every_step(tmp_path: Path, verb: str, *, first: bool, layouts: tuple[int, int]) -> None:
    steps = _steps(tmp_path / "whole", verb, first=first, layouts=layouts)
    assert steps > 5
    for at in range(1, steps + 2):
        scene = Scene(tmp_path / str(at), verb, first=first, layouts=layouts)
        _cut(scene, at)
        decided = scene.device.journal()
        scene.device.systemd.power_cut()
        scene.device.done("--holder", "device", "recover")
        scene.device.systemd.boot()
        scene.assert_whole(may_be_new=verb in ("commit", "rollback committed"))
        if decided.state == COMMITTED:
            assert scene.device.journal().current == decided.current
        again = scene.device.say("recover")
        assert (again.json["did"], again.changed) == ("nothing", False)
        scene.device.close()


@pytest.mark.slow
@pytest.mark.parametrize(("verb", "first"), SCENES)
def test_power_cut_at_every_step_and_again_at_every_step_of_recover(
    tmp_path: Path, verb: str, *, first: bool
) -> None:
    steps = _steps(tmp_path / "whole", verb, first=first)
    for at in range(2, steps + 2, 3):
        for at_recover in range(1, 40, 2):
            scene = Scene(tmp_path / f"{at}-{at_recover}", verb, first=first)
            _cut(scene, at)
            scene.device.systemd.power_cut()
            finished = False
            with suppress(PowerCut):
                scene.device.say("--holder", "device", "recover", fuse=Fuse(at_recover))
                finished = True
            scene.device.systemd.power_cut()
            scene.device.done("--holder", "device", "recover")
            scene.device.systemd.boot()
            scene.assert_whole(may_be_new=verb in ("commit", "rollback committed"))
            scene.device.close()
            if finished:
                break


@pytest.mark.slow
@pytest.mark.parametrize(("verb", "first", "layouts"), LAYOUT_SCENES)
def test_killed_at_every_step_timers_alone_settle_it(
    tmp_path: Path, verb: str, *, first: bool, layouts: tuple[int, int]
) -> None:
    """The machine stays up and nobody comes back: what the agent armed before it died must suffice."""
    steps = _steps(tmp_path / "whole", verb, first=first, layouts=layouts)
    for at in range(1, steps + 2):
        scene = Scene(tmp_path / str(at), verb, first=first, layouts=layouts)
        _cut(scene, at)
        scene.device.fire_timers()
        scene.assert_whole(may_be_new=verb in ("commit", "rollback committed"))
        scene.device.close()


@pytest.mark.slow
@pytest.mark.parametrize(("verb", "first"), SCENES)
def test_killed_at_every_step_saying_it_again_completes_it(tmp_path: Path, verb: str, *, first: bool) -> None:
    steps = _steps(tmp_path / "count", verb, first=first)
    for at in range(1, steps + 2):
        scene = Scene(tmp_path / str(at), verb, first=first)
        _cut(scene, at)
        scene.device.done(*scene.words)
        old, new = scene.old and scene.old.id, scene.new.id
        wanted = {
            "activate": (TRIAL, old, None, new),
            "commit": (COMMITTED, new, old, None),
            "rollback": (COMMITTED if old else EMPTY, old, None, None),
            "rollback committed": (COMMITTED, old, None, None),
        }
        journal = scene.device.journal()
        assert (journal.state, journal.current, journal.previous, journal.target) == wanted[verb]
        assert scene.device.systemd.running_release() == journal.running
        scene.device.close()
