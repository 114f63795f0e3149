"""Drift in words and tables: what differs is named, what nobody knows is never shown as well."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
from rich.console import Console

from tests.support.doubles.answers import RELEASE, STATUS, document
from thorctl.inventory.devices import Device
from thorctl.protocol.encode import encode
from thorctl.protocol.status import Comparison
from thorctl.release.convergence import Desired
from thorctl.release.document import LAYOUT
from thorctl.remote.answer import Answer, read_answer
from thorctl.result import Problem
from thorctl.status import drift as status_drift
from thorctl.status.drift_view import DriftView
from thorctl.status.model import Row, attention, row

ONE, OTHER = f"sha256:{'1' * 64}", f"sha256:{'2' * 64}"


def differs(what: str, wanted: object = None, found: object = None) -> Comparison:
    return Comparison(what, wanted=wanted, found=found, same=False)


HELD = Comparison(
    what="packages held", scope="host", wanted=["a", "b", "c", "d", "e"], found=["c"], same=False
)
WELL = {"what": "release serve.yaml", "scope": "release", "wanted": ONE, "found": ONE, "same": True}
MODE = {"what": "power mode", "scope": "host", "wanted": "120W", "found": "MAXN", "same": False}
UNREAD = {"what": "image on disk", "scope": "release", "wanted": f"e@{ONE}", "found": None, "same": None}


def said(wanted: str | None = RELEASE, **changes: Any) -> Row:
    device = Device("thor-01", "10.0.0.1", site="lab")
    desired = Desired(wanted, None, LAYOUT) if wanted else None
    text = json.dumps(document("status", STATUS | changes))
    return row(device, read_answer("thor-01", "status", 0, text, ""), desired)


def test_another_document_of_the_wanted_id_is_drift() -> None:
    answer = Answer("thor-01", document("status", STATUS | {"release_sha256": "2" * 64}))
    device = Device("thor-01", "10.0.0.1")
    found = row(device, answer, Desired(RELEASE, "1" * 64, LAYOUT))
    assert found.serves_wanted is False
    assert any("release_conflict" in one for one in attention(found))
    assert found.drift is not None
    assert (found.drift[0].what, found.drift[0].wanted, found.drift[0].found) == ("release", ONE, OTHER)
    assert row(device, answer, Desired(RELEASE, "2" * 64, LAYOUT)).serves_wanted
    assert row(device, answer, Desired(RELEASE, None, LAYOUT)).serves_wanted


def drawn(fleet: list[Row], width: int = 120, *, verbose: bool = False) -> str:
    console = Console(width=width, file=io.StringIO(), color_system=None)
    console.print(DriftView(fleet, verbose=verbose))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


@pytest.mark.parametrize(
    ("item", "words"),
    [
        (
            Comparison(what="power mode", wanted="120W", found="70W", same=False),
            "power mode is 70W, not 120W",
        ),
        (Comparison(what="power mode", wanted="120W", same=None), "power mode unknown"),
        (
            Comparison(what="release serve.yaml", wanted=ONE, found=OTHER, same=False),
            "release serve.yaml was changed",
        ),
        (Comparison(what="installed unit", wanted=ONE, same=False), "installed unit is missing"),
        (Comparison(what="installed unit", found=ONE, same=False), "installed unit should not exist"),
        (
            Comparison(what="container image", wanted=f"e@{ONE}", found=f"f@{OTHER}", same=False),
            "container image is f@sha256:222222222222, not e@sha256:111111111111",
        ),
        (HELD, "packages held: not a, b, d and 1 more"),
    ],
)
def test_what_differs_is_said(item: Comparison, words: str) -> None:
    assert status_drift.words(item) == words


@pytest.mark.parametrize(
    ("items", "words"),
    [
        (None, "–"),
        ([], "none"),
        ([Comparison(what="a", same=False), Comparison(what="b", same=False)], "2"),
        ([Comparison(what="a", same=None)], "1 unknown"),
        ([Comparison(what="a", same=False), Comparison(what="b", same=None)], "1, 1 unknown"),
    ],
)
def test_the_column(items: list[Comparison] | None, words: str) -> None:
    assert status_drift.count(items) == words


def test_the_release_is_the_first_thing_that_is_compared() -> None:
    same, other, unknown = said(compared=[]), said("other-0123456789ab"), said(None)
    assert same.compared is not None
    assert [(item.what, item.same) for item in same.compared] == [("release", True)]
    assert same.drift == []
    assert [(item.what, item.same) for item in other.drift or ()] == [("release", False)]
    assert [(item.what, item.same) for item in unknown.drift or ()] == [("release", None)]


def test_a_device_that_does_not_say_is_not_well() -> None:
    silent = said(drift=None)
    assert attention(silent) == ("drift unknown",)
    assert (silent.as_json()["drift"], silent.as_json()["compared"]) == (None, None)
    assert "its agent does not report it" in drawn([silent])


def test_json_has_all_of_it() -> None:
    told = said(compared=[WELL, MODE, UNREAD], drift=[MODE, UNREAD]).as_json()
    assert [(one["what"], one["same"]) for one in told["compared"]] == [
        ("release", True),
        ("release serve.yaml", True),
        ("power mode", False),
        ("image on disk", None),
    ]
    assert [one["what"] for one in told["drift"]] == ["power mode", "image on disk"]
    assert told["attention"] == ["power mode is MAXN, not 120W", "image on disk unknown"]


def test_desired_stands_beside_actual() -> None:
    fleet = [said(compared=[WELL, MODE, UNREAD, encode(HELD)], drift=[MODE])]
    lines = drawn(fleet, verbose=True).splitlines()
    cells = {line.split("  ")[2].strip() if line[:7] == "thor-01" else "": line for line in lines}
    assert "✓" in cells["release serve.yaml"]
    assert cells["power mode"].split()[-2:] == ["120W", "MAXN"]
    assert cells["image on disk"].split()[-2:] == ["e@sha256:111111111111", "unknown"]
    assert cells["packages held"].split(maxsplit=5)[-1].strip() == "1, not a, b, d, e"
    assert "needs attention" in lines[-1]


def test_what_is_as_desired_is_counted_and_shown_when_asked_for() -> None:
    fleet = [said(compared=[WELL, MODE, UNREAD], drift=[MODE]), said(compared=[WELL], drift=[])]
    short, whole = drawn(fleet), drawn(fleet, verbose=True)
    assert "release serve.yaml" not in short
    assert "power mode" in short
    assert "✓" not in short
    assert "6 settings of 2 devices compared: 1 differs, 1 unknown." in short
    assert whole.count("release serve.yaml") == 2


def test_hashes_that_differ_behind_what_is_shown_are_whole() -> None:
    other = f"{ONE[:-1]}2"
    changed = {"what": "release serve.yaml", "wanted": ONE, "found": other, "same": False}
    text = drawn([said(compared=[changed], drift=[changed])], 240)
    assert ONE in text
    assert other in text


def test_a_device_that_cannot_be_asked_has_a_line() -> None:
    problem = Problem("device_unreachable", "it does not answer", "look", "thor-01")
    gone = row(Device("thor-01", "10.0.0.1"), Answer("thor-01", error=problem, reached=False), None)
    assert "unreachable" in drawn([gone])


@pytest.mark.parametrize("width", [40, 80, 160])
def test_it_fits_its_terminal(width: int) -> None:
    text = drawn([said(compared=[WELL, MODE, UNREAD, encode(HELD)], drift=[MODE])], width)
    assert all(len(line) <= width for line in text.splitlines())
