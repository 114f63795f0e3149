"""The conversation of chat, on a real pseudo-terminal: Ctrl-C stops an answer, not the conversation."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pexpect  # type: ignore[import-untyped]  # has no types
import pytest

from tests.support.doubles.answers import serves
from tests.support.doubles.engine import Engine
from tests.support.doubles.sshd import running_sshd

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.slow  # starts thorctl

PROMPT = "\n> "


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    with Engine("tiny-qwable", answers={"Hi": "Hello.", "And?": "That is all."}) as double:
        yield double


@pytest.fixture
def terminal(engine: Engine, tmp_path: Path) -> Iterator[pexpect.spawn[str]]:
    (tmp_path / "ssh").mkdir()
    with running_sshd(tmp_path / "ssh") as sshd:
        sshd.behave(serves(engine.port))
        inventory = sshd.inventory(tmp_path / "hosts.yml", "thor-01")
        thorctl = str(Path(sys.executable).with_name("thorctl"))
        words = ["-i", str(inventory), "chat", "thor-01"]
        child = pexpect.spawn(
            thorctl,
            words,
            encoding="utf-8",
            timeout=60,
            dimensions=(24, 100),
            echo=False,
            env=os.environ | {"TERM": "dumb"},  # no escape codes between the words
        )
        yield child
        child.close(force=True)


def test_a_conversation(terminal: pexpect.spawn[str], engine: Engine) -> None:
    terminal.expect("thor-01 serves tiny-qwable")
    terminal.expect(PROMPT)
    terminal.sendline("Hi")
    terminal.expect("thinking")
    terminal.expect("Let me think about it briefly")
    terminal.expect("Hello.")
    terminal.expect("tokens in")
    terminal.expect(PROMPT)
    terminal.sendline("And?")
    terminal.expect("That is all.")
    terminal.expect(PROMPT)
    roles = [message["role"] for message in engine.requests[-1]["messages"]]
    assert roles == ["user", "assistant", "user"]
    terminal.sendline("/think off")
    terminal.expect("Thinking is off.")
    terminal.sendline("/quit")
    terminal.expect(pexpect.EOF)
    terminal.close()
    assert terminal.exitstatus == 0


def test_ctrl_c_stops_the_answer_only(terminal: pexpect.spawn[str], engine: Engine) -> None:
    terminal.expect(PROMPT)
    engine.mode = "never_ends"
    terminal.sendline("Hi")
    terminal.expect("more more more")
    terminal.sendintr()
    terminal.expect("Stopped.")
    terminal.expect(PROMPT)
    engine.mode = "good"
    terminal.sendline("Hi")
    terminal.expect("Hello.")
    assert [message["role"] for message in engine.requests[-1]["messages"]] == ["user"]
    terminal.expect(PROMPT)
    terminal.sendintr()
    terminal.expect("Ctrl-D leaves")
    terminal.sendeof()
    terminal.expect(pexpect.EOF)
    terminal.close()
    assert terminal.exitstatus == 0


def test_an_error_does_not_end_the_conversation(terminal: pexpect.spawn[str], engine: Engine) -> None:
    terminal.expect(PROMPT)
    engine.mode = "error_in_stream"
    terminal.sendline("Hi")
    terminal.expect("engine_error")
    terminal.expect("EngineCore died")
    terminal.expect("what to do")
    terminal.expect(PROMPT)
    engine.mode = "good"
    terminal.sendline("Hi")
    terminal.expect("Hello.")
