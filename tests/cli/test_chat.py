"""chat, through a real sshd's tunnel, with an engine that misbehaves on demand."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.doubles.answers import STATUS, answers, serves
from tests.support.doubles.engine import Engine
from tests.support.doubles.sshd import Sshd, running_sshd
from thorctl.chat.generation import Conversation, Settings
from thorctl.cli.chat_prompt import obey
from thorctl.cli.main import run
from thorctl.result import Exit, Result
from thorctl.sim.ports import free_port

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

CAPITAL = "What is the capital of France?"


@pytest.fixture(scope="module")
def sshd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    with running_sshd(tmp_path_factory.mktemp("sshd")) as server:
        yield server


@pytest.fixture
def engine(sshd: Sshd) -> Iterator[Engine]:
    with Engine("tiny-qwable", answers={CAPITAL: "The capital of France is Paris."}) as double:
        sshd.behave(serves(double.port))
        yield double


@pytest.fixture
def chat(sshd: Sshd, tmp_path: Path) -> Callable[..., Result]:
    inventory = sshd.inventory(tmp_path / "hosts.yml", "thor-01")

    def call(*words: str) -> Result:
        result = run(["-i", str(inventory), "chat", "thor-01", *words])
        assert result is not None
        return result

    return call


def code_of(result: Result) -> str:
    assert result.exit_code == Exit.ERROR
    (problem,) = result.errors
    assert problem.device == "thor-01"
    assert (
        "thorctl" in problem.remedy or "AllowTcpForwarding" in problem.remedy or "THORCTL" in problem.remedy
    )
    return problem.code


def test_the_answer_is_on_stdout_and_the_thinking_beside_it(
    chat: Callable[..., Result], engine: Engine, capsys: pytest.CaptureFixture[str]
) -> None:
    result = chat(CAPITAL)
    shown = capsys.readouterr()
    assert result.exit_code == Exit.SUCCESS
    assert shown.out == "The capital of France is Paris.\n"
    assert "thinking" in shown.err
    assert "Let me think about it briefly." in shown.err
    assert "tokens in" in shown.err


def test_json_is_one_object_and_nothing_is_shown(
    chat: Callable[..., Result], engine: Engine, capsys: pytest.CaptureFixture[str]
) -> None:
    data = chat(CAPITAL, "--json").data
    assert data["thinking"] == "Let me think about it briefly. "
    assert data["answer"] == "The capital of France is Paris."
    assert data["usage"]["completion_tokens"] > 0
    assert (data["device"], data["model"], data["finish_reason"]) == ("thor-01", "tiny-qwable", "stop")
    assert data["seconds"] >= data["first_seconds"] > 0
    assert capsys.readouterr().out == ""


def test_the_prompt_may_come_from_stdin(
    chat: Callable[..., Result], engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(CAPITAL + "\n"))
    assert chat("--json").data["answer"] == "The capital of France is Paris."


def test_nothing_to_ask(chat: Callable[..., Result], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("  \n"))
    result = chat()
    assert (result.exit_code, result.errors[0].code) == (Exit.USAGE, "prompt_empty")


def test_settings_reach_the_engine(chat: Callable[..., Result], engine: Engine) -> None:
    chat("Hi", "--no-thinking", "--max-tokens", "7", "--temperature", "0", "--json")
    (request,) = engine.requests
    assert request["chat_template_kwargs"] == {"enable_thinking": False}
    assert (request["max_tokens"], request["temperature"], request["model"]) == (7, 0.0, "tiny-qwable")


def test_what_is_not_said_is_left_to_the_engine(chat: Callable[..., Result], engine: Engine) -> None:
    chat("Hi", "--json")
    assert set(engine.requests[0]) == {"model", "messages", "stream", "stream_options"}


def test_the_key_of_the_engine_is_sent(
    chat: Callable[..., Result], engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("THORCTL_API_KEY", "s3cret")
    chat("Hi", "--json")
    assert engine.keys == ["Bearer s3cret"]


def test_a_proxy_of_the_environment_is_not_used(
    chat: Callable[..., Result], engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{free_port()}")
    assert chat("Hi", "--json").exit_code == Exit.SUCCESS


@pytest.mark.parametrize(
    ("mode", "code"),
    [
        ("error_in_stream", "engine_error"),
        ("dies_mid_stream", "stream_cut"),
        ("not_json", "stream_garbage"),
        ("no_done", "stream_cut"),
        ("http_500", "engine_refused"),
    ],
)
def test_an_engine_that_fails_is_an_error(
    chat: Callable[..., Result], engine: Engine, mode: str, code: str
) -> None:
    engine.mode = mode
    assert code_of(chat("Hi", "--json")) == code


def test_an_engine_that_falls_silent_is_given_up(
    chat: Callable[..., Result], engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("thorctl.remote.tunnel.SILENCE_SECONDS", 0.5)
    engine.mode = "silent"
    assert code_of(chat("Hi", "--json")) == "engine_silent"


def test_a_model_cannot_steer_the_terminal(
    chat: Callable[..., Result], engine: Engine, capsys: pytest.CaptureFixture[str]
) -> None:
    engine.mode = "control_characters"
    chat(CAPITAL)
    assert "\x1b" not in capsys.readouterr().out


def test_an_answer_cut_off_says_so(
    chat: Callable[..., Result], engine: Engine, capsys: pytest.CaptureFixture[str]
) -> None:
    engine.mode = "length"
    chat(CAPITAL)
    assert "--max-tokens" in capsys.readouterr().err


def test_a_port_on_which_nobody_listens(chat: Callable[..., Result], sshd: Sshd) -> None:
    sshd.behave(serves(free_port()))
    result = chat("Hi")
    assert code_of(result) == "engine_not_ready"
    assert "nothing listens" in result.errors[0].message


@pytest.mark.parametrize(
    ("engine_says", "why"),
    [
        ({"unit": "failed", "ready": False}, "its unit is failed"),
        ({"unit": "active", "ready": None}, "it is not ready yet"),
    ],
)
def test_an_engine_that_is_not_ready(
    chat: Callable[..., Result], sshd: Sshd, engine_says: dict[str, Any], why: str
) -> None:
    sshd.behave(serves(free_port(), STATUS | {"engine": engine_says}))
    (error,) = chat("Hi").errors
    # The device stands before the message already.
    assert (error.code, error.message) == ("engine_not_ready", f"The engine cannot answer: {why}.")


def test_an_engine_that_was_stopped_names_its_cure(chat: Callable[..., Result], sshd: Sshd) -> None:
    sshd.behave(serves(free_port(), STATUS | {"engine": {"unit": "inactive", "ready": False}}))
    assert "systemctl start thor-engine" in chat("Hi").errors[0].remedy


def test_a_release_that_cannot_be_read(chat: Callable[..., Result], sshd: Sshd) -> None:
    sshd.behave(answers("status", STATUS))  # and for `cat` the same, which is no release
    result = chat("Hi")
    assert result.errors[0].code == "release_unreadable"


def test_an_sshd_that_forbids_the_tunnel(tmp_path: Path, engine: Engine) -> None:
    """And one that allows it as the remedy says."""
    results = []
    for name, allowed in (("no", "no"), ("local", "local\nPermitOpen 127.0.0.1:*")):
        (tmp_path / name).mkdir()
        with running_sshd(tmp_path / name, extra=f"AllowTcpForwarding {allowed}") as server:
            server.behave(serves(engine.port))
            inventory = server.inventory(tmp_path / name / "hosts.yml", "thor-01")
            results.append(run(["-i", str(inventory), "chat", "thor-01", "Hi"]))
    refused, answered = results
    assert refused is not None
    assert code_of(refused) == "tunnel_refused"
    assert "AllowTcpForwarding local" in refused.errors[0].remedy
    assert "PermitOpen 127.0.0.1:*" in refused.errors[0].remedy
    assert answered is not None
    assert answered.exit_code == Exit.SUCCESS


def test_two_devices_are_one_too_many(sshd: Sshd, tmp_path: Path) -> None:
    inventory = sshd.inventory(tmp_path / "hosts.yml", "thor-01", "thor-02")
    result = run(["-i", str(inventory), "chat", "all", "Hi"])
    assert result is not None
    assert (result.exit_code, result.errors[0].code) == (Exit.USAGE, "one_device_wanted")


def test_a_conversation_sends_back_answers_but_no_thinking() -> None:
    conversation = Conversation(Settings())
    conversation.remember("Hi", "Hello.")
    assert conversation.request("m", "And?")["messages"] == [
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "Hello."},
        {"role": "user", "content": "And?"},
    ]


def test_slash_commands() -> None:
    conversation = Conversation(Settings(max_tokens=5))
    conversation.remember("Hi", "Hello.")
    obey("/think off", conversation)
    assert conversation.settings == Settings(thinking=False, max_tokens=5)
    obey("/think on", conversation)
    assert conversation.settings.thinking is True
    obey("/reset", conversation)
    assert conversation.messages == []
    assert "/quit" in obey("/help", conversation)
    assert "No such command" in obey("/think maybe", conversation)
