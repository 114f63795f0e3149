"""Our own agent over a real sshd: run where none is installed, left at home where the same one is."""

from __future__ import annotations

import json
import os
import sys
from typing import TYPE_CHECKING

import pytest

from tests.support.doubles.answers import document, says
from thorctl.inventory.devices import Device
from thorctl.protocol.paths import AGENT, AGENT_ARCHIVE
from thorctl.remote.shipped_agent import Question, Zipapp, look
from thorctl.sim.ports import free_port

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.doubles.sshd import Sshd
    from thorctl.remote.answer import Answer

LONG = 120.0
# Does what it is told, as a device would; sudo only runs things, so that the test's user need not be root.
OBEDIENT = """
import os
asked = os.environ["SSH_ORIGINAL_COMMAND"]
with open({told!r}, "a") as file:
    file.write(asked + chr(10))
os.environ["PATH"] = {path!r}
os.environ["TMPDIR"] = {scratch!r}
os.execvp("sh", ["sh", "-c", asked])
"""


@pytest.fixture
def told(sshd: Sshd, tmp_path: Path) -> Path:
    """The commands that a device was given, which it runs in a scratch directory of its own."""
    programs, scratch, told = tmp_path / "bin", tmp_path / "scratch", tmp_path / "told"
    programs.mkdir()
    scratch.mkdir()
    (programs / "sudo").write_text('#!/bin/sh\nshift 2\nexec "$@"\n')
    (programs / "sudo").chmod(0o755)
    path = f"{programs}:{os.environ['PATH']}"
    sshd.behave(OBEDIENT.format(told=str(told), path=path, scratch=str(scratch)))
    return told


def ask(device: Device, verb: str = "facts", *words: str, stdin: str = "") -> Answer:
    (answer,) = look([Question(device, verb, words, stdin)], timeout=LONG)
    return answer


def test_a_device_without_an_agent_is_asked_with_ours(device: Device, told: Path) -> None:
    answer = ask(device)
    assert answer.ok, answer.error
    assert answer.data["architecture"] == os.uname().machine
    assert answer.seconds > 0
    assert list((told.parent / "scratch").iterdir()) == []  # nothing stays
    assert AGENT_ARCHIVE in told.read_text().splitlines()[0]


def test_what_the_verb_reads_comes_after_the_agent(device: Device, told: Path) -> None:
    answer = ask(device, "preflight", "--release", "-", stdin=json.dumps({"id": "ä\nö"}))
    assert answer.error is not None
    assert answer.error.code == "release_invalid"  # by the real agent, which read the document
    assert list((told.parent / "scratch").iterdir()) == []


def test_the_same_agent_is_not_sent_again(sshd: Sshd, device: Device) -> None:
    said = json.dumps(document("facts", {"architecture": "installed"}))
    sshd.behave(
        "import os\nasked = os.environ['SSH_ORIGINAL_COMMAND']\n"
        f"hash = {Zipapp.packed().sha256 + f'  {AGENT_ARCHIVE}'!r}\n"
        f"print(hash if 'sha256sum' in asked else {said!r})"
    )
    answer = ask(device)
    assert answer.data == {"architecture": "installed"}
    assert AGENT in sshd.asked.read_text()
    assert "base64" not in sshd.asked.read_text()


def test_another_agent_is_passed_over(sshd: Sshd, device: Device) -> None:
    said = json.dumps(document("facts", {}))
    sshd.behave(
        "import os\nasked = os.environ['SSH_ORIGINAL_COMMAND']\n"
        f"print({'0' * 64!r} + '  x' if 'sha256sum' in asked else {said!r})"
    )
    assert ask(device).ok
    assert "base64" in sshd.asked.read_text()
    assert AGENT not in sshd.asked.read_text()


def test_a_device_without_python_says_so(sshd: Sshd, device: Device) -> None:
    sshd.behave(says("", 127, "env: 'python3': No such file or directory\n"))
    error = ask(device).error
    assert error is not None
    assert (error.code, error.device) == ("python_missing", "thor-01")
    assert "apt-get install python3" in error.remedy
    sshd.behave(  # once it is installed
        "import os\nasked = os.environ['SSH_ORIGINAL_COMMAND']\n"
        "os.execvp('sh', ['sh', '-c', asked.replace('sudo -n --', '')])"
    )
    assert ask(device).ok


def test_a_sudo_that_wants_a_password_is_told_as_ever(sshd: Sshd, device: Device) -> None:
    sshd.behave(says("", 1, "sudo: a password is required\n"))
    error = ask(device).error
    assert error is not None
    assert error.code == "sudo_password"
    assert "python3 with NOPASSWD" in error.remedy


def test_each_device_is_asked_its_own_question_and_answers_in_order(sshd: Sshd, device: Device) -> None:
    away = Device("thor-02", "127.0.0.1", free_port(), sshd.user, sshd.key, sshd.known_hosts)
    sshd.behave(says(json.dumps(document("facts", {}))))
    heard: list[str] = []
    answers = look(
        [Question(away, "facts"), Question(device, "facts")],
        timeout=LONG,
        on_answer=lambda answer: heard.append(answer.device),
    )
    assert [(answer.device, answer.reached) for answer in answers] == [("thor-02", False), ("thor-01", True)]
    assert sorted(heard) == ["thor-01", "thor-02"]


def test_nothing_beside_the_agent_runs_as_root(sshd: Sshd, device: Device, tmp_path: Path) -> None:
    """The login user's files and environment, where Python would look for modules."""
    evil = tmp_path / "evil"
    site = evil / f"lib/python{sys.version_info[0]}.{sys.version_info[1]}/site-packages"
    site.mkdir(parents=True)
    ran = tmp_path / "ran"
    for name in ("json", "base64", "tempfile", "subprocess", "usercustomize", "sitecustomize"):
        for folder in (evil, site):
            (folder / f"{name}.py").write_text(f"open({str(ran)!r}, 'a').write({name!r})\nraise SystemExit\n")
    sshd.behave(
        "import os\nasked = os.environ['SSH_ORIGINAL_COMMAND']\n"
        f"os.chdir({str(evil)!r})\n"
        f"os.environ |= dict.fromkeys(('PYTHONPATH', 'PYTHONUSERBASE', 'TMPDIR'), {str(evil)!r})\n"
        "os.execvp('sh', ['sh', '-c', asked.replace('sudo -n --', '')])"
    )
    assert ask(device).ok
    assert not ran.exists()
