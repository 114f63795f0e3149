"""Judgements that only Ansible itself can evaluate, by real ansible-playbook on this machine."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from tests.playbooks.playbook_run import PLAYBOOKS, PlaybookRun, warm_playbook

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.slow  # starts Ansible

ROLES = PLAYBOOKS / "roles"
MODULE = "thorctl.thor.thor_system"


def run(folder: Path, *tasks: dict[str, Any]) -> PlaybookRun:
    """Runs tasks here, without a device."""
    book = folder / "book.yml"
    play = {"hosts": "all", "connection": "local", "gather_facts": False, "tasks": list(tasks)}
    book.write_text(yaml.safe_dump([play]))
    return warm_playbook("-i", "here,", str(book))


@pytest.mark.parametrize("zone", ["America/New_York", "UTC"])
def test_the_controller_s_seconds_do_not_depend_on_its_zone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, zone: str
) -> None:
    monkeypatch.setenv("TZ", zone)
    tasks = yaml.safe_load((ROLES / "thor_time" / "tasks" / "sync.yml").read_text())
    (told,) = (task[MODULE]["controller_time"] for task in tasks if MODULE in task)
    out = tmp_path / "said"
    before = time.time()
    done = run(tmp_path, {"ansible.builtin.copy": {"dest": str(out), "content": told, "mode": "0600"}})
    assert done.exit_code == 0, done.text
    assert before <= json.loads(out.read_text()) <= time.time()


class TestCheck:
    def check(self, folder: Path, **more: Any) -> PlaybookRun:
        off = {"thor_host_ipv6": False, "thor_host_swap_size": None, **more}
        task = {"ansible.builtin.include_role": {"name": "thor_host", "tasks_from": "check"}, "vars": off}
        return run(folder, task)

    def test_a_watchdog_that_the_device_cannot_have_is_refused(self, tmp_path: Path) -> None:
        done = self.check(tmp_path, thor_host_watchdog_seconds=300)
        assert done.exit_code != 0
        assert "watchdog_too_long: 300 s" in done.text

    def test_ipv6_is_not_switched_off_under_whoever_came_by_it(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("SSH_CONNECTION", "2001:db8::7 51022 2001:db8::11 22")
        done = self.check(tmp_path)
        assert done.exit_code != 0
        assert "ipv6_in_use: here is reached by IPv6 (2001:db8::7 51022 2001:db8::11 22)" in done.text

    @pytest.mark.parametrize("came_by", ["192.0.2.7 51022 192.0.2.11 22", None])
    def test_ipv6_is_switched_off_where_nobody_did(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, came_by: str | None
    ) -> None:
        monkeypatch.delenv("SSH_CONNECTION", raising=False)
        if came_by:
            monkeypatch.setenv("SSH_CONNECTION", came_by)
        done = self.check(tmp_path)
        assert done.exit_code == 0, done.text

    def test_a_desktop_that_keeps_the_device_reachable_stays(self, tmp_path: Path) -> None:
        facts = {"default_target": "graphical.target", "network": {"connections": [HOME, OTHER]}}
        done = self.check(tmp_path, thor_host_ipv6=True, thor_host_headless=True, thor_host_facts=facts)
        assert done.exit_code != 0
        assert "login_needed: here is reached over Home, whose" in " ".join(done.text.split())


HOME = {"name": "Home", "management": None, "needs_login": ["802-11-wireless-security.psk-flags=1"]}
OTHER = {"name": "Other", "management": False, "needs_login": ["connection.autoconnect=no"]}
LOST: list[tuple[dict[str, Any], list[str]]] = [
    ({"thor_host_facts": {"network": {"connections": [HOME, OTHER]}}}, ["Home"]),
    ({"thor_host_facts": {"network": {"connections": [OTHER, {**HOME, "needs_login": []}]}}}, []),
    ({"thor_host_facts": {"network": {"connections": None}}}, []),
    ({"thor_host_facts": {"network": None}}, []),
    ({"thor_host_facts": {}}, []),
]
LOST += [({**LOST[0][0], "thor_preflight_skip": skip}, []) for skip in ("network", ["disk", "network"])]


def test_which_connections_a_restart_would_lose(tmp_path: Path) -> None:
    lost = yaml.safe_load((ROLES / "thor_host" / "vars" / "main.yml").read_text())["__thor_host_lost"]
    expression = lost.strip().removeprefix("{{").removesuffix("}}")
    told = [
        {"ansible.builtin.assert": {"that": f"({expression}) == {names}"}, "vars": given}
        for given, names in LOST
    ]
    done = run(tmp_path, *told)
    assert done.exit_code == 0, done.text


def test_a_foreign_repository_that_is_gone_is_told_not_refused(tmp_path: Path) -> None:
    (block,) = yaml.safe_load((ROLES / "thor_runtime" / "tasks" / "lists.yml").read_text())
    del block["block"][0]["ansible.builtin.apt"]
    block["block"][0]["ansible.builtin.fail"] = {"msg": "Failed to update apt cache"}
    done = run(tmp_path, block)
    assert done.exit_code == 0, done.text
    assert "here: not all package lists could be renewed: Failed to update apt cache" in done.text


MODES = [
    (["NV Power Mode: 120W", "1"], "right"),
    (["NVPM WARN: fan mode is not set!", "NV Power Mode: 120W ", "1"], "right"),
    (["NV Power Mode: 1120W", "7"], "wrong"),
    (["NV Power Mode: 120WX", "7"], "wrong"),
    (["NVPM ERROR: bad input!"], "wrong"),
    ([], "wrong"),
]


def test_the_mode_a_device_came_back_in(tmp_path: Path) -> None:
    *_, restart = yaml.safe_load((ROLES / "thor_host" / "tasks" / "reboot.yml").read_text())
    wrong = restart["block"][-1]["failed_when"]
    told = [
        {
            "ansible.builtin.assert": {"that": f"(({wrong}) | ternary('wrong', 'right')) == '{judged}'"},
            "vars": {"__thor_host_came_back": {"stdout_lines": lines}, "thor_host_power_mode": "120W"},
        }
        for lines, judged in MODES
    ]
    done = run(tmp_path, *told)
    assert done.exit_code == 0, done.text


WATCHDOGS: list[tuple[dict[str, Any], Any, str]] = [
    ({"watchdog": {"device": True}}, 60, "file"),
    ({"watchdog": {"device": True}}, 0, "file"),  # off is a setting, too: Jetson Linux's own file says 120 s
    ({"watchdog": {"device": True}}, None, "absent"),
    ({"watchdog": {"device": False}}, 60, "absent"),
    ({"watchdog": {"device": None}}, 60, "file"),
    ({"watchdog": None}, 60, "file"),
    ({}, 60, "file"),
]


def test_where_the_watchdog_is_named(tmp_path: Path) -> None:
    text = yaml.safe_load((ROLES / "thor_host" / "vars" / "main.yml").read_text())["__thor_host_has_watchdog"]
    has = text.strip().removeprefix("{{").removesuffix("}}")
    told = [
        {
            "ansible.builtin.assert": {"that": f"(({has}) | ternary('file', 'absent')) == '{state}'"},
            "vars": {"thor_host_facts": facts, "thor_host_watchdog_seconds": seconds},
        }
        for facts, seconds, state in WATCHDOGS
    ]
    done = run(tmp_path, *told)
    assert done.exit_code == 0, done.text
