"""Commands in the remedies of rollout, lease and rollback are typed, and what was refused then succeeds."""

from __future__ import annotations

import re
import shlex
import signal
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from tests.rollout.operators import ANN, BOB, NAMES, Death, Operator, World
from thorctl.result import Exit
from thorctl.rollout.run.controller_lock import only_one

if TYPE_CHECKING:
    from collections.abc import Iterator

    from thorctl.result import Problem, Result

CANARY = NAMES[0]
TRIAL = Death(CANARY, "activate", "after")
START = ("rollout", "start", "m", "--soak", "60", "--yes")


@pytest.fixture
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with pytest.MonkeyPatch.context() as patch, ExitStack() as exits:
        world = World(tmp_path_factory.mktemp("fleet"), patch, exits)
        world.begin()
        yield world


def refused(result: Result, code: str) -> Problem:
    (problem,) = result.errors
    assert problem.code == code, problem
    return problem


def typed(world: World, who: Operator, problem: Problem, verb: str) -> Result:
    """Type the command of the remedy that begins with ``verb``."""
    (command,) = re.findall(rf"`thorctl ({verb}[^`]*)`", problem.remedy)
    return world.thorctl(who, *shlex.split(command), "--yes")


@pytest.mark.parametrize("verb", ["rollout resume", "rollout abort"])
def test_rollout_unfinished_until_it_is_resumed_or_aborted(world: World, verb: str) -> None:
    world.killed(TRIAL)
    problem = refused(world.thorctl(ANN, *START), "rollout_unfinished")
    ended = typed(world, ANN, problem, verb)
    assert ended.data["status"] in {"finished", "aborted"}, ended
    again = world.thorctl(ANN, *START)
    assert again.exit_code == Exit.SUCCESS
    assert [world.journal(name).current for name in NAMES] == [world.new[name].id for name in NAMES]


def test_rollout_unknown_until_one_is_started(world: World) -> None:
    problem = refused(world.thorctl(ANN, "rollout", "status"), "rollout_unknown")
    assert "`thorctl rollout start PROFILE`" in problem.remedy
    rollout = world.start(ANN).data["id"]
    assert world.thorctl(ANN, "rollout", "status").data["id"] == rollout
    other = refused(world.thorctl(ANN, "rollout", "status", "20000101-1"), "rollout_unknown")
    assert rollout in other.remedy


def test_rollout_ended_is_followed_by_a_new_one(world: World) -> None:
    world.start(ANN)
    problem = refused(world.thorctl(ANN, "rollout", "pause"), "rollout_ended")
    assert "`thorctl history`" in problem.remedy
    assert world.thorctl(ANN, "history").data["rollouts"]
    assert world.start(ANN).exit_code == Exit.SUCCESS


def test_rollout_at_work_until_it_has_ended(world: World) -> None:
    rollout = world.killed(TRIAL)
    with only_one(rollout):
        problem = refused(world.thorctl(ANN, "rollout", "resume", "--yes"), "rollout_at_work")
        assert f"`thorctl rollout pause {rollout}`" in problem.remedy
        assert world.thorctl(ANN, "rollout", "pause", rollout).exit_code == Exit.SUCCESS
    assert world.thorctl(ANN, "rollout", "resume", "--yes").data["status"] == "finished"


def test_rollout_interrupted_until_it_is_resumed(world: World) -> None:
    step = world.step

    def interrupted(*words: object) -> object:
        world.patch.setattr(world, "step", step)
        signal.raise_signal(signal.SIGTERM)
        return step(*words)  # type: ignore[arg-type]  # passed through as they came

    world.patch.setattr(world, "step", interrupted)
    problem = refused(world.thorctl(ANN, *START), "rollout_interrupted")
    assert typed(world, ANN, problem, "rollout resume").data["status"] == "finished"


def test_nothing_to_approve_but_a_later_wave_in_advance(world: World) -> None:
    world.killed(TRIAL)
    problem = refused(world.thorctl(ANN, "rollout", "approve", "--yes"), "nothing_to_approve")
    assert "--wave N" in problem.remedy
    assert world.thorctl(ANN, "rollout", "approve", "--wave", "2", "--yes").errors == ()


def test_leased_until_the_lease_is_given_back(world: World) -> None:
    taken = world.thorctl(ANN, "lease", "take", CANARY, "--reason", "antenna")
    assert taken.exit_code == Exit.SUCCESS
    problem = refused(world.thorctl(BOB, "rollback", CANARY, "--yes"), "leased")
    assert typed(world, BOB, problem, f"lease give {CANARY} --force").exit_code == Exit.SUCCESS
    # No other release was committed on this device: the refusal is another one now.
    refused(world.thorctl(BOB, "rollback", CANARY, "--yes"), "nothing_to_roll_back")


def test_nothing_to_roll_back_until_a_release_is_rolled_out(world: World) -> None:
    problem = refused(world.thorctl(ANN, "rollback", CANARY, "--yes"), "nothing_to_roll_back")
    assert "`thorctl rollout start" in problem.remedy
    world.start(ANN)
    assert world.thorctl(ANN, "rollback", CANARY, "--yes").exit_code == Exit.SUCCESS
    assert world.journal(CANARY).current == world.old[CANARY].id


def test_not_held_unless_the_option_is_left_out(world: World) -> None:
    problem = refused(world.thorctl(ANN, *START, "--over-hold", CANARY), "not_held")
    shown = world.thorctl(ANN, "hold", "show", CANARY)
    assert f"`thorctl hold show {CANARY}`" in problem.remedy
    assert shown.exit_code == Exit.SUCCESS
    assert world.thorctl(ANN, *START).exit_code == Exit.SUCCESS


def test_consent_missing_until_yes_is_given(world: World) -> None:
    problem = refused(world.thorctl(ANN, "rollout", "start", "m", "--soak", "60"), "consent_missing")
    assert "--yes" in problem.remedy
    assert world.thorctl(ANN, *START).exit_code == Exit.SUCCESS


def test_device_failed_shows_its_steps_and_its_release_is_back(world: World) -> None:
    world.bad = True
    result = world.thorctl(ANN, *START)
    problem = next(one for one in result.errors if one.code == "device_failed")
    (command,) = re.findall(r"`thorctl (history show [^`]*)`", problem.remedy)
    shown = world.thorctl(ANN, *shlex.split(command))
    assert "smoke_failed" in {step["code"] for step in shown.data["steps"]}
    assert world.journal(CANARY).current == world.old[CANARY].id
