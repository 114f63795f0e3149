"""Commands of Ansible in remedies work in a checkout and in a project that ``thorctl init`` made."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.simulated import CHECKOUT
from thorctl import shipped
from thorctl.cli import commands
from thorctl.cli.main import run
from thorctl.result import Problem, Result

if TYPE_CHECKING:
    from pathlib import Path

REMEDIES = {
    "See `cd playbooks && ansible-playbook site.yml -l x`.": "See `ansible-playbook site.yml -l x`.",
    "Run `cd playbooks && ansible-playbook rollback.yml --limit x`, then `thorctl status`.": (
        "Run `ansible-playbook thorctl.thor.rollback --limit x`, then `thorctl status`."
    ),
    "Run `cd playbooks && ansible x --become -a 'systemctl start y'`.": (
        "Run `ansible x --become -a 'systemctl start y'`."
    ),
    "Run `cd playbooks`.": "Run `cd playbooks`.",
}


def remedy_in(project: Path, remedy: str) -> str:
    (problem,) = commands.typed(Result("x", errors=(Problem("c", "m", remedy),)), project).errors
    return problem.remedy


@pytest.mark.parametrize("remedy", REMEDIES)
def test_playbooks_are_the_collection_s_outside_of_a_checkout(tmp_path: Path, remedy: str) -> None:
    assert remedy_in(CHECKOUT, remedy) == remedy
    assert remedy_in(tmp_path, remedy) == REMEDIES[remedy]


def test_playbooks_of_the_collection_exist() -> None:
    assert (shipped.playbooks() / "rollback.yml").is_file()


def test_an_error_of_a_verb_names_commands_of_its_project(tmp_path: Path) -> None:
    run(["init", str(tmp_path / "fleet")])
    assert (tmp_path / "fleet" / "site.yml").is_file()
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path / "fleet")
        typed: list[Path] = []

        def note(result: Result, project: Path) -> Result:
            typed.append(project)
            return result

        patch.setattr(commands, "typed", note)
        run(["render", "nobody", "--out", "x"])
    assert typed == [tmp_path / "fleet"]
