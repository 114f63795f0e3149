"""The plugins under the real Ansible, against this machine: nothing here changes it."""

from __future__ import annotations

import json
import time
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from ansible.errors import AnsibleConnectionFailure, AnsibleLookupError

from tests.playbooks.load_plugin import load
from tests.playbooks.playbook_run import warm_playbook
from tests.support.doubles.answers import document
from thorctl.errors import ThorError
from thorctl.remote.answer import Answer, read_answer
from thorctl.remote.call import Call

if TYPE_CHECKING:
    from tests.playbooks.playbook_run import PlaybookRun


class ModuleFailedError(Exception):
    """What fail_json says."""


class Module:
    """The part of AnsibleModule that thor_files needs."""

    def __init__(self, check_mode: bool = False) -> None:
        self.check_mode = check_mode

    @staticmethod
    def atomic_move(source: str, target: str) -> None:
        Path(source).replace(target)

    @staticmethod
    def fail_json(msg: str) -> None:
        raise ModuleFailedError(msg)


def entry(path: Path, **more: Any) -> dict[str, Any]:
    unset = dict.fromkeys(("content", "base64", "target", "check"))
    return {"path": str(path), "create_only": False, "backup": False} | unset | more


class TestFiles:
    files = load("modules", "thor_files")

    def test_a_file_is_written_once(self, tmp_path: Path) -> None:
        path = tmp_path / "f"
        wanted = entry(path, content="a\n")
        assert self.files.put_file(Module(), wanted) == {"before": "", "after": "a\n"}
        assert path.read_text() == "a\n"
        assert self.files.put_file(Module(), wanted) is None
        assert [file.name for file in tmp_path.iterdir()] == ["f"]

    def test_file_has_its_mode_before_it_is_in_place(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A timer may start a program at the very moment at which it is replaced."""
        seen = []

        def replace(source: Path, target: Path) -> Path:
            seen.append(source.stat().st_mode & 0o777)
            return source.rename(target)

        monkeypatch.setattr(Path, "replace", replace)
        self.files.put_file(Module(), entry(tmp_path / "program", content="#!/bin/sh\n", mode="0755"))
        self.files.put_file(Module(), entry(tmp_path / "secret", content="s", mode="0600"))
        assert seen == [0o755, 0o600]

    def test_bytes_are_shown_by_their_size(self, tmp_path: Path) -> None:
        diff = self.files.put_file(Module(), entry(tmp_path / "f", base64="/w=="))
        assert diff == {"before": "", "after": "(1 bytes)\n"}
        assert (tmp_path / "f").read_bytes() == b"\xff"

    def test_create_only_leaves_what_is_there(self, tmp_path: Path) -> None:
        path = tmp_path / "secrets"
        path.write_text("KEY=1\n")
        assert self.files.put_file(Module(), entry(path, content="", create_only=True)) is None
        assert path.read_text() == "KEY=1\n"

    def test_a_link_is_turned(self, tmp_path: Path) -> None:
        link = tmp_path / "wants" / "x.service"
        assert self.files.put_link(Module(), entry(link, target="/a"))["after"] == "-> /a\n"
        diff = self.files.put_link(Module(), entry(link, target="/b"))
        assert diff == {"before": "-> /a\n", "after": "-> /b\n"}
        assert str(link.readlink()) == "/b"
        assert self.files.put_link(Module(), entry(link, target="/b")) is None

    def test_check_mode_writes_nothing(self, tmp_path: Path) -> None:
        module = Module(check_mode=True)
        assert self.files.put_file(module, entry(tmp_path / "f", content="a"))
        assert self.files.put_directory(module, entry(tmp_path / "d"))
        assert self.files.put_link(module, entry(tmp_path / "l", target="/a"))
        assert list(tmp_path.iterdir()) == []

    def test_what_is_absent_goes_and_stays_away(self, tmp_path: Path) -> None:
        path, link = tmp_path / "f", tmp_path / "l"
        path.write_text("a\n")
        link.symlink_to("nowhere")
        assert self.files.put_away(Module(check_mode=True), entry(path)) == {"before": "a\n"}
        assert path.exists()
        assert self.files.put_away(Module(), entry(path)) == {"before": "a\n"}
        assert self.files.put_away(Module(), entry(link)) == {"before": "-> nowhere\n"}
        assert self.files.put_away(Module(), entry(path)) is None
        assert list(tmp_path.iterdir()) == []

    def test_a_file_that_its_program_refuses_is_not_put_in_place(self, tmp_path: Path) -> None:
        path = tmp_path / "f"
        path.write_text("good\n")
        check = ["grep", "-q", "good", "%s"]
        with pytest.raises(ModuleFailedError, match="grep refuses the new file"):
            self.files.put_file(Module(), entry(path, content="bad\n", check=check, backup=True))
        assert path.read_text() == "good\n"
        assert [file.name for file in tmp_path.iterdir()] == ["f"]
        assert self.files.put_file(Module(), entry(path, content="good too\n", check=check))

    def test_a_backup_is_what_was_there(self, tmp_path: Path) -> None:
        path = tmp_path / "new" / "f"
        self.files.put_file(Module(), entry(path, content="one\n", backup=True))
        assert [file.name for file in path.parent.iterdir()] == ["f"]
        self.files.put_file(Module(), entry(path, content="two\n", backup=True))
        assert (tmp_path / "new" / "f.before-thorctl").read_text() == "one\n"


class TestReleaseLookup:
    lookup = load("lookup", "thor_release")

    def test_an_unknown_profile_comes_with_its_remedy(self) -> None:
        with pytest.raises(AnsibleLookupError) as caught:
            self.lookup.LookupModule().run(["tiny-qwabel", "simulated-container"])
        code, _, rest = caught.value.message.partition(": ")
        assert code == "profile_unknown"
        assert "tiny-qwable" in rest
        assert " — " in rest

    @pytest.mark.parametrize("terms", [[], ["tiny-qwable"], ["tiny-qwable", ""], ["tiny-qwable", None]])
    def test_it_takes_two_names(self, terms: list[Any]) -> None:
        with pytest.raises(AnsibleLookupError, match="thor_profile and thor_device_class"):
            self.lookup.LookupModule().run(terms)


def ask(tmp_path: Path, task: str, *options: str) -> PlaybookRun:
    book = tmp_path / "book.yml"
    book.write_text(
        "- hosts: localhost\n  gather_facts: false\n  connection: local\n  tasks:\n"
        f"    - thor_agent: {task}\n"
    )
    return warm_playbook("-i", "localhost,", str(book), *options)


@pytest.mark.slow  # starts Ansible
def test_a_verb_that_only_looks_is_answered_by_an_agent_shipped_for_it(tmp_path: Path) -> None:
    run = ask(tmp_path, "{verb: facts}")
    assert run.exit_code == 0, run.text
    assert run.total("changed") == 0
    assert not Path("/opt/thor/agent.pyz").exists()


@pytest.mark.slow  # starts Ansible
def test_a_verb_that_changes_needs_the_installed_agent(tmp_path: Path) -> None:
    run = ask(tmp_path, "{verb: commit}")
    assert run.exit_code != 0
    assert "agent_missing: There is no /opt/thor/agent.pyz on localhost." in run.text
    assert "--tags thor_host" in run.text


@pytest.mark.slow  # starts Ansible
def test_check_mode_replaces_it_by_one_that_only_looks(tmp_path: Path) -> None:
    run = ask(tmp_path, "{verb: commit}", "--check")
    assert run.exit_code == 0, run.text


@pytest.mark.slow  # starts Ansible
@pytest.mark.parametrize(
    ("task", "said"),
    [
        ("{verb: stagee}", "bad_call: The agent has no verb 'stagee'."),
        ("{verb: stage}", "bad_call: The verb stage needs a release."),
        ("{verb: status, arguments: [--nonsense]}", "bad_call: "),
        ("{verb: status, wait: 3}", "Invalid options for thor_agent: wait"),
    ],
)
def test_a_wrong_call_fails(tmp_path: Path, task: str, said: str) -> None:
    run = ask(tmp_path, task)
    assert run.exit_code != 0
    assert said in " ".join(run.text.split()), run.text


def test_what_a_device_says_cannot_steer_ansibles_terminal() -> None:
    plugin: Any = load("action", "thor_agent").ActionModule
    hostile = {"failed": True, "msg": "\x1b[2J\u202ex", "agent": {"data": [{"a\x9b": "\x1b]0;x\x07"}]}}

    class Asked(plugin):  # type: ignore[misc]  # Ansible has no types
        def __init__(self) -> None:
            self.shown: list[str] = []
            self._device, self._display = "thor-01", self

        def _result(self, *_: object) -> dict[str, Any]:
            self._say("progress \x1b[2J")
            return hostile

        def display(self, text: str) -> None:
            self.shown.append(text)

    asked = Asked()
    found = asked.run()
    assert found["failed"] is True
    assert found["agent"]["data"] == [
        {"a\N{REPLACEMENT CHARACTER}": "\N{REPLACEMENT CHARACTER}]0;x\N{REPLACEMENT CHARACTER}"}
    ]
    assert "\x1b" not in repr([found["msg"], asked.shown])


def waiting(*results: dict[str, Any] | str, patience: int = 60) -> Any:
    """The action plugin whose device answers `result` with these in turn; the last one repeats."""
    plugin: Any = load("action", "thor_agent").ActionModule

    class Waiting(plugin):  # type: ignore[misc]  # Ansible has no types
        def __init__(self) -> None:
            self.shown: list[str] = []
            self.asked: list[str] = []
            self._device, self._display, self._connection = "thor-01", self, self
            self._task = SimpleNamespace(args={"unreachable_for": patience, "timeout": 600})

        def _low_level_execute_command(self, command: str, **_: object) -> dict[str, Any]:
            self.asked.append(command)
            result = results[min(len(self.asked), len(results)) - 1]
            if isinstance(result, str):
                raise AnsibleConnectionFailure(result)
            return {"rc": 0 if result["ok"] else 1, "stdout": json.dumps(result), "stderr": ""}

        def reset(self) -> None:
            self.shown.append("reset")

        def display(self, text: str) -> None:
            self.shown.append(text)

    return Waiting()


def told(state: str, **more: Any) -> dict[str, Any]:
    return document("result", {"job": "one", "verb": "stage", "state": state, **more})


BEGUN = Answer("thor-01", document("stage", {"job": "one", "state": "running", "joined": False}))
DONE = told("done", exit_code=0, answer=document("stage", {"release": "r"}))
STAGE = Call("stage", ("--release", "-"), "{}")


@pytest.fixture
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "sleep", lambda _: None)


@pytest.mark.usefixtures("_no_pauses")
def test_detached_verb_is_polled_through_a_broken_connection() -> None:
    progress = {"verb": "stage", "phase": "image", "done_bytes": 1, "total_bytes": 4}
    plugin = waiting(told("running", progress=progress), "broken pipe", DONE)
    answer = plugin._wait(STAGE, BEGUN)
    assert answer.ok, answer.error
    assert answer.data == {"release": "r"}
    assert plugin.asked == ["/usr/local/bin/thor-agent result one --wait 5"] * 3
    assert plugin.shown == ["[thor-01] stage: image 25 % (1 byte of 4 bytes)", "reset"]


@pytest.mark.usefixtures("_no_pauses")
def test_failure_of_a_detached_verb_is_its_own() -> None:
    failed = document("stage", {}, {"code": "disk_too_small"})
    answer = waiting(told("done", exit_code=1, answer=failed))._wait(STAGE, BEGUN)
    assert answer.error.code == "disk_too_small"
    interrupted = document("result", {}, {"code": "interrupted"})
    assert waiting(interrupted)._wait(STAGE, BEGUN).error.code == "interrupted"
    busy = document("stage", {}, {"code": "busy"})
    refused = read_answer("thor-01", "stage", 3, json.dumps(busy), "")
    assert waiting()._wait(STAGE, refused).error.code == "busy"


@pytest.mark.usefixtures("_no_pauses")
def test_device_that_stays_silent_is_given_up() -> None:
    with pytest.raises(ThorError) as caught:
        waiting("no route to host", patience=1)._wait(STAGE, BEGUN)
    assert caught.value.code == "unreachable"


def test_agent_before_detached_verbs_is_named_with_its_remedy() -> None:
    said = {**document("?", {}), "ok": False, "error": {"code": "bad_call", "message": "unrecognized"}}
    with pytest.raises(ThorError) as caught:
        waiting()._wait(STAGE, read_answer("thor-01", "stage", 2, json.dumps(said), ""))
    assert caught.value.code == "agent_too_old"
    assert "--tags thor_host" in caught.value.remedy
