"""Power cuts in the middle of a rollout: whenever the power fails, one whole release serves afterwards.

A virtual Thor loses what its disk had not flushed, boots again, and is looked at from outside the agent.
When the power fails is drawn from THORCTL_SEED, by default one by chance; THORCTL_CUTS says how many cuts,
THORCTL_CUT=17 that only this one is made.
"""

from __future__ import annotations

import json
import os
import secrets
import time
from typing import TYPE_CHECKING

import pytest

from tests.system.vm.conftest import BOOT_TIMEOUT
from tests.system.vm.cut_verdict import NEW, NEXT, OLD, faults, may_serve, serves
from tests.system.vm.power_cuts import draw

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.system.vm.cut_world import CutWorld
    from tests.system.vm.power_cuts import Cut

pytestmark = [pytest.mark.sim, pytest.mark.vm, pytest.mark.timeout(BOOT_TIMEOUT)]

SEED = int(os.environ.get("THORCTL_SEED") or secrets.randbelow(1_000_000))
DRAWN = draw(SEED, int(os.environ.get("THORCTL_CUTS") or 40))
ONLY = [int(number) for number in os.environ.get("THORCTL_CUT", "").split(",") if number]
BY_THORCTL_EACH = 20  # the others by the agent's verbs, as thorctl gives them: a playbook takes minutes here
CUTS = [cut for cut in DRAWN if not ONLY or cut.number in ONLY]


@pytest.mark.parametrize("cut", CUTS, ids=[cut.name(SEED) for cut in CUTS])
def test_after_a_power_cut_one_whole_release_serves_and_a_rollout_succeeds(
    cut_world: CutWorld,
    cut: Cut,
    record_property: Callable[[str, object], None],
    capsys: pytest.CaptureFixture[str],
) -> None:
    began = time.monotonic()
    severed = cut_world.sever(cut)
    seen = cut_world.come_back()
    wrong = faults(seen, cut_world.releases, may_serve(cut, answered=severed.answered))
    assert wrong == [], json.dumps(seen, indent=1)
    served = serves(seen, cut_world.releases)
    back = time.monotonic()
    # What was interrupted must be possible after all; where it was kept, something newer.
    wanted = NEW if served == OLD else NEXT
    by_thorctl = cut.number % BY_THORCTL_EACH == 1
    cut_world.roll_out(wanted, by_thorctl=by_thorctl)
    again = cut_world.look()
    assert faults(again, cut_world.releases, (wanted,)) == [], json.dumps(again, indent=1)
    told = {
        "cut": cut.number,
        "phase": cut.phase,
        "start": cut.start,
        "operations": f"{severed.operations}/{severed.of}",
        "answered": severed.answered,
        "served": served,
        "rolled out": wanted + " by thorctl" * by_thorctl,
        "torn events": seen["events"]["torn"],
        "seconds": f"{back - began:.0f}+{time.monotonic() - back:.0f}",
    }
    with capsys.disabled():
        print(f"\n{cut.name(SEED)}: {json.dumps(told)}")  # noqa: T201 - the seed, and what came of it
    record_property("proved: power cuts", 1)
