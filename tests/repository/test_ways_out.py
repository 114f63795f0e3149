"""What a remedy says is done here, and the refusal is gone: for errors that no other test takes that far."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner

from tests.rollout.policies import PLAIN
from tests.rollout.test_plan import planned
from thorctl.cli import edge
from thorctl.cli.context import Context
from thorctl.cli.main import CONTEXT_SETTINGS
from thorctl.edge.settings import KEY, checked_door
from thorctl.errors import ThorError
from thorctl.inventory import simulations
from thorctl.inventory.pattern import matching
from thorctl.result import Result
from thorctl.rollout.policy import from_document
from thorctl.store.connection import opened
from thorctl.ui.console import Console

if TYPE_CHECKING:
    from collections.abc import Callable


def refusal(act: Callable[[], object]) -> str:
    """The code with which ``act`` is refused."""
    with pytest.raises(ThorError) as caught:
        act()
    assert caught.value.remedy
    return caught.value.code


WINDOW = {"zone": "UTC", "open": ["Mon-Sun 00:00-24:00"]}
POLICIES: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("policy_empty_canary", {"canary": {"percent": 5}}, {"canary": {"count": 1}}),
    ("policy_canary_is_all", {"canary": {"count": 9}}, {"canary": {"count": 1}}),
    ("policy_leaves_out", {"waves": [{"count": 1}]}, {"waves": [{"count": 1}, {"rest": True}]}),
    ("policy_never_stops", {"errors": {"stop_at_devices": 9}}, {"errors": {"stop_at_percent": 10}}),
    ("policy_selector", {"canary": {"devices": ["thor-99"]}}, {"canary": {"devices": ["thor-01"]}}),
    ("policy_windows", {"windows": {"sites": {"x": WINDOW}}}, {"windows": {"default": WINDOW}}),
]


@pytest.mark.parametrize(("code", "bad", "good"), POLICIES, ids=[row[0] for row in POLICIES])
def test_a_policy_corrected_as_its_refusal_says_makes_a_plan(
    code: str, bad: dict[str, Any], good: dict[str, Any]
) -> None:
    assert refusal(lambda: planned(4, **bad)) == code
    assert planned(4, **good).waves


def test_a_policy_that_is_none_and_its_correction() -> None:
    assert refusal(lambda: from_document({**PLAIN, "parallel": 0}, "p.yml")) == "policy_invalid"
    assert from_document({**PLAIN, "parallel": 1}, "p.yml").parallel == 1


def test_another_folder_for_the_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """THORCTL_STATE_DIR, which all of its errors name."""

    def use(name: str) -> None:
        monkeypatch.setenv("THORCTL_STATE_DIR", str(tmp_path / name))
        with opened():
            pass

    (tmp_path / "unusable").write_text("")
    assert refusal(lambda: use("unusable")) == "store_unusable"
    use("first")
    (file,) = (tmp_path / "first").glob("*.sqlite3")
    with sqlite3.connect(file) as db:
        db.execute("PRAGMA user_version = 9999")
    db.close()
    assert refusal(lambda: use("first")) == "store_newer"
    (tmp_path / "foreign").mkdir()
    with sqlite3.connect(tmp_path / "foreign" / file.name) as db:
        db.execute("CREATE TABLE other (x)")
    db.close()
    assert refusal(lambda: use("foreign")) == "store_foreign"
    (tmp_path / "corrupt").mkdir()
    corrupt = tmp_path / "corrupt" / file.name
    corrupt.write_bytes(b"no database" * 1000)
    assert refusal(lambda: use("corrupt")) == "store_corrupt"
    corrupt.rename(tmp_path / "away")  # "Move it away"
    use("corrupt")
    use("second")


def test_names_as_their_refusals_say() -> None:
    assert refusal(lambda: simulations.folder("Not A Name")) == "sim_name_invalid"
    assert simulations.folder("a-name").name == "a-name"
    groups = {"thor": ["thor-01"]}
    assert refusal(lambda: matching("~(", groups, "thor")) == "pattern_invalid"
    assert matching("~thor-.*", groups, "thor") == ["thor-01"]
    assert refusal(lambda: matching("thor-99", groups, "thor")) == "device_unknown"


def test_a_key_as_the_refusals_of_the_door_say() -> None:
    """``thorctl edge keys new NAME``, which all of them name."""
    runner, names = CliRunner(), CONTEXT_SETTINGS["help_option_names"]
    messages = Console(stderr=True, quiet=True)

    def key() -> str:
        context = Context(Path(), json=True, quiet=True, messages=messages)
        made = runner.invoke(
            edge.command, ["keys", "new", "me"], obj=context, standalone_mode=False, help_option_names=names
        )
        assert isinstance(made.return_value, Result)
        (found,) = (one for one in strings(made.return_value.data) if KEY.fullmatch(one))
        return found

    def strings(value: object) -> list[str]:
        if isinstance(value, dict):
            return [text for one in value.values() for text in strings(one)]
        return [value] if isinstance(value, str) else []

    def door(**keys: str) -> object:
        return checked_door({"mode": "keyed", "keys": keys})

    same = key()
    assert refusal(door) == "edge_keys_missing"
    assert refusal(lambda: door(me="hello")) == "edge_key_weak"
    assert refusal(lambda: door(me=same, you=same)) == "edge_key_twice"
    assert door(me=same, you=key())
