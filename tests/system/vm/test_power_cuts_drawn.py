"""The moments of the power cuts: reproducible by their seed, and spread over every phase."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

import pytest

from tests.system.vm.power_cuts import LONGEST_PAUSE_SECONDS, PHASES, STARTS, draw

COUNT = 40


def test_a_seed_gives_the_same_cuts_again_and_another_seed_others() -> None:
    assert draw(12345, COUNT) == draw(12345, COUNT)
    assert draw(12345, COUNT) != draw(12346, COUNT)


@pytest.mark.parametrize("count", [40, 43, 50])
def test_every_phase_has_its_share_of_forty_and_no_gap(count: int) -> None:
    cuts = draw(7, count)
    assert [cut.number for cut in cuts] == list(range(1, count + 1))
    share = Counter(cut.phase for cut in cuts)
    assert set(share) == set(PHASES)
    assert max(share.values()) - min(share.values()) <= 1
    for phase in PHASES:
        moments = sorted(cut.fraction for cut in cuts if cut.phase == phase)
        longest = 2 / len(moments)
        assert all(0 <= moment < 1 for moment in moments)
        assert all(later - earlier <= longest for earlier, later in pairwise([0.0, *moments, 1.0]))


def test_a_phase_is_cut_from_each_of_its_starts() -> None:
    cuts = draw(7, COUNT)
    for phase, starts in STARTS.items():
        assert {cut.start for cut in cuts if cut.phase == phase} == set(starts)


def test_some_cuts_come_at_once_and_some_a_moment_later() -> None:
    pauses = [cut.pause for cut in draw(7, COUNT)]
    assert 0.0 in pauses
    assert any(0 < pause <= LONGEST_PAUSE_SECONDS for pause in pauses)


def test_the_name_says_how_to_see_it_again() -> None:
    cut = draw(12345, COUNT)[16]
    assert cut.name(12345).startswith("cut 17: activate from staged at ")
    assert cut.name(12345).endswith("% [seed 12345]")
