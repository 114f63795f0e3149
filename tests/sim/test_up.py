"""What `sim up` decides before it touches the engine, and how it says what it does."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import pytest

from thorctl.cli.main import run
from thorctl.errors import ThorError
from thorctl.result import Exit
from thorctl.sim import layout
from thorctl.sim.addresses import MAX_DEVICES
from thorctl.sim.up import check_count, planned_devices
from thorctl.ui.console import Console
from thorctl.ui.progress import StepProgress

if TYPE_CHECKING:
    from thorctl.sim.state import Device

SUBNET = "10.213.64.0/24"


def plan(count: int, present: list[Device] | None = None, sites: tuple[str, ...] = ("lab",)) -> list[Device]:
    return planned_devices(present or [], count, subnet=SUBNET, sites=sites)


def test_devices_are_dealt_to_sites_in_turn() -> None:
    assert [(d.name, d.address, d.site) for d in plan(3, sites=("a", "b"))] == [
        ("thor-01", "10.213.64.11", "a"),
        ("thor-02", "10.213.64.12", "b"),
        ("thor-03", "10.213.64.13", "a"),
    ]


def test_more_devices_are_added_and_those_there_stay_as_they_are() -> None:
    present = plan(1, sites=("old",))
    grown = plan(3, present, sites=("new",))
    assert grown[0] is present[0]
    assert [d.site for d in grown] == ["old", "new", "new"]
    assert plan(1, present) == present


@pytest.mark.parametrize(
    ("count", "code"), [(1, "sim_fewer_devices"), (MAX_DEVICES + 1, "sim_too_many_devices")]
)
def test_counts_that_cannot_be(count: int, code: str) -> None:
    with pytest.raises(ThorError) as caught:
        check_count(2, count)
    assert caught.value.code == code
    assert caught.value.exit_code == Exit.USAGE


@pytest.mark.parametrize("sites", ["", "a,,b", "a b", "Lab"])
def test_sites_that_are_none(sites: str) -> None:
    with pytest.raises(ThorError) as caught:
        layout.checked_sites(sites)
    assert caught.value.code == "site_invalid"


@pytest.mark.parametrize(
    "words", [["--devices", "0"], ["--devices", "many"], ["--disk", "huge"], ["--disk", "1k"]]
)
def test_bad_words_are_a_usage_error(words: list[str]) -> None:
    result = run(["sim", "up", *words])
    assert result is not None
    assert result.exit_code == Exit.USAGE


def test_progress_off_a_terminal_is_one_line_a_begin_and_one_an_end() -> None:
    out = io.StringIO()
    with StepProgress(Console(file=out, width=200)) as progress:
        progress("device thor-01", "10.213.64.11", None)
        progress("device thor-01", "still going", None)
        progress("device thor-01", "[up]", 1.25)
    assert out.getvalue() == "… device thor-01  10.213.64.11\n✓ device thor-01  [up]  1.2 s\n"
