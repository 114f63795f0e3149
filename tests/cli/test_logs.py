"""logs: the command on the device, and its lines as they come."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.doubles.answers import says
from tests.support.doubles.sshd import Sshd, running_sshd
from thorctl.cli.main import run
from thorctl.remote.journalctl import log_command
from thorctl.result import Exit, Result

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ENGINE = "journalctl --unit=thor-engine.service --no-pager --output=short-iso"
AGENT = (
    "journalctl --unit=thor-job-*.service --unit=thor-recover.service --unit=thor-trial-*.service"
    " --unit=thor-activating-*.service --unit=thor-rolling-back-*.service"
)


@pytest.mark.parametrize(
    ("words", "command"),
    [
        (
            log_command("engine", lines=100, follow=False, since=None, as_json=False),
            f"{ENGINE} --lines=100",
        ),
        (
            log_command("engine", lines=None, follow=True, since="1 h ago", as_json=False),
            f"{ENGINE} --lines=all --since=1 h ago --follow",
        ),
        (
            log_command("agent", lines=5, follow=False, since=None, as_json=True),
            f"{AGENT} --no-pager --output=json --lines=5",
        ),
        (
            log_command("events", lines=7, follow=True, since=None, as_json=False),
            "tail -n 7 -F /var/lib/thor/events.jsonl",
        ),
    ],
)
def test_the_command(words: tuple[str, ...], command: str) -> None:
    assert " ".join(words) == command


@pytest.fixture(scope="module")
def sshd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    with running_sshd(tmp_path_factory.mktemp("sshd")) as server:
        yield server


@pytest.fixture
def logs(sshd: Sshd, tmp_path: Path) -> Callable[..., Result | None]:
    inventory = sshd.inventory(tmp_path / "hosts.yml", "thor-01")
    return lambda *words: run(["-i", str(inventory), "logs", "thor-01", *words])


def test_lines_come_through_and_cannot_steer_the_terminal(
    logs: Callable[..., Result | None], sshd: Sshd, capsys: pytest.CaptureFixture[str]
) -> None:
    sshd.behave(says("one\n\x1b[2Jtwo\n"))
    assert logs("-n", "2") is None
    assert capsys.readouterr().out == "one\n\N{REPLACEMENT CHARACTER}[2Jtwo\n"
    assert sshd.asked.read_text().endswith("--lines=2")


def test_the_last_lines_since_a_time_are_read_backwards(
    logs: Callable[..., Result | None], sshd: Sshd, capsys: pytest.CaptureFixture[str]
) -> None:
    sshd.behave(says("10:02 three\n    of two lines\n10:01 two\n"))
    assert logs("-n", "2", "--since", "10 min ago") is None
    assert capsys.readouterr().out == "10:01 two\n10:02 three\n    of two lines\n"
    assert sshd.asked.read_text().endswith("--lines=2 '--since=10 min ago' --reverse")
    result = logs("-n", "2", "--since", "10 min ago", "--json")
    assert result is not None
    assert result.data["lines"] == ["10:01 two", "10:02 three", "    of two lines"]


NOISE = (
    "10:01 thor systemd[1]: thor-trial-7.timer: Failed to open /run/systemd/transient/thor-trial-7.timer: x"
)


@pytest.mark.parametrize("words", [(), ("--since", "1 h ago"), ("-n", "9", "--since", "1 h ago")])
def test_agent_log_leaves_out_systemds_notice_of_a_transient_unit(
    logs: Callable[..., Result | None],
    sshd: Sshd,
    capsys: pytest.CaptureFixture[str],
    words: tuple[str, ...],
) -> None:
    sshd.behave(says(f"{NOISE}\n10:02 thor thor-agent[7]: rolling back\n"))
    assert logs("--agent", *words) is None
    assert capsys.readouterr().out == "10:02 thor thor-agent[7]: rolling back\n"


def test_json_of_the_agent_log_leaves_it_out_too(logs: Callable[..., Result | None], sshd: Sshd) -> None:
    sshd.behave(says(json.dumps({"MESSAGE": NOISE}) + "\n" + json.dumps({"MESSAGE": "rolling back"}) + "\n"))
    result = logs("--agent", "--json")
    assert result is not None
    assert result.data["lines"] == [{"MESSAGE": "rolling back"}]


def test_json_holds_the_lines(logs: Callable[..., Result | None], sshd: Sshd) -> None:
    sshd.behave(says(json.dumps({"verb": "stage"}) + "\nno json\n"))
    result = logs("--events", "--json")
    assert result is not None
    assert result.data == {"device": "thor-01", "log": "events", "lines": [{"verb": "stage"}, "no json"]}


@pytest.mark.parametrize(
    ("stderr", "words", "code"),
    [
        ("tail: cannot open '/var/lib/thor/events.jsonl'", ("--events",), "log_missing"),
        ("sudo: a password is required", (), "sudo_password"),
        ("Failed to parse timestamp: whenever", ("--since", "whenever"), "command_failed"),
    ],
)
def test_a_log_that_cannot_be_had(
    logs: Callable[..., Result | None], sshd: Sshd, stderr: str, words: tuple[str, ...], code: str
) -> None:
    sshd.behave(says("", 1, stderr))
    result = logs(*words)
    assert result is not None
    assert (result.exit_code, result.errors[0].code) == (Exit.ERROR, code)


@pytest.mark.parametrize(
    "words", [("--events", "--since", "today"), ("--follow", "--json"), ("-f", "-n", "2", "--since", "today")]
)
def test_what_does_not_go_together(logs: Callable[..., Result | None], words: tuple[str, ...]) -> None:
    result = logs(*words)
    assert result is not None
    assert result.exit_code == Exit.USAGE


def test_a_reader_that_has_seen_enough_is_no_error(sshd: Sshd, tmp_path: Path) -> None:
    sshd.behave(says("line\n" * 200_000))
    inventory = sshd.inventory(tmp_path / "hosts.yml", "thor-01")
    thorctl = Path(sys.executable).with_name("thorctl")
    line = f"set -o pipefail; {thorctl} -i {inventory} logs thor-01 -n 200000 | head -1"
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr, done.returncode) == ("line\n", "", 0)


def test_json_of_a_log_without_end_is_given_up(
    logs: Callable[..., Result | None], sshd: Sshd, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("thorctl.cli.logs.JSON_CHARACTERS", 1 << 20)
    sshd.behave("import sys\nwhile True: sys.stdout.write('x' * 65536 + chr(10))")
    result = logs("--json")
    assert result is not None
    assert [error.code for error in result.errors] == ["answer_too_large"]


def test_a_line_without_end_comes_in_pieces(
    logs: Callable[..., Result | None], sshd: Sshd, capsys: pytest.CaptureFixture[str]
) -> None:
    sshd.behave("import sys\nfor _ in range(1024): sys.stdout.write('x' * 65536)")
    assert logs() is None
    assert len(capsys.readouterr().out) < 1 << 20
