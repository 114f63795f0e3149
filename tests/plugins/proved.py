"""What a run proved, in numbers: what its passed tests count by ``record_property("proved: fault rows", 1)``.

The last lines then say, say, ``proved: 108 fault rows, 40 power cuts, 12,000 random sequences``. A test that
failed, also only in its set-up or in its clearing up, or that did not run has proved nothing.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from _pytest.terminal import TerminalReporter

PREFIX = "proved: "


class Proved:
    """Adds up the properties of the tests that passed from their first phase to their last."""

    def __init__(self) -> None:
        self.total: Counter[str] = Counter()
        self.failed: set[str] = set()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """A test's properties are whole, and its fate is known, in the report of its teardown."""
        if not report.passed:
            self.failed.add(report.nodeid)
        if report.when == "teardown" and report.nodeid not in self.failed:
            for name, number in report.user_properties:
                if name.startswith(PREFIX):
                    self.total[name.removeprefix(PREFIX)] += _counted(name, number)

    def pytest_terminal_summary(self, terminalreporter: TerminalReporter) -> None:
        """One line, if anything was counted."""
        if line := sentence(self.total):
            terminalreporter.write_line(line)


def pytest_configure(config: pytest.Config) -> None:
    """One count a run."""
    config.pluginmanager.register(Proved(), "proved-counts")


def sentence(total: Counter[str]) -> str:
    """``proved: 1 power cut, 12,000 random sequences``; empty if there is nothing to tell."""
    counts = [f"{number:,} {_named(what, number)}" for what, number in sorted(total.items()) if number]
    return PREFIX + ", ".join(counts) if counts else ""


def _named(what: str, number: int) -> str:
    return what.removesuffix("s") if number == 1 else what


def _counted(name: str, number: object) -> int:
    if not isinstance(number, int):
        raise pytest.UsageError(f"record_property({name!r}, {number!r}): give a whole number.")
    return number
