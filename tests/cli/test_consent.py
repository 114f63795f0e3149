"""No verb changes a device unasked: on a terminal it asks, elsewhere it needs --yes."""

from __future__ import annotations

import importlib
import sys
from typing import TYPE_CHECKING

import click
import pytest

from tests.cli.rollout.test_rollout import half_way, kept
from tests.rollout.fleets import Fleet
from thorctl.cli import activate, commit, consent, hold, lease, main, rollback, stage
from thorctl.cli import devices as cli_devices
from thorctl.cli.consent import Consent
from thorctl.cli.main import run
from thorctl.remote.answer import Answer
from thorctl.result import Exit
from thorctl.store import rollouts
from thorctl.store.connection import opened

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from thorctl.inventory.devices import Device

pytestmark = pytest.mark.slow

ASKS = {
    "activate": ["activate", "thor-01"],
    "commit": ["commit", "thor-01"],
    "hold release": ["hold", "release", "thor-01"],
    "hold set": ["hold", "set", "thor-01", "--reason", "r"],
    "lease give": ["lease", "give", "thor-01", "--force"],
    "lease take": ["lease", "take", "thor-01", "--reason", "r", "--force"],
    "rollback": ["rollback", "thor-01"],
    "rollout abort": ["rollout", "abort"],
    "rollout approve": ["rollout", "approve", "--wave", "2"],
    "rollout resume": ["rollout", "resume"],
    "stage": ["stage", "thor-01"],
}


def leaves(command: click.Command, path: str) -> Iterator[tuple[str, click.Command]]:
    if isinstance(command, click.Group):
        with click.Context(command) as context:  # a lazy group imports its commands one by one
            for name in command.list_commands(context):
                one = command.get_command(context, name)
                assert one is not None
                yield from leaves(one, f"{path} {name}")
    else:
        yield path, command


def all_verbs() -> dict[str, click.Command]:
    found: dict[str, click.Command] = {}
    for verb in main.VERBS:
        found |= leaves(importlib.import_module(f"thorctl.cli.{verb}").command, verb)
    return found


def test_every_verb_is_decided_and_those_that_ask_have_yes() -> None:
    """A new verb belongs into ``consent.VERBS``; one that asks takes ``consent.yes_option``."""
    verbs = all_verbs()
    assert set(verbs) == set(consent.VERBS)
    asking = {name for name, kind in consent.VERBS.items() if kind in {Consent.ASKS, Consent.FORCED}}
    have = {name for name, one in verbs.items() if any("--yes" in option.opts for option in one.params)}
    assert asking == have - {"lock"}
    assert asking == {*ASKS, "rollout start"}  # its plan needs devices: test_rollout.py


@pytest.fixture
def devices(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """An inventory of three devices, and what was done on them."""
    monkeypatch.setenv("THORCTL_STATE_DIR", str(tmp_path / "state"))
    inventory = tmp_path / "hosts.yml"
    inventory.write_text("thor: {hosts: {thor-01: , thor-02: , thor-03: }}")
    monkeypatch.setenv("THORCTL_INVENTORY", str(inventory))
    done: list[str] = []

    def run_verb(fleet: list[Device], verb: str, words: tuple[str, ...] = (), **_: object) -> list[Answer]:
        if verb != "status" and words[:1] != ("show",):
            done.append(verb)
        return [Answer(one.name, {"data": {}}) for one in fleet]

    for module in (commit, cli_devices, hold, lease, rollback):
        monkeypatch.setattr(module, "run_verb", run_verb)
    staged = {"data": {"already": "staged"}}
    for verb in (activate, stage):
        monkeypatch.setattr(verb, "chosen_releases", lambda *_: {})
        monkeypatch.setattr(verb, "planned", lambda _, fleet, __: [Answer(one.name, staged) for one in fleet])
    return done


@pytest.mark.parametrize("words", ASKS.values(), ids=ASKS.keys())
@pytest.mark.parametrize("json", [False, True])
def test_nothing_is_done_unasked(devices: list[str], words: list[str], json: bool) -> None:
    rollout = kept(half_way())
    with opened() as db:
        before = rollouts.log(db, rollout)
    result = run([*words, *(["--json"] if json else [])])
    assert result is not None
    assert [error.code for error in result.errors] == ["consent_missing"]
    assert result.exit_code == Exit.USAGE
    assert "--yes" in result.errors[0].remedy
    with opened() as db:
        assert rollouts.log(db, rollout) == before
    assert devices == []


@pytest.mark.parametrize("answer", ["n", "", None])
@pytest.mark.parametrize("words", ASKS.values(), ids=ASKS.keys())
def test_no_is_no(
    devices: list[str], words: list[str], answer: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also Ctrl-D and Ctrl-C at the question: not done, and no interruption that is to be repeated."""
    rollout = kept(half_way())
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)

    def ask(*_: object, **__: object) -> bool:
        if answer is None:
            raise click.Abort
        return False

    monkeypatch.setattr(click, "confirm", ask)
    result = run(words)
    assert result is not None
    assert ([error.code for error in result.errors], result.exit_code) == (["declined"], Exit.DECLINED)
    with opened() as db:
        assert all(line.run != "order" for line in rollouts.log(db, rollout))
    assert devices == []


def test_a_rollout_that_is_over_is_not_asked_about(devices: list[str]) -> None:
    fleet = Fleet.of("well", "well", "well")
    fleet.run()
    kept(fleet)
    result = run(["rollout", "resume"])
    assert result is not None
    assert result.data["status"] == "finished"
    assert devices == []


def test_yes_is_enough(devices: list[str]) -> None:
    run(["hold", "set", "thor-01", "--reason", "r", "--yes"])
    run(["lease", "give", "thor-01", "--force", "--yes"])
    run(["lease", "take", "thor-01", "--reason", "r"])
    assert devices == ["hold", "lease", "lease"]
