"""status --watch without a terminal: a line of JSON a round, and Ctrl-C is the way to end it."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.doubles.answers import STATUS, answers
from tests.support.doubles.sshd import running_sshd

pytestmark = pytest.mark.slow  # starts thorctl


def test_rounds_until_ctrl_c(tmp_path: Path) -> None:
    with running_sshd(tmp_path) as sshd:
        sshd.behave(answers("status", STATUS))
        inventory = sshd.inventory(tmp_path / "hosts.yml", "thor-01")
        thorctl = str(Path(sys.executable).with_name("thorctl"))
        words = [thorctl, "-i", str(inventory), "status", "--watch", "0.1", "--json"]
        with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            rounds = [json.loads(process.stdout.readline()) for _ in range(2)]
            process.send_signal(signal.SIGINT)
            rest, stderr = process.communicate(timeout=60)
    assert [one["data"]["devices"][0]["release"] for one in rounds] == [STATUS["release"]] * 2
    assert process.returncode == 0, stderr
    assert "Traceback" not in stderr
    assert all(json.loads(line)["command"] == "status" for line in rest.splitlines())
