"""The table of ``thorctl preflight`` in a playbook: the same reports and view."""

from __future__ import annotations

import shutil
from io import StringIO
from typing import TYPE_CHECKING, Any

from thorctl.preflight.report import report
from thorctl.preflight.view import PreflightView
from thorctl.remote.answer import Answer
from thorctl.result import Problem
from thorctl.ui.console import Console

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

INDENT = 4  # columns that Ansible puts before each line
NARROWEST = 60


def reported(result: Mapping[str, Any], device: str, release: Mapping[str, Any]) -> dict[str, Any]:
    """Return a ``thor_agent`` task's result, failed or not, as a report for ``release``."""
    agent = result.get("agent")
    error = None
    if not isinstance(agent, dict) or agent.get("ok") is not True:
        error = Problem(str(result.get("code") or "failed"), str(result.get("msg") or ""), "", device)
    return report(device, release, Answer(device, object=agent, error=error, reached=agent is not None))


def table(reports: Sequence[Mapping[str, Any]]) -> str:
    """Format the reports for the terminal's width."""
    width = max(NARROWEST, shutil.get_terminal_size((120, 24)).columns - INDENT)
    out = StringIO()
    Console(file=out, width=width, coloured=False).print(PreflightView(reports))
    return "\n".join(line.rstrip() for line in out.getvalue().rstrip().split("\n"))
