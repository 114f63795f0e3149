"""What changes every device at once: an end that nobody saw, a controller that takes over, a stop."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.rollout.cases import DEVICE, NOW
from thorctl.rollout.model.phases import Phase
from thorctl.rollout.model.transitions import interrupted, resumed, stopped

INTERRUPTED = {"activate": Phase.UNKNOWN, "smoke": Phase.UNKNOWN, "commit": Phase.UNKNOWN}


@pytest.mark.parametrize("verb", ["look", "stage", "take", "activate", "smoke", "commit", "rollback", "give"])
def test_a_step_whose_end_nobody_saw(verb: str) -> None:
    assert interrupted(replace(DEVICE, phase=Phase.READY), verb).phase is INTERRUPTED.get(verb, Phase.READY)


RESUMED = {
    Phase.LEASED: Phase.STAGED,
    Phase.MEASURING: Phase.STAGED,
    Phase.READY: Phase.STAGED,
    Phase.TRIAL: Phase.UNKNOWN,
    Phase.SOAKING: Phase.UNKNOWN,
    Phase.PASSED: Phase.UNKNOWN,
    Phase.UNREACHABLE: Phase.UNKNOWN,
    Phase.ROLLBACK_FAILED: Phase.ROLLBACK_REQUESTED,
}


@pytest.mark.parametrize("phase", list(Phase))
def test_another_controller_takes_over(phase: Phase) -> None:
    after = resumed(replace(DEVICE, phase=phase, due=NOW + 999, tries=3), NOW)
    assert after.phase is RESUMED.get(phase, phase)
    assert (after.due, after.tries) == (0, 0)


@pytest.mark.parametrize("phase", list(Phase))
@pytest.mark.parametrize("returns", [False, True])
def test_a_stop_leaves_nobody_on_trial_or_prepared(phase: Phase, returns: bool) -> None:
    after = stopped(replace(DEVICE, phase=phase, changed=True), returns=returns).phase
    assert after not in {Phase.LEASED, Phase.READY, Phase.TRIAL, Phase.SOAKING, Phase.PASSED}
    if phase is Phase.UPDATED:
        assert after is (Phase.ROLLBACK_REQUESTED if returns else Phase.UPDATED)
