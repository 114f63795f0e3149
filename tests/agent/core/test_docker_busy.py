"""A Docker that restarts, is upgraded or is still removing a container is waited for."""

from __future__ import annotations

import json
import socket
import threading
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler
from socketserver import ThreadingUnixStreamServer
from typing import TYPE_CHECKING, Any

import pytest

from tests.agent.staging.test_image import PULL, Engine
from tests.support.device_double import FastClock, Programs, make_context, make_release
from thorctl.agent.core import docker_wait
from thorctl.agent.core.docker_api import ENDING_SECONDS, WAIT_SECONDS, DockerApi
from thorctl.agent.core.outcome import AgentError
from thorctl.agent.core.runner import Completed
from thorctl.agent.engine import ready
from thorctl.agent.engine import unit as engine_unit
from thorctl.agent.engine.unit import UnitState
from thorctl.agent.staging import image, image_keeper

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

REMOVING = (409, {"message": "removal of container 1f2 is already in progress"})


class Waiting(FastClock):
    """In whose sleep something happens, once."""

    def __init__(self, after: float, happens: Callable[[], object]) -> None:
        super().__init__()
        self.after, self.happens = after, [happens]

    def sleep(self, seconds: float) -> None:
        super().sleep(seconds)
        if self.slept >= self.after and self.happens:
            self.happens.pop()()


@contextmanager
def docker(path: Path, answers: list[tuple[int, Any]]) -> Iterator[list[str]]:
    """An engine that gives these answers one after another, the last for ever; yields what it was asked."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            asked.append(f"{self.command} {self.path} {self.rfile.read(length).decode()}".strip())
            status, body = answers.pop(0) if len(answers) > 1 else answers[0]
            text = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(text) if status != 204 else 0))
            self.end_headers()
            if status != 204:
                self.wfile.write(text)

        do_GET = do_POST = do_DELETE = answer  # noqa: N815 - http.server's names

        def log_message(self, *_: Any) -> None:
            return

        def address_string(self) -> str:
            return "unix"

    server = ThreadingUnixStreamServer(str(path), Handler)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    try:
        yield asked
    finally:
        server.shutdown()
        server.server_close()
        path.unlink()


def quick(path: Path) -> DockerApi:
    """A client whose waiting takes no time."""
    api, clock = DockerApi(str(path)), FastClock()
    api._monotonic, api._sleep = clock.monotonic, clock.sleep
    return api


def test_container_that_is_being_removed_is_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "d.sock"
    with docker(path, [REMOVING, REMOVING, (404, {"message": "No such container"})]) as asked:
        assert quick(path).remove_container("thor-engine") is False
    assert len(asked) == 3


def test_container_that_never_goes_is_busy_not_unavailable(tmp_path: Path) -> None:
    path = tmp_path / "d.sock"
    with docker(path, [REMOVING]) as asked, pytest.raises(AgentError) as caught:
        quick(path).container("thor-engine")
    assert caught.value.code == "docker_busy"
    assert ENDING_SECONDS - 2 < len(asked) < ENDING_SECONDS + 3


def test_other_conflicts_are_answers(tmp_path: Path) -> None:
    path = tmp_path / "d.sock"
    with docker(path, [(409, {"message": "conflict: unable to delete, image is being used"})]) as asked:
        assert quick(path).delete_image("r/e@sha256:1") is False
    assert len(asked) == 1


@pytest.mark.parametrize(
    "broken", [(500, {"message": "containerd is not running"}), (503, {"message": "shutting down"})]
)
def test_restarting_docker_is_waited_for_by_patient_calls_only(
    tmp_path: Path, broken: tuple[int, Any]
) -> None:
    path = tmp_path / "d.sock"
    ctx = replace(make_context(tmp_path), docker=DockerApi(str(path)))
    with docker(path, [broken, broken, (200, {"Id": "x"})]), pytest.raises(AgentError) as caught:
        ctx.docker.image("r/e@sha256:1")
    assert caught.value.code == "docker_unavailable"
    with docker(path, [broken, broken, (200, {"Id": "x"})]):
        assert docker_wait.patient(ctx).docker.image("r/e@sha256:1") == {"Id": "x"}


def test_stopped_docker_is_waited_for_with_progress_and_not_for_ever(tmp_path: Path) -> None:
    path, begun = tmp_path / "d.sock", []

    def start() -> None:
        begun.append(docker(path, [(200, {"Id": "x"})]))
        begun[0].__enter__()

    ctx = replace(make_context(tmp_path), docker=DockerApi(str(path)), clock=Waiting(40, start))
    assert docker_wait.patient(ctx).docker.image("r/e@sha256:1") == {"Id": "x"}
    told = json.loads(ctx.paths.progress_json.read_text())
    assert told["message"].startswith("waiting for Docker, ")
    begun[0].__exit__(None, None, None)

    clock = FastClock()
    ctx = replace(ctx, clock=clock)
    with pytest.raises(AgentError) as caught:
        docker_wait.patient(ctx).docker.image("r/e@sha256:1")
    assert caught.value.code == "docker_unavailable"
    assert WAIT_SECONDS <= clock.slept <= WAIT_SECONDS + 2


def test_pull_goes_on_once_docker_answers_again(tmp_path: Path) -> None:
    class Restarts(Engine):
        def wait(self) -> None:
            super().wait()
            self.messages = PULL

    broken = {"error": "the connection to Docker broke: Connection reset", "broken": True}
    engine = Restarts([*PULL[:3], broken])
    image.ensure(replace(make_context(tmp_path), docker=engine), make_release())
    assert engine.calls[:3] == ["pull", "wait", "pull"]


def test_pull_that_docker_ends_again_and_again_is_given_up(tmp_path: Path) -> None:
    engine = Engine([*PULL[:3], {"error": "the connection to Docker broke", "broken": True}])
    with pytest.raises(AgentError) as caught:
        image.ensure(replace(make_context(tmp_path), docker=engine), make_release())
    assert caught.value.code == "image_pull_failed"
    assert engine.calls.count("pull") == image.PULLS


class Engines(DockerApi):
    """Does not answer until a time."""

    def __init__(self, clock: FastClock, back: float) -> None:
        super().__init__("/nowhere")
        self.clock, self.back = clock, back

    def responds(self) -> bool:
        return self.clock.slept >= self.back


@pytest.mark.parametrize(
    ("away", "state", "outcome"),
    [
        (
            100.0,
            UnitState("inactive", "dead", 0, queued=False),
            "ready",
        ),  # stopped with a Docker that is upgraded
        (100.0, UnitState("activating", "auto-restart", 5, queued=False), "ready"),  # Docker fails under it
        (0.0, UnitState("inactive", "dead", 0, queued=False), "engine_died"),
        (0.0, UnitState("activating", "auto-restart", 5, queued=False), "engine_died"),
        (WAIT_SECONDS + 60, UnitState("inactive", "dead", 0, queued=False), "engine_died"),
    ],
)
def test_engine_that_ends_with_docker_has_not_died(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, away: float, state: UnitState, outcome: str
) -> None:
    clock = FastClock()
    ctx = replace(make_context(tmp_path), docker=Engines(clock, away), clock=clock)
    up = UnitState("active", "running", state.restarts, queued=False)
    monkeypatch.setattr(engine_unit, "state", lambda _: up if 0 < away <= clock.slept - 3 else state)
    monkeypatch.setattr(ready, "serves", lambda *_: 0 < away <= clock.slept - 3)
    try:
        ready.wait(ctx, make_release())
        found = "ready"
    except AgentError as failed:
        found = failed.code
    assert found == outcome


class Systemd(Programs):
    """The engine runs, and stops once its stop was canceled so often."""

    def __init__(self, canceled: int, said: str = "Job for thor-engine.service canceled.") -> None:
        super().__init__()
        self.canceled, self.said = canceled, said

    def run(self, argv: Sequence[str], **_: Any) -> Completed:
        self.calls.append(list(argv))
        if argv[1] == "show":
            return Completed(tuple(argv), 0, "ActiveState=active\nSubState=running\n", "")
        self.canceled -= 1
        return (
            Completed(tuple(argv), 1, "", self.said)
            if self.canceled >= 0
            else Completed(tuple(argv), 0, "", "")
        )

    @property
    def stops(self) -> int:
        return self.calls.count(["systemctl", "stop", "thor-engine.service"])


def test_stop_of_the_engine_that_a_docker_restart_cancels_is_repeated(tmp_path: Path) -> None:
    systemd = Systemd(canceled=2)
    engine_unit.stop(make_context(tmp_path, systemd))
    assert systemd.stops == 3


def test_stop_of_the_engine_that_fails_is_not_repeated_for_ever(tmp_path: Path) -> None:
    for systemd, stops in (
        (Systemd(canceled=99), engine_unit.STOP_TRIES),
        (Systemd(canceled=99, said="Failed to connect to bus: Connection timed out"), 1),
    ):
        with pytest.raises(AgentError, match=r"`systemctl stop thor-engine\.service` failed") as caught:
            engine_unit.stop(make_context(tmp_path, systemd))
        assert (caught.value.code, systemd.stops) == ("internal", stops)


def test_kept_image_has_a_container_that_can_do_nothing(tmp_path: Path) -> None:
    path = tmp_path / "d.sock"
    ctx = replace(make_context(tmp_path), docker=DockerApi(str(path)))
    image: dict[str, object] = {"Config": {"Volumes": {"/data": {}}}}
    with docker(path, [(404, {}), (200, image), (201, {"Id": "x"}), (204, None)]) as asked:
        image_keeper.keep(ctx, make_release())
    assert [one.split(" ")[:2] for one in asked] == [
        ["GET", f"/containers/thor-keep-{'a' * 12}/json"],
        ["GET", f"/images/registry.test/engine:thor-{'a' * 12}/json"],
        ["POST", f"/containers/create?name=thor-keep-{'a' * 12}"],
        ["POST", f"/containers/thor-keep-{'a' * 12}/start"],
    ]
    config = json.loads(asked[2].split(" ", 2)[2])
    host = config["HostConfig"]
    assert config["Image"] == f"registry.test/engine:thor-{'a' * 12}"
    assert (host["NetworkMode"], host["CapDrop"], host["ReadonlyRootfs"]) == ("none", ["ALL"], True)
    assert (host["RestartPolicy"]["Name"], config["User"]) == ("always", "65534:65534")
    (memory,) = host["Mounts"]  # a volume would be disk that an image's shell can fill
    assert (memory["Type"], memory["Target"], memory["TmpfsOptions"]["SizeBytes"]) == ("tmpfs", "/data", 4096)
    with docker(path, [(200, {"State": {"Running": True}})]) as asked:
        image_keeper.keep(ctx, make_release())
    assert len(asked) == 1


def test_image_that_cannot_be_kept_is_told_and_leaves_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "d.sock"
    ctx = replace(make_context(tmp_path), docker=DockerApi(str(path)))
    no_shell = (400, {"message": 'exec: "/bin/sh": no such file'})
    with docker(path, [(404, {}), (200, {}), (201, {"Id": "x"}), no_shell, (204, None)]) as asked:
        image_keeper.keep(ctx, make_release())
    assert asked[-1].startswith("DELETE ")
    assert "docker system prune -a" in caplog.text


@pytest.mark.parametrize("state", ["masked", "not-found"])
def test_docker_that_nobody_will_start_is_not_waited_for(tmp_path: Path, state: str) -> None:
    clock = FastClock()
    ctx = make_context(tmp_path, Programs({"systemctl": f"LoadState={state}\n"}))
    with pytest.raises(AgentError) as caught:
        docker_wait.patient(replace(ctx, clock=clock)).docker.image("r/e@sha256:1")
    assert (caught.value.code, clock.slept) == ("docker_unavailable", 0.0)


def test_docker_that_hangs_is_given_up_after_one_call(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("thorctl.agent.core.docker_api.ANSWER_SECONDS", 0.2)
    path, clock = tmp_path / "d.sock", FastClock()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()  # takes the call
        ctx = replace(make_context(tmp_path), docker=DockerApi(str(path)), clock=clock)
        with pytest.raises(AgentError) as caught:
            docker_wait.patient(ctx).docker.image("r/e@sha256:1")
    assert (caught.value.code, clock.slept) == ("docker_unavailable", 0.0)
