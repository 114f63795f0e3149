"""The line of counts at the end of a test run: only what passed whole is in it."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.support.simulated import CHECKOUT

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.slow  # starts pytest

COUNTED = """
import pytest

@pytest.mark.parametrize("row", range(3))
def test_row(row, record_property):
    record_property("proved: fault rows", 1)

def test_sequences(record_property):
    record_property("proved: random sequences", 12000)
    record_property("seed", "not a count")

@pytest.fixture
def counted_late(record_property):
    yield
    record_property("proved: power cuts", 1)

def test_counts_when_it_is_over(counted_late):
    pass
"""

FAILED = """
import pytest

def test_fails(record_property):
    record_property("proved: fault rows", 1)
    assert False

@pytest.fixture
def breaks_afterwards():
    yield
    assert False

def test_cannot_clear_up(record_property, breaks_afterwards):
    record_property("proved: fault rows", 1)

@pytest.fixture
def counts_then_breaks(record_property):
    record_property("proved: fault rows", 1)
    assert False

def test_cannot_begin(counts_then_breaks):
    pass

@pytest.mark.skip(reason="not here")
def test_is_skipped(record_property):
    record_property("proved: fault rows", 1)
"""


def run(folder: Path, tests: str, *options: str) -> str:
    (folder / "test_it.py").write_text(tests)
    command = [sys.executable, "-m", "pytest", "-c", os.devnull, "--rootdir", str(folder), str(folder)]
    outer = {key: value for key, value in os.environ.items() if key != "PYTEST_ADDOPTS"}
    environment = outer | {"PYTHONPATH": str(CHECKOUT)}
    done = subprocess.run(
        [*command, "-p", "tests.plugins.proved", *options],
        cwd=folder,
        env=environment,
        text=True,
        capture_output=True,
        check=False,
    )
    return done.stdout + done.stderr


def test_what_passed_is_added_up_by_its_name(tmp_path: Path) -> None:
    output = run(tmp_path, COUNTED)
    assert "\nproved: 3 fault rows, 1 power cut, 12,000 random sequences\n" in output


def test_what_was_not_chosen_is_not_counted(tmp_path: Path) -> None:
    assert "\nproved: 3 fault rows\n" in run(tmp_path, COUNTED, "-k", "row")


def test_what_failed_broke_or_was_skipped_proves_nothing(tmp_path: Path) -> None:
    output = run(tmp_path, FAILED)
    assert "1 failed, 1 passed, 1 skipped, 2 errors" in output
    assert "\nproved: " not in output


def test_a_count_that_is_no_number_ends_the_run(tmp_path: Path) -> None:
    tests = "def test_row(record_property):\n    record_property('proved: fault rows', 'many')\n"
    assert "give a whole number" in run(tmp_path, tests)
