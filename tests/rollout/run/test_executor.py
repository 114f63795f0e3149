"""The real hands: what they say to devices over a real sshd, and how they read a playbook's tasks."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.doubles.answers import STATUS, document
from tests.support.doubles.sshd import Sshd, running_sshd
from thorctl.ansible_support.playbook import TaskEnd
from thorctl.files import yaml_file
from thorctl.inventory import devices as fleet
from thorctl.rollout.model.scheduler import Step
from thorctl.rollout.run.controller import Begun, Done
from thorctl.rollout.run.executor import DeviceHands
from thorctl.rollout.run.verb_call import answer_of

if TYPE_CHECKING:
    from collections.abc import Iterator

CHECKOUT = Path(__file__).resolve().parents[3]
NEW = "m-bbbbbbbbbbbb"
# A device that answers every verb with the words it was asked with.
ECHO = f"""
import json, os, shlex
words = shlex.split(os.environ["SSH_ORIGINAL_COMMAND"])
words = words[words.index("--holder"):]
answer = json.loads({json.dumps(json.dumps(document("x", STATUS)))})
answer["verb"], answer["data"]["words"] = words[2], words
print(json.dumps(answer))
"""


@pytest.fixture
def sshd(tmp_path: Path) -> Iterator[Sshd]:
    (tmp_path / "sshd").mkdir()
    with running_sshd(tmp_path / "sshd") as server:
        server.behave(ECHO)
        yield server


@pytest.fixture
def hands(sshd: Sshd, tmp_path: Path) -> Iterator[DeviceHands]:
    inventory = sshd.inventory(tmp_path / "hosts.yml", "thor-01", "thor-02")
    with DeviceHands(
        fleet.load(inventory),
        "ann@desk",
        {NEW: {"id": NEW}},
        {NEW: 600},
        playbooks=tmp_path / "playbooks",
        inventory=inventory,
        folder=tmp_path / "rollouts" / "1",
        run="abc",
    ) as made:
        yield made


def collected(hands: DeviceHands, count: int) -> dict[int, Done]:
    done: dict[int, Done] = {}
    until = time.monotonic() + 60
    while len(done) < count and time.monotonic() < until:
        done |= {one.number: one for one in hands.wait(1)}
    return done


WORDS = [
    ("look", ["status"]),
    ("take", ["lease", "take", "--reason", "rollout 1", "--ttl", "90"]),
    ("smoke", ["smoke", NEW]),
    ("commit", ["commit", NEW]),
    ("rollback", ["rollback", NEW, "--reason", "rollout 1"]),
    ("give", ["lease", "give"]),
]


def test_every_short_verb_and_its_words(hands: DeviceHands) -> None:
    steps = [Step(f"thor-0{1 + i % 2}", verb, NEW, 1, 90, "rollout 1") for i, (verb, _) in enumerate(WORDS)]
    hands.begin([Begun(number, step) for number, step in enumerate(steps)])
    done = collected(hands, len(WORDS))
    for number, (_, words) in enumerate(WORDS):
        answer = done[number].answer
        assert answer.ok, answer.error
        assert answer.data["words"] == ["--holder", "ann@desk", *words]
        assert answer.device == steps[number].device


def test_waiting_has_an_end(hands: DeviceHands) -> None:
    began = time.monotonic()
    assert hands.wait(0.2) == []
    assert time.monotonic() - began >= 0.2


def test_a_playbook_that_cannot_run_is_an_answer_for_each_device(hands: DeviceHands) -> None:
    hands.begin([Begun(number, Step(f"thor-0{number}", "stage", NEW)) for number in (1, 2)])
    done = collected(hands, 2)
    for number in (1, 2):
        error = done[number].answer.error
        assert error is not None
        assert (error.code, error.device) == ("agent_garbage", f"thor-0{number}")
        assert "There is no" in error.message


def test_a_hold_is_passed_over_in_the_devices_own_words(hands: DeviceHands, tmp_path: Path) -> None:
    """The words that the role would give the agent, as Ansible fills them in; a hold is never a template."""
    (task,) = yaml_file.read(CHECKOUT / "playbooks/roles/thor_service/tasks/activate.yml").data
    told = {
        "ansible.builtin.fail": {"msg": "{{ words }}"},
        "vars": {"words": task["thorctl.thor.thor_agent"]["arguments"]},
    }
    play = {"hosts": "thor", "connection": "local", "gather_facts": False, "tasks": [told]}
    book = tmp_path / "playbooks" / "activate.yml"
    book.parent.mkdir()
    play["vars"] = {"thor_service_over_hold": None}  # the role's default
    book.write_text(json.dumps([play]))
    hold = "it's {{ 7 * 7 }} \u00e9 "
    steps = [Step("thor-01", "activate", NEW, 1, 900, "", hold), Step("thor-02", "activate", NEW, 1, 900)]
    hands.begin([Begun(number, step) for number, step in enumerate(steps)])
    done = collected(hands, 2)
    said = [done[number].answer.error for number in (0, 1)]
    assert said[0] is not None
    assert said[1] is not None
    assert said[0].message == str(["--deadline=900", f"--over-hold={hold}"]) + "."
    assert said[1].message == str(["--deadline=900"]) + "."


def test_a_preflight_gets_the_release_and_what_the_inventory_leaves_out(sshd: Sshd, tmp_path: Path) -> None:
    reading = ECHO.replace("print(", "import sys; answer['data']['stdin'] = json.load(sys.stdin); print(")
    sshd.behave(reading)
    inventory = sshd.inventory(tmp_path / "hosts.yml", "thor-01", thor_preflight_skip="swap, l4t")
    with DeviceHands(
        fleet.load(inventory), "ann@desk", {NEW: {"id": NEW}}, {NEW: 600}, playbooks=tmp_path,
        inventory=inventory, folder=tmp_path / "rollouts" / "1", run="abc",
    ) as hands:  # fmt: skip
        hands.begin([Begun(1, Step("thor-01", "preflight", NEW))])
        answer = collected(hands, 1)[1].answer
    assert answer.data["words"][2:] == ["preflight", "--release", "-", "--skip", "swap,l4t"]
    assert answer.data["stdin"] == {"id": NEW}


def test_preflight_that_the_installed_agent_cannot_read_is_answered_by_ours(
    sshd: Sshd, tmp_path: Path
) -> None:
    refused = document("preflight", {}, {"code": "release_invalid"})
    ours = document("preflight", {"release": NEW})
    sshd.behave(
        "import json, os, sys\n"
        "command = os.environ['SSH_ORIGINAL_COMMAND']\n"
        "if 'sha256sum' in command: sys.exit(1)\n"
        f"print(json.dumps({ours!r} if 'python3' in command else {refused!r}))\n"
        "sys.exit('python3' not in command)\n"
    )
    inventory = sshd.inventory(tmp_path / "hosts.yml", "thor-01")
    with DeviceHands(
        fleet.load(inventory), "ann@desk", {NEW: {"id": NEW}}, {NEW: 600}, playbooks=tmp_path,
        inventory=inventory, folder=tmp_path / "rollouts" / "1", run="abc",
    ) as hands:  # fmt: skip
        hands.begin([Begun(1, Step("thor-01", "preflight", NEW))])
        answer = collected(hands, 1)[1].answer
    assert answer.data == {"release": NEW}


def test_a_step_that_cannot_even_be_asked_has_an_end(hands: DeviceHands) -> None:
    hands.begin([Begun(8, Step("thor-01", "rollback", "unknown"))])
    answer = collected(hands, 1)[8].answer
    assert answer.error is not None
    assert answer.error.code == "agent_garbage"


@pytest.mark.parametrize("verb", ["look", "stage", "activate", "give"])
def test_a_device_that_left_the_inventory_is_offline(hands: DeviceHands, verb: str) -> None:
    hands.begin([Begun(7, Step("thor-99", verb, NEW))])
    answer = collected(hands, 1)[7].answer
    assert answer.error is not None
    assert (answer.reached, answer.error.code) == (False, "device_unreachable")
    assert "inventory" in answer.error.message


def end(outcome: str, result: dict[str, Any], action: str = "thor_agent") -> TaskEnd:
    return TaskEnd("thor-01", "Stage the release", action, outcome, result)


def test_a_task_that_went_well() -> None:
    answer = answer_of(end("ok", {"agent": document("stage", {"release": NEW})}), "stage")
    assert answer is not None
    assert answer.ok
    assert answer.data == {"release": NEW}


def test_tasks_that_say_nothing_of_the_verb() -> None:
    assert answer_of(end("ok", {"msg": "hello"}, "debug"), "stage") is None
    assert answer_of(end("skipped", {}, "debug"), "stage") is None
    assert answer_of(end("skipped", {}), "stage") is None, "the agent is there already, and is not brought"


@pytest.mark.parametrize("rescued", [True, False])
def test_agent_that_could_not_be_installed_is_the_answer_unless_rescued(
    hands: DeviceHands, tmp_path: Path, *, rescued: bool
) -> None:
    tasks = tmp_path / "playbooks" / "roles" / "thor_host" / "tasks"
    tasks.mkdir(parents=True)
    broken = {"name": "Install", "ansible.builtin.fail": {"msg": "the disk is full"}}
    ended = [{"name": "Stage", "ansible.builtin.fail": {"msg": "it came to staging"}}]
    tasks.joinpath("main.yml").write_text(
        json.dumps(
            [{"block": [broken], "rescue": [{"ansible.builtin.meta": "noop"}]}] if rescued else [broken]
        )
    )
    play = {
        "hosts": "thor",
        "connection": "local",
        "gather_facts": False,
        "roles": ["thor_host"],
        "tasks": ended,
    }
    (tmp_path / "playbooks" / "stage.yml").write_text(json.dumps([play]))
    hands.begin([Begun(1, Step("thor-01", "stage", NEW))])
    error = collected(hands, 1)[1].answer.error
    assert error is not None
    assert error.code == ("agent_garbage" if rescued else "agent_not_installed")
    assert ("it came to staging" if rescued else "the disk is full") in error.message


def test_another_verb_that_went_well_is_no_answer() -> None:
    assert answer_of(end("ok", {"agent": document("status", STATUS)}), "stage") is None
    assert answer_of(end("ok", {"agent": document("stage", {})}), "activate") is None


def test_agent_that_could_not_be_installed_is_told_by_device_and_remedy() -> None:
    task = TaskEnd("thor-01", "Install the agent", "thor_files", "failed", {"msg": "disk full"}, "thor_host")
    answer = answer_of(task, "stage")
    assert answer is not None
    assert answer.error is not None
    assert (answer.error.code, answer.reached) == ("agent_not_installed", True)
    assert "disk full" in answer.error.message
    assert "--limit thor-01" in answer.error.remedy


FAILED: list[tuple[str, TaskEnd, str, bool, str]] = [
    (
        "the agent's own error",
        end(
            "failed",
            {
                "code": "disk_too_small",
                "msg": "…",
                "agent": document("stage", {}, {"code": "disk_too_small"}),
            },
        ),
        "disk_too_small",
        True,
        "m",
    ),
    ("not reached", end("unreachable", {"msg": "ssh: no route"}), "device_unreachable", False, "no route"),
    (
        "silent while it worked",
        end("failed", {"code": "unreachable", "msg": "gone"}),
        "device_unreachable",
        False,
        "gone",
    ),
    (
        "restarted while it worked",
        end("failed", {"code": "rebooted", "msg": "up"}),
        "device_unreachable",
        False,
        "up",
    ),
    ("too long", end("failed", {"code": "timeout", "msg": "late"}), "agent_timeout", True, "late"),
    ("no agent", end("failed", {"code": "agent_missing", "msg": "none"}), "agent_missing", True, "none"),
    ("no code", end("failed", {"msg": "module crashed"}), "agent_garbage", True, "crashed"),
    ("another task", end("failed", {"msg": "template"}, "set_fact"), "agent_garbage", True, "template"),
    ("ok without an answer", end("ok", {}), "agent_garbage", True, "without saying"),
    (
        "ok, and it says it failed",
        end("ok", {"agent": document("stage", {}, {"code": "busy"})}),
        "agent_garbage",
        True,
        "m",
    ),
]


@pytest.mark.parametrize("case", FAILED, ids=[case[0] for case in FAILED])
def test_a_task_that_failed(case: tuple[str, TaskEnd, str, bool, str]) -> None:
    _, task, code, reached, words = case
    answer = answer_of(task, "stage")
    assert answer is not None
    assert answer.error is not None
    assert (answer.error.code, answer.reached) == (code, reached)
    assert words in answer.error.message
