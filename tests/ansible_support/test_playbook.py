"""Playbooks through the real ansible-runner and a real sshd: results, logs, and what is kept of a run."""

from __future__ import annotations

import contextlib
import stat
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.doubles.sshd import Sshd, running_sshd
from thorctl.ansible_support import playbook
from thorctl.errors import ThorError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from thorctl.ansible_support.playbook import Run, TaskEnd

pytestmark = pytest.mark.slow

# A device that does what it is told.
SHELL = "import os; os.execvp('sh', ['sh', '-c', os.environ['SSH_ORIGINAL_COMMAND']])"
CONFIG = """[defaults]
host_key_checking = True
interpreter_python = /usr/bin/python3
[ssh_connection]
pipelining = True
ssh_args = -o ControlMaster=no
"""
PLAY = """---
- name: A play
  hosts: thor
  gather_facts: false
  tasks:
    - name: Say the word
      ansible.builtin.command: echo "{{ word }}"
      changed_when: false
    - name: Keep a secret
      ansible.builtin.command: echo "{{ secret }}"
      changed_when: false
      no_log: true
    - name: Fail and go on
      block:
        - name: Fail
          ansible.builtin.command: "false"
      rescue:
        - name: Go on
          ansible.builtin.debug: {msg: gone on}
    - name: Fail on one device
      ansible.builtin.fail: {msg: this one does not}
      when: inventory_hostname == 'thor-02'
"""


@dataclass(frozen=True)
class Place:
    sshd: Sshd
    folder: Path
    inventory: Path

    def run(self, name: str = "play", play: str = PLAY, **arguments: Any) -> tuple[Run, list[TaskEnd]]:
        playbooks = self.folder / "playbooks"
        playbooks.mkdir(exist_ok=True)
        (playbooks / "ansible.cfg").write_text(CONFIG)
        (playbooks / "play.yml").write_text(play)
        ends: list[TaskEnd] = []
        run = playbook.run(
            name,
            playbooks=playbooks,
            on_task=ends.append,
            **{
                "inventory": self.inventory,
                "devices": ["thor-01", "thor-02"],
                "folder": self.folder / "runs" / "1",
                "variables": {"word": "hello", "secret": "hunter2-in-a-variable"},
                **arguments,
            },
        )
        return run, ends


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    (tmp_path / "sshd").mkdir()
    with running_sshd(tmp_path / "sshd") as sshd:
        sshd.behave(SHELL)
        options = f"-o UserKnownHostsFile={sshd.known_hosts} -o StrictHostKeyChecking=yes"
        names = ("thor-01", "thor-02", "thor-03")
        inventory = sshd.inventory(tmp_path / "hosts.yml", *names, ansible_ssh_common_args=options)
        yield Place(sshd, tmp_path, inventory)


def test_results_logs_and_nothing_secret(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hunter2-in-the-environment")
    run, ends = place.run()
    told = [(end.device, end.task, end.action, end.outcome) for end in ends]
    assert ("thor-01", "Say the word", "command", "ok") in told
    assert ("thor-01", "Fail on one device", "fail", "skipped") in told
    assert ("thor-02", "Fail on one device", "fail", "failed") in told
    assert next(end for end in ends if end.task == "Say the word").result["stdout"] == "hello"
    assert (run.exit_code, set(run.failed), set(run.unreachable)) == (2, {"thor-02"}, set())
    assert "this one does not" in run.log("thor-02").read_text()
    assert "this one does not" not in run.log("thor-01").read_text()

    kept = [path for path in run.folder.rglob("*") if path.is_file()]
    assert any(path.parent.name == "job_events" for path in kept)
    for path in kept:
        assert "hunter2-in-the-environment" not in path.read_text(), path
        if path.name != "vars.json":
            assert "hunter2" not in path.read_text(), path
    for folder in (run.folder, run.folder.parent):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    for name in ("vars.json", "devices/thor-01.log"):
        assert stat.S_IMODE((run.folder / name).stat().st_mode) == 0o600


def test_a_host_key_that_is_not_known_is_refused(place: Place) -> None:
    place.sshd.known_hosts.write_text("")
    run, ends = place.run()
    assert run.unreachable == {"thor-01", "thor-02"}
    assert {end.outcome for end in ends} == {"unreachable"}
    assert "verification failed" in run.log("thor-01").read_text()


def test_a_run_can_be_ended(place: Place) -> None:
    play = PLAY.partition("    - name: Say")[0] + "    - {name: Wait, ansible.builtin.command: sleep 600}\n"
    run, _ = place.run(play=play, cancelled=place.sshd.asked.exists)
    assert run.exit_code is None


def test_it_ends_with_a_controller_that_is_killed(place: Place) -> None:
    playbooks = place.folder / "playbooks"
    playbooks.mkdir()
    (playbooks / "ansible.cfg").write_text(CONFIG)
    task = "    - {name: Wait, ansible.builtin.command: sleep 20}\n"
    (playbooks / "play.yml").write_text(PLAY.partition("    - name: Say")[0] + task)
    script = (
        "import sys, pathlib; from thorctl.ansible_support import playbook; p = pathlib.Path(sys.argv[1]);"
        "playbook.run('play', playbooks=p / 'playbooks', inventory=p / 'hosts.yml',"
        "devices=['thor-01'], folder=p / 'runs' / '1')"
    )
    controller = subprocess.Popen([sys.executable, "-c", script, str(place.folder)], start_new_session=True)
    until = time.monotonic() + 120
    while not place.sshd.asked.exists() and time.monotonic() < until:
        time.sleep(0.1)
    (ours,) = children_of(controller.pid)
    assert b"bin/ansible-playbook" in (ours / "cmdline").read_bytes()
    controller.kill()
    controller.wait()
    while ours.exists() and time.monotonic() < until:
        time.sleep(0.1)
    assert not ours.exists()  # its workers end with their tasks


def children_of(pid: int) -> list[Path]:
    """The processes of a parent, as folders of /proc."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if f"\nPPid:\t{pid}\n" in (entry / "status").read_text():
                found.append(entry)
    return found


def test_what_is_missing_is_named(place: Place) -> None:
    with pytest.raises(ThorError, match=r"nothing\.yml") as caught:
        place.run("nothing")
    assert (caught.value.code, "play" in caught.value.remedy) == ("playbook_unknown", True)
    with pytest.raises(ThorError) as caught:
        place.run(inventory=place.folder / "no-hosts.yml")
    assert caught.value.code == "inventory_missing"
    (place.folder / "runs").write_text("a file stands here")
    with pytest.raises(ThorError) as caught:
        place.run()
    assert caught.value.code == "run_folder"
    (place.folder / "runs").unlink()
    _, ends = place.run()
    assert ends
