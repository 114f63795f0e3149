"""A rollout attacked by its operators: its controller is killed in each phase, then two orders are given.

By its operator, by the same person from another state folder, and by another person. Whatever the two orders
are, no device ends on a trial that nobody will end, no wave counts what is not so, every refusal says what to
type, and after all of it the release still reaches both devices.
"""

from __future__ import annotations

import itertools
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from tests.rollout.operators import ANN, ANN_ELSEWHERE, BOB, EXPIRED, NAMES, Death, Operator, World
from thorctl.rollout.model.phases import Phase
from thorctl.rollout.model.state import owner
from thorctl.store import rollouts
from thorctl.store.connection import opened

if TYPE_CHECKING:
    from collections.abc import Iterator

    from thorctl.result import Result

CANARY, SECOND = NAMES
DEATHS = {
    "staged": Death(CANARY, "stage", "after"),
    "leased": Death(CANARY, "take", "after"),
    "before the activation": Death(CANARY, "activate", "before"),
    "activating": Death(CANARY, "activate", "middle"),
    "on trial": Death(CANARY, "activate", "after"),
    "smoked": Death(CANARY, "smoke", "after"),
    "soaking": Death(CANARY, "look", "after", "soaking"),
    "before the commit": Death(CANARY, "commit", "before"),
    "committed": Death(CANARY, "commit", "after"),
    "before the rollback": Death(CANARY, "rollback", "before"),
    "rolled back": Death(CANARY, "rollback", "after"),
    "second on trial": Death(SECOND, "activate", "after"),
}
BAD = {"before the rollback", "rolled back"}  # the release fails its smoke test
START = ("rollout", "start", "m", "--soak", "60", "--yes")
ORDERS: dict[str, tuple[Operator, tuple[str, ...]]] = {
    "start": (ANN, START),
    "resume": (ANN, ("rollout", "resume", "--yes")),
    "abort": (ANN, ("rollout", "abort", "--yes")),
    "rollback": (ANN, ("rollback", CANARY, "--yes")),
    "lease": (ANN, ("lease", "take", CANARY, "--reason", "antenna")),
    "give": (ANN, ("lease", "give", CANARY)),
    "lease by force": (ANN, ("lease", "take", CANARY, "--reason", "antenna", "--force", "--yes")),
    "hold": (ANN, ("hold", "set", CANARY, "--reason", "on patrol", "--yes")),
    "start elsewhere": (ANN_ELSEWHERE, START),
    "bob starts": (BOB, START),
    "bob rolls back": (BOB, ("rollback", CANARY, "--yes")),
    "bob gives by force": (BOB, ("lease", "give", CANARY, "--force", "--yes")),
}
ROWS = list(itertools.product(DEATHS, ORDERS, ORDERS))
EVERY = 83  # of the rows, one stands for so many in `make test`: a prime, so that all deaths and orders occur
QUICK = 5 * EVERY  # and in `make quick`
ALWAYS = {
    # The commit is refused for as long as the lease lasts: it was tried again at once, for ever.
    ("soaking", "lease by force", "resume"),
    ("before the commit", "lease by force", "resume"),
    # The device is busy with an activation that its dead controller began.
    ("activating", "rollback", "bob starts"),
}


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with pytest.MonkeyPatch.context() as patch, ExitStack() as exits:
        world = World(tmp_path_factory.mktemp("fleet"), patch, exits)
        world.begin()
        yield world


@pytest.fixture
def world(fleet: World) -> World:
    fleet.again()
    return fleet


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    ("death", "first", "second"),
    [
        pytest.param(
            *row,
            marks=[
                *([pytest.mark.slow] if number % QUICK else []),
                *([pytest.mark.long] if number % EVERY and row not in ALWAYS else []),
            ],
            id="-".join(row),
        )
        for number, row in enumerate(ROWS)
    ],
)
def test_killed_and_two_orders(world: World, death: str, first: str, second: str) -> None:
    world.bad = death in BAD
    rollout = world.killed(DEATHS[death])
    for name in (first, second):
        who, words = ORDERS[name]
        result = world.thorctl(who, *words)
        check_refusals(result, rollout)
        check_counts(world, who, result)
    world.pass_time(EXPIRED)
    for name, device in world.devices.items():
        journal = world.journal(name)
        assert journal.state == "committed"
        assert device.systemd.running_release() == journal.running
        assert device.done("lease", "show") == {"lease": None}
    check_way_out(world)


def check_refusals(result: Result, rollout: str) -> None:
    """Each says what to type."""
    for error in result.errors:
        said = f"{error.message} {error.remedy}"
        assert "thorctl " in said, error
        assert error.code != "device_unreachable", error  # nobody left the double of the network
        if error.code in {"rollout_unfinished", "rollout_overtaken"}:
            assert f"thorctl rollout abort {rollout}" in said, error
        if error.code == "leased":
            assert "thorctl lease give" in said, error


def check_counts(world: World, who: Operator, result: Result) -> None:
    """What the rollout that just came to an end or a pause says of its devices is so."""
    if "devices" not in result.data or "waves" not in result.data:
        return
    with opened() as db:
        kept = rollouts.get(db, result.data["id"])
    assert kept is not None
    state = next(one for one in world.states(who) if one.brief.id == kept.id)
    for name, one in state.devices.items():
        journal = world.journal(name)
        ours = journal.state in {"activating", "trial"} and journal.activated_by == str(owner(kept))
        assert not ours or one.phase is Phase.UNREACHABLE, f"{name} is left {journal.state}: {one}"
        serves = journal.state == "committed" and journal.current == one.target
        assert one.phase is not Phase.UPDATED or serves, f"{name} counts as well: {journal}"
        assert one.phase not in {Phase.FAILED, Phase.ROLLED_BACK} or not serves, (
            f"{name} is {one.phase}: {one.why}"
        )
    counted = sum(sum(wave["counts"].values()) for wave in result.data["waves"][:2])
    assert counted == len(state.devices)


def check_way_out(world: World) -> None:
    """Nothing is at a dead end: what is open can be ended, and the release then reaches both devices."""
    world.thorctl(ANN, "hold", "release", CANARY, "--yes")
    for who in (ANN, ANN_ELSEWHERE, BOB):
        for state in world.states(who):
            if state.ended is None:
                result = world.thorctl(who, "rollout", "abort", state.brief.id, "--yes")
                assert str(result.data["status"]).startswith("aborted"), result
    world.bad = False
    world.start(ANN)
    assert [world.journal(name).current for name in NAMES] == [world.new[name].id for name in NAMES]
