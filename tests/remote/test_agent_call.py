"""One agent verb over a real sshd: what goes well, and a typed Answer for every way it can fail."""

from __future__ import annotations

import asyncio
import configparser
import dataclasses
import json
import shlex
import socket
import subprocess
import time
import tracemalloc
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.doubles.sshd import Sshd, make_key, running_sshd
from thorctl.errors import ThorError
from thorctl.remote.agent_call import STDOUT_LIMIT, agent_command, run_bounded, run_verb
from thorctl.remote.answer import Answer, exit_code_for_answers
from thorctl.remote.ssh import connect
from thorctl.result import Exit, Problem
from thorctl.sim.ports import free_port

if TYPE_CHECKING:
    from thorctl.inventory.devices import Device

STATUS = {
    "schema": 1,
    "verb": "status",
    "ok": True,
    "changed": False,
    "data": {"state": "empty"},
    "error": None,
}


def says(text: str, code: int = 0, stderr: str = "") -> str:
    """A program that prints ``text``."""
    return f"import sys; sys.stdout.write({text!r}); sys.stderr.write({stderr!r}); sys.exit({code})"


def fails(code: str, exit_code: int) -> str:
    """A program that answers as the agent does when a verb fails."""
    error = {"code": code, "message": "m", "remedy": "r", "details": {}}
    return says(json.dumps(STATUS | {"ok": False, "data": {}, "error": error}), exit_code)


def error_of(answer: Answer) -> Problem:
    assert not answer.ok
    assert answer.error is not None
    assert answer.error.device == "thor-01"
    return answer.error


def test_the_agents_object_comes_back(sshd: Sshd, device: Device) -> None:
    sshd.behave(says(json.dumps(STATUS)))
    (answer,) = run_verb([device], "status")
    assert answer.ok
    assert answer.data == {"state": "empty"}
    assert answer.seconds > 0


def test_stdin_reaches_the_verb_whole(sshd: Sshd, device: Device) -> None:
    sshd.behave(
        "import sys, json; text = sys.stdin.read();"
        f"print(json.dumps({STATUS!r} | {{'verb': 'stage', 'data': {{'release': 'r', 'got': len(text)}}}}))"
    )
    (answer,) = run_verb([device], "stage", ["--release", "-"], stdin="ä" * 300_000)
    assert answer.data["got"] == 300_000


def test_arguments_and_holder_are_quoted_for_the_shell(sshd: Sshd, device: Device) -> None:
    sshd.behave(says(json.dumps(STATUS | {"verb": "hold"})))
    assert run_verb([device], "hold", ["set", "it's $HOME; rm"], holder="a b")[0].ok
    assert sshd.asked.read_text() == agent_command(sshd.user, "hold", ["set", "it's $HOME; rm"], "a b")
    assert "'it'\"'\"'s $HOME; rm'" in sshd.asked.read_text()


@pytest.mark.parametrize(
    ("user", "command"),
    [
        ("root", "env LC_ALL=C /usr/local/bin/thor-agent status"),
        ("nvidia", "env LC_ALL=C sudo -n -- /usr/local/bin/thor-agent status"),
    ],
)
def test_only_others_than_root_need_sudo(user: str, command: str) -> None:
    assert agent_command(user, "status", ()) == command


@pytest.mark.parametrize(
    ("program", "code", "words"),
    [
        (says("Welcome to Ubuntu!\n" + json.dumps(STATUS)), "agent_garbage", "Welcome to Ubuntu!"),
        (says(""), "agent_garbage", "printed nothing"),
        (says("[]"), "agent_garbage", "not an object"),
        (says(json.dumps(STATUS | {"data": {"state": []}})), "agent_garbage", "state: is a list, not text"),
        (says(json.dumps(STATUS | {"data": {"x": float("nan")}})), "agent_garbage", "cannot be read"),
        (says(json.dumps(STATUS | {"data": {"x": "\ud800"}})), "agent_garbage", "cannot be read"),
        (says("[" * 100_000), "agent_garbage", "cannot be read"),  # Python's reader recurses
        (says('{"data": ' + "[" * 400 + "]" * 400 + "}"), "agent_garbage", "cannot be read"),  # others do
        (says(json.dumps(STATUS)[:-20]), "agent_garbage", "cannot be read"),
        (says(json.dumps(STATUS) + json.dumps(STATUS)), "agent_garbage", "cannot be read"),
        (says(json.dumps(STATUS | {"schema": 2})), "agent_garbage", "schema 2"),
        (says(json.dumps(STATUS | {"verb": "facts"})), "agent_garbage", "'facts'"),
        (says(json.dumps(STATUS), 1), "agent_garbage", "exited with 1"),
        (says(json.dumps(STATUS | {"ok": False, "error": {"code": "x"}})), "agent_garbage", "exited with 0"),
        (says(json.dumps(STATUS | {"ok": False}), 1), "agent_garbage", "not how"),
        (says(json.dumps(STATUS | {"data": None})), "agent_garbage", "no data"),
        (says(json.dumps(STATUS | {"ok": "yes"})), "agent_garbage", "`ok`"),
        (says("", 127, "sh: 1: /usr/local/bin/thor-agent: not found"), "agent_missing", "no working"),
        (says("", 1, "sudo: /usr/local/bin/thor-agent: command not found"), "agent_missing", "no working"),
        (says("", 2, "python3: can't open file '/opt/thor/agent.pyz'"), "agent_missing", "no working"),
        (says("", 1, "sudo: a password is required"), "sudo_password", "asks for a password"),
        (says("", 1, "sudo: a terminal is required to read the password"), "sudo_password", "asks for"),
        (says("", 1, "eve is not in the sudoers file."), "sudo_refused", "sudoers"),
        ("import sys\nwhile True: sys.stdout.write('x' * 65536)", "agent_garbage", "more than 4194304"),
        ("import os; os.kill(os.getpid(), 9)", "agent_garbage", "nothing"),
        (fails("disk_too_small", 1), "disk_too_small", "m"),
        (fails("leased", 3), "leased", "m"),
    ],
)
def test_an_answer_that_cannot_be_used_is_a_failure(
    sshd: Sshd, device: Device, program: str, code: str, words: str
) -> None:
    sshd.behave(program)
    problem = error_of(run_verb([device], "status")[0])
    assert problem.code == code
    assert words in problem.message
    assert problem.remedy


def test_a_hanging_agent_is_given_up(sshd: Sshd, device: Device) -> None:
    sshd.behave("import time; time.sleep(600)")
    assert error_of(run_verb([device], "status", timeout=1)[0]).code == "agent_timeout"


def test_a_connection_that_breaks_is_said_to(sshd: Sshd, device: Device) -> None:
    sshd.behave("import os, signal; os.kill(os.getppid(), signal.SIGKILL)")
    problem = error_of(run_verb([device], "status")[0])
    assert problem.code in {"device_unreachable", "agent_garbage"}


def test_a_refused_connection(device: Device) -> None:
    device = dataclasses.replace(device, port=free_port())
    problem = error_of(run_verb([device], "status")[0])
    assert (problem.code, "refused" in problem.message.lower()) == ("device_unreachable", True)


def test_a_name_that_does_not_resolve(device: Device) -> None:
    device = dataclasses.replace(device, host="no-such-device.invalid")
    assert error_of(run_verb([device], "status")[0]).code == "device_unreachable"


def test_a_host_that_accepts_and_says_nothing(device: Device) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        device = dataclasses.replace(device, port=silent.getsockname()[1])
        problem = error_of(run_verb([device], "status", connect_timeout=0.5)[0])
    assert problem.code == "device_unreachable"
    assert "0.5 s" in problem.message


def test_a_key_that_is_not_let_in(device: Device, tmp_path: Path) -> None:
    make_key(tmp_path / "stranger")
    problem = error_of(run_verb([dataclasses.replace(device, key=tmp_path / "stranger")], "status")[0])
    assert problem.code == "auth_failed"
    assert "stranger" in problem.message


@pytest.mark.parametrize("content", [None, "not a key"])
def test_a_key_that_cannot_be_used(device: Device, tmp_path: Path, content: str | None) -> None:
    key = tmp_path / "key"
    if content:
        key.write_text(content)
    assert error_of(run_verb([dataclasses.replace(device, key=key)], "status")[0]).code == "key_unreadable"


def test_ssh_arguments_that_make_no_sense(device: Device) -> None:
    device = dataclasses.replace(device, ssh_args="-o 'unclosed")
    assert error_of(run_verb([device], "status")[0]).code == "ssh_options_invalid"


def test_a_device_behind_a_jump_host(sshd: Sshd, device: Device, tmp_path: Path) -> None:
    sshd.behave(says(json.dumps(STATUS)))
    with running_sshd(tmp_path) as jump:
        known = tmp_path / "both"
        known.write_text(sshd.known_hosts.read_text() + jump.known_hosts.read_text())
        with (tmp_path / "authorized_keys").open("a") as keys:
            keys.write(sshd.key.with_name("id.pub").read_text())
        config = tmp_path / "config"
        args = f"-F {config} -o ProxyJump={jump.user}@127.0.0.1:{jump.port}"
        behind = dataclasses.replace(device, known_hosts=known, ssh_args=args)
        config.write_text("")  # the jump host's host key is recorded nowhere where ssh would look
        assert error_of(run_verb([behind], "status")[0]).code == "host_key_unknown"
        config.write_text(f"UserKnownHostsFile {known}\n")  # the device's key is not the jump host's
        problem = error_of(run_verb([behind], "status")[0])
        assert problem.code in {"auth_failed", "key_unreadable"}
        assert "the jump host" in problem.message
        config.write_text(f"UserKnownHostsFile {known}\nIdentityFile {sshd.key}\n")
        assert run_verb([behind], "status")[0].ok
        assert "Accepted publickey" in jump.log.read_text()


def test_one_bad_device_does_not_hide_the_others(sshd: Sshd, device: Device) -> None:
    sshd.behave(says(json.dumps(STATUS)))
    fleet = [dataclasses.replace(device, name=f"thor-{n:02}") for n in range(20)]
    fleet[7] = dataclasses.replace(fleet[7], port=free_port())
    seen: list[str] = []
    answers = run_verb(fleet, "status", limit=5, on_answer=lambda answer: seen.append(answer.device))
    assert [answer.device for answer in answers] == [device.name for device in fleet]
    assert [answer.device for answer in answers if not answer.ok] == ["thor-07"]
    assert sorted(seen) == sorted(device.name for device in fleet)


def bad(code: str) -> Answer:
    return Answer("d", error=Problem(code, "m", "r", "d"))


@pytest.mark.parametrize(
    ("answers", "code"),
    [
        ([Answer("d")], Exit.SUCCESS),
        ([Answer("d"), bad("leased")], Exit.PARTIAL),
        ([bad("leased"), bad("busy")], Exit.LEASED),
        ([bad("leased"), bad("device_unreachable")], Exit.ERROR),
        ([bad("held")], Exit.ERROR),
    ],
)
def test_exit_codes(answers: list[Answer], code: int) -> None:
    assert exit_code_for_answers(answers) == code


def test_the_devices_log_is_heard_line_by_line_as_it_comes(device: Device, sshd: Sshd) -> None:
    heard: list[tuple[str, str]] = []
    sshd.behave(
        "import sys, time\n"
        "for piece in ('on', 'e\\ntwo\\nthr', 'ee'):\n"
        "    print(piece, end='', file=sys.stderr, flush=True)\n"
        "    time.sleep(0.05)\n"
        f"print({json.dumps(STATUS)!r})\n"
    )
    (answer,) = run_verb([device], "status", on_line=lambda name, line: heard.append((name, line)))
    assert answer.ok
    assert heard == [("thor-01", "one"), ("thor-01", "two")]


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_an_agent_that_prints_a_gigabyte_costs_some_megabytes(
    sshd: Sshd, device: Device, stream: str
) -> None:
    flood = f"import sys\nfor _ in range(16384): sys.{stream}.write('x' * 65536)\n"
    sshd.behave(flood + f"print({json.dumps(STATUS)!r})")
    tracemalloc.start()
    try:
        (answer,) = run_verb([device], "status", timeout=120)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 40 << 20
    if stream == "stdout":
        assert error_of(answer).code == "agent_garbage"
        assert f"more than {STDOUT_LIMIT} characters" in error_of(answer).message
    else:
        assert answer.ok


def test_a_command_that_prints_without_end_is_given_up(sshd: Sshd, device: Device) -> None:
    async def flooded() -> None:
        async with connect(device) as connection:
            await run_bounded(connection, "sha256sum /opt/thor/agent.pyz", 4096)

    sshd.behave("import sys\nwhile True: sys.stdout.write('x' * 65536)")
    with pytest.raises(ThorError) as caught:
        asyncio.run(flooded())
    assert caught.value.code == "answer_too_large"
    assert "sha256sum" in caught.value.message
    assert "4096" in caught.value.message


def test_no_device_gets_at_the_operators_agent_or_screen(
    sshd: Sshd, device: Device, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".ssh").mkdir()
    (tmp_path / ".ssh" / "config").write_text("Host *\n  ForwardAgent yes\n  ForwardX11 yes\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("DISPLAY", ":0")
    monkeypatch.setenv("SSH_AUTH_SOCK", str(tmp_path / "agent"))
    sshd.behave(
        "import json, os\nfound = {k: os.environ.get(k) for k in ('SSH_AUTH_SOCK', 'DISPLAY')}\n"
        f"print(json.dumps({STATUS!r} | {{'data': {{'state': None}} | found}}))"
    )
    with subprocess.Popen(
        ["ssh-agent", "-D", "-a", str(tmp_path / "agent")], stdout=subprocess.DEVNULL
    ) as agent:
        try:
            while not (tmp_path / "agent").exists():
                time.sleep(0.05)
            (answer,) = run_verb([device], "status")
        finally:
            agent.terminate()
    assert answer.data == {"state": None, "SSH_AUTH_SOCK": None, "DISPLAY": None}


@pytest.mark.parametrize("inventory", ["", "-o ForwardAgent=yes -o ForwardX11=yes -o PermitLocalCommand=yes"])
def test_ansibles_ssh_forwards_nothing(tmp_path: Path, inventory: str) -> None:
    """As Ansible puts the words in order: ssh_args of ansible.cfg, then the inventory's."""
    config = tmp_path / "config"
    config.write_text("Host *\n  ForwardAgent yes\n  ForwardX11 yes\n  PermitLocalCommand yes\n")
    ansible = configparser.ConfigParser()
    ansible.read(Path(__file__).resolve().parents[2] / "playbooks" / "ansible.cfg")
    words = [*shlex.split(ansible["ssh_connection"]["ssh_args"]), *shlex.split(inventory)]
    done = subprocess.run(
        ["ssh", "-G", "-F", str(config), *words, "thor-01"], capture_output=True, text=True, check=True
    )
    said = dict(line.split(" ", 1) for line in done.stdout.splitlines() if " " in line)
    assert {said[key] for key in ("forwardagent", "forwardx11", "permitlocalcommand")} == {"no"}
