"""Progress: every step of a verb is told, however fast it follows; bytes are told now and then."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from thorctl.agent.core.paths import Paths
from thorctl.agent.core.progress import WRITE_EVERY_SECONDS, Progress

if TYPE_CHECKING:
    from pathlib import Path


class StoppedClock:
    """Stands still until it is moved."""

    seconds = 1000.0

    def now(self) -> float:
        return self.seconds

    def monotonic(self) -> float:
        return self.seconds


@pytest.fixture
def clock() -> StoppedClock:
    return StoppedClock()


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    found = Paths(tmp_path)
    found.run_dir.mkdir(parents=True)
    return found


def told(paths: Paths) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(paths.progress_json.read_text())
    return document


def test_a_new_message_is_told_at_once(paths: Paths, clock: Any) -> None:
    progress = Progress(paths, clock, "bench")
    progress.update("bench", message="waiting for the engine")
    progress.update("bench", message="single: 1 of 3")
    assert told(paths)["message"] == "single: 1 of 3"


def test_bytes_are_told_now_and_then(paths: Paths, clock: Any) -> None:
    progress = Progress(paths, clock, "stage")
    progress.update("image", done_bytes=1, total_bytes=9)
    progress.update("image", done_bytes=2, total_bytes=9)
    assert told(paths)["done_bytes"] == 1
    clock.seconds += WRITE_EVERY_SECONDS
    progress.update("image", done_bytes=3, total_bytes=9)
    assert (told(paths)["done_bytes"], told(paths)["bytes_per_second"]) == (3, 4)


def test_a_new_phase_counts_anew(paths: Paths, clock: Any) -> None:
    progress = Progress(paths, clock, "stage")
    progress.update("image", done_bytes=8, total_bytes=9)
    progress.update("checkpoint", done_bytes=0, total_bytes=100)
    assert (told(paths)["phase"], told(paths)["done_bytes"]) == ("checkpoint", 0)
