"""A skipped test is a failed run: a tool that is missing must be installed, not stepped over."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from _pytest.terminal import TerminalReporter


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Turns a green run with skips into a failed one."""
    reporter: TerminalReporter | None = session.config.pluginmanager.get_plugin("terminalreporter")
    if reporter and reporter.stats.get("skipped") and session.exitstatus == pytest.ExitCode.OK:
        reporter.write_line("skipped tests count as failures here: install what they name", red=True)
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
