"""An image that its profile's user cannot run is found while it is staged, with the option that mends it."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import pytest

from tests.agent.verbs.test_engine_prepare import WithProgram, release
from tests.support.device_double import make_context
from thorctl.agent.core.outcome import AgentError
from thorctl.agent.core.runner import RC_TIMED_OUT, Completed, Runner
from thorctl.agent.engine import account, image_user
from thorctl.agent.engine.account import Account

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

DENIED = "exec: /opt/venv/bin/vllm: Permission denied"


class Docker(Runner):
    """The program docker, whose container ends with ``status``."""

    def __init__(self, status: int, said: str = "") -> None:
        self.status, self.said = status, said
        self.calls: list[list[str]] = []

    def run(self, argv: Sequence[str], **_: Any) -> Completed:
        self.calls.append(list(argv))
        return Completed(tuple(argv), self.status, "", self.said)


@pytest.fixture(autouse=True)
def _an_account(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(account, "of_engine", lambda _: Account(990, 991))


def prove(root: Path, docker: Docker) -> None:
    ctx = dataclasses.replace(make_context(root, docker), docker=WithProgram("/nowhere"))
    image_user.verify(ctx, release())


def test_the_program_is_run_as_confined_as_the_engine(tmp_path: Path) -> None:
    docker = Docker(0)
    prove(tmp_path, docker)
    (call,) = docker.calls
    line = " ".join(call)
    for part in ("--network none", "--read-only", "--cap-drop ALL", "no-new-privileges", "--user 990:991"):
        assert part in line
    assert call[-2:] == ['umask 0; exec "$0" --version', "vllm"]


@pytest.mark.parametrize("status", [1, 126, 127])
def test_an_unusable_user_names_the_option(tmp_path: Path, status: int) -> None:
    with pytest.raises(AgentError, match="Permission denied") as refused:
        prove(tmp_path, Docker(status, f"\n{DENIED}\n"))
    assert refused.value.code == "image_user_unusable"
    assert "image.user: root" in refused.value.remedy


def test_the_images_first_program_gets_a_share_of_the_device_only(tmp_path: Path) -> None:
    """It runs on each device that stages it, before any canary and beside the engine that serves."""
    docker = Docker(0)
    prove(tmp_path, docker)
    line = " ".join(docker.calls[0])
    for part in ("--memory 8g", "--pids-limit 4096", "size=1g", "--log-driver none"):
        assert part in line


@pytest.mark.parametrize("status", [RC_TIMED_OUT, 1])
def test_no_container_is_left_where_dockers_client_was_killed(tmp_path: Path, status: int) -> None:
    removed: list[str] = []

    class Engine(WithProgram):
        def remove_container(self, name: str) -> bool:
            removed.append(name)
            return True

    docker = Docker(status)
    ctx = dataclasses.replace(make_context(tmp_path, docker), docker=Engine("/nowhere"))
    with pytest.raises(AgentError):
        image_user.verify(ctx, release())
    name = docker.calls[0][docker.calls[0].index("--name") + 1]
    assert removed == [name, name]  # an earlier agent's that was killed, and this one
