from __future__ import annotations

import queue
import threading
from typing import TYPE_CHECKING

import pytest

from thorctl.rollout.model.scheduler import Step
from thorctl.rollout.run.batches import Batches
from thorctl.rollout.run.controller import Begun

if TYPE_CHECKING:
    from collections.abc import Sequence

PATIENCE_SECONDS = 60.0


class Played:
    """What was played, in the order it was begun."""

    def __init__(self, *, quiet: float, longest: float = 60.0) -> None:
        self.queue: queue.Queue[tuple[str, list[str]]] = queue.Queue()
        self.closed = threading.Event()
        self.batches = Batches(self._play, self.closed, quiet=quiet, longest=longest)

    def _play(self, verb: str, steps: Sequence[Begun]) -> None:
        self.queue.put((verb, [begun.step.device for begun in steps]))

    def add(self, verb: str, *devices: str) -> None:
        self.batches.add(verb, [Begun(1, Step(name, verb, "new")) for name in devices])

    def next(self) -> tuple[str, list[str]]:
        return self.queue.get(timeout=PATIENCE_SECONDS)


def test_devices_that_get_ready_one_after_the_other_share_a_playbook() -> None:
    played = Played(quiet=1.0)
    for name in ("a", "b", "c"):
        played.add("stage", name)
    assert played.next() == ("stage", ["a", "b", "c"])


def test_each_verb_has_batches_of_its_own() -> None:
    played = Played(quiet=0.2)
    played.add("stage", "a")
    played.add("activate", "b")
    assert sorted([played.next(), played.next()]) == [("activate", ["b"]), ("stage", ["a"])]


def test_who_comes_after_a_batch_has_begun_is_in_the_next() -> None:
    played = Played(quiet=0.05)
    played.add("stage", "a")
    assert played.next() == ("stage", ["a"])
    played.add("stage", "b")
    assert played.next() == ("stage", ["b"])


def test_the_first_is_not_kept_waiting_by_those_that_keep_coming() -> None:
    played = Played(quiet=PATIENCE_SECONDS, longest=0.05)
    played.add("stage", "a")
    assert played.next() == ("stage", ["a"])


def test_what_is_gathered_when_the_hands_let_go_is_not_played() -> None:
    played = Played(quiet=PATIENCE_SECONDS, longest=PATIENCE_SECONDS)
    played.add("stage", "a")
    played.closed.set()
    for thread in played.batches.threads:
        thread.join(PATIENCE_SECONDS)
        assert not thread.is_alive()
    with pytest.raises(queue.Empty):
        played.queue.get_nowait()
