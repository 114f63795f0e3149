"""State machines of hypothesis that are counted: each run through to its end is one random sequence."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, ClassVar

from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PROVED = "proved: random sequences"
TIMEOUT = 6 * 3600  # thousands of them on a busy machine; each has no limit of its own


def how_many(usual: int) -> int:
    """How many examples hypothesis is to make: ``usual``, or what THORCTL_SEQUENCES says."""
    return int(os.environ.get("THORCTL_SEQUENCES") or usual)


def examples(usual: int) -> int:
    """``usual``, or fewer in ``make quick``, whose profile says how many."""
    quick = settings.get_current_profile_name() == "quick"
    return min(usual, settings().max_examples) if quick else usual


class CountedMachine(RuleBasedStateMachine):
    """Counts its runs. A subclass's ``teardown`` calls this one's last, when all it asserts has held."""

    runs: ClassVar[int] = 0

    def teardown(self) -> None:
        """One more."""
        CountedMachine.runs += 1


def counted(record_property: Callable[[str, object], None]) -> Iterator[None]:
    """The body of a fixture: says how many runs there were while the test ran."""
    before = CountedMachine.runs
    yield
    record_property(PROVED, CountedMachine.runs - before)
