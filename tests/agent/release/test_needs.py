"""What a release needs, looked up with as few calls as it takes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.support.device_double import Programs, make_context
from thorctl.agent.release import needs
from thorctl.agent.verbs import facts

if TYPE_CHECKING:
    from pathlib import Path


def test_disk_figures_start_no_program_and_are_those_of_facts(tmp_path: Path) -> None:
    programs = Programs()
    ctx = make_context(tmp_path, programs)
    found = needs.space(ctx)
    assert programs.calls == []
    every = facts.collect(ctx).disk
    assert found.same_filesystem is every.same_filesystem is True
