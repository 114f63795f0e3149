"""The playbook's preflight: every device's answer is shown in one table before any of them fails the play."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ruamel.yaml import YAML

from tests.playbooks.playbook_run import PLAYBOOKS
from tests.support.doubles.reported import RELEASE, item, said
from thorctl.ansible_plugins.preflight_table import reported, table

if TYPE_CHECKING:
    from typing import Any

    import pytest

# As Ansible hands them on: `failed_when: false` has taken the word "failed" from the second one.
PASSED = {"changed": False, "agent": said(item("soc"), item("swap", "warn"))}
REFUSED = {
    "changed": False,
    "failed": False,
    "agent": said(item("soc", "fail")),
    "code": "preflight_failed",
    "msg": "preflight_failed: 1 of 1 checks failed.",
}
SILENT = {"changed": False, "failed": True, "code": "agent_missing", "msg": "agent_missing: There is none."}


def test_a_failed_result_is_one_whatever_ansible_was_told_of_it() -> None:
    assert reported(PASSED, "thor-01", RELEASE)["error"] is None
    assert reported(REFUSED, "thor-02", RELEASE)["error"]["code"] == "preflight_failed"
    silent = reported(SILENT, "thor-03", RELEASE)
    assert (silent["error"]["code"], silent["items"], silent["reachable"]) == ("agent_missing", [], False)


def test_the_table_is_that_of_the_command_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    results: dict[str, dict[str, Any]] = {"thor-01": PASSED, "thor-02": REFUSED, "thor-03": SILENT}
    text = table([reported(result, name, RELEASE) for name, result in results.items()])
    assert max(map(len, text.splitlines())) <= 96
    assert "to skip this check: --skip soc (in a playbook -e thor_preflight_skip=soc)" in text
    assert "agent_missing" in text
    assert "Model card" in text
    assert text.endswith("1 of 3 devices can take their release, with 1 warning.")
    assert table([reported(PASSED, "thor-01", RELEASE)]).endswith(
        "thor-01 can take qwable-0123456789ab, with 1 warning."
    )


def test_the_role_shows_before_it_judges() -> None:
    tasks = YAML(typ="safe").load(PLAYBOOKS / "roles/thor_preflight/tasks/preflight.yml")
    asks, _, shows, judges = tasks
    assert asks["failed_when"] is False
    assert "thor_preflight_table" in shows["ansible.builtin.debug"]["msg"]
    assert "ok" in judges["when"]
    assert "ansible.builtin.fail" in judges
