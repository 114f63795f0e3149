"""Adapt Ansible commands in remedies to this project.

Messages name the playbooks as in a checkout, ``cd playbooks && ansible-playbook NAME.yml``. A project of
``thorctl init`` has no such folder: its ``site.yml`` is its own, the others are the collection's.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from thorctl.result import Result

_ANSIBLE = re.compile(r"\bcd playbooks && (?P<program>ansible(?:-playbook)?) (?:(?P<playbook>\w+)\.yml)?")
_OWN = "site"


def typed(result: Result, project: Path) -> Result:
    """Return the result with remedies whose commands work in the folder ``project``."""
    if (project / "playbooks" / "ansible.cfg").is_file():
        return result
    errors = (replace(one, remedy=_in_project(one.remedy)) for one in result.errors)
    return replace(result, errors=tuple(errors))


def _in_project(remedy: str) -> str:
    def command(match: re.Match[str]) -> str:
        playbook = match["playbook"]
        if not playbook:
            return f"{match['program']} "
        return f"{match['program']} {f'{_OWN}.yml' if playbook == _OWN else f'thorctl.thor.{playbook}'}"

    return _ANSIBLE.sub(command, remedy)
