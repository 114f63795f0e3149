"""Policies: those we ship are valid, and each wrong one is refused with its file, its line and its remedy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.rollout.policies import PLAIN, policy
from thorctl.errors import ThorError
from thorctl.rollout import policy_file as policies
from thorctl.rollout.policy import from_document

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"


def test_those_we_ship() -> None:
    assert policies.names(DEPLOY) == ["careful", "one-by-one"]
    for name in policies.names(DEPLOY):
        assert policies.load(DEPLOY, name).name == name


REFUSED: list[tuple[str, dict[str, Any], str]] = [
    ("no waves", {"waves": []}, "waves: "),
    ("no canary", {"canary": None}, "canary: "),
    ("canary of nobody", {"canary": {"count": 0}}, "canary.count: "),
    ("canary of 0 %", {"canary": {"percent": 0}}, "canary.percent: "),
    ("canary of all", {"canary": {"percent": 100}}, "a canary of all devices is not a canary"),
    ("canary of the rest", {"canary": {"rest": True}}, "a canary of all devices is not a canary"),
    (
        "canary that may fail",
        {"canary": {"count": 2, "success_percent": 50}},
        "all devices of a canary must be healthy",
    ),
    ("two selectors", {"waves": [{"count": 1, "site": "lab"}]}, "not with count and site"),
    ("no selector", {"waves": [{"soak_seconds": 5}]}, "not with none"),
    ("a wave after the rest", {"waves": [{"rest": True}, {"count": 1}]}, "no wave can follow it"),
    ("errors that never stop", {"errors": {}}, "no number of failures stops the rollout"),
    ("errors at 100 %", {"errors": {"stop_at_percent": 100}}, "errors.stop_at_percent: "),
    ("errors at 0", {"errors": {"stop_at_devices": 0}}, "errors.stop_at_devices: "),
    ("success at 0 %", {"success_percent": 0}, "success_percent: "),
    ("success above 100 %", {"success_percent": 101}, "success_percent: "),
    ("nobody at once", {"parallel": 0}, "parallel: "),
    ("a soak of no length", {"soak_seconds": -1}, "soak_seconds: "),
    ("a soak of a year", {"soak_seconds": 31_536_000}, "soak_seconds: "),
    ("a tolerance of all", {"speed": {"tolerance_percent": 100}}, "speed.tolerance_percent: "),
    ("windows of nobody", {"windows": {}}, "neither sites nor default"),
    (
        "an unknown zone",
        {"windows": {"default": {"zone": "Mars/Base", "open": ["01:00-02:00"]}}},
        "Mars/Base",
    ),
    ("a zone outside", {"windows": {"default": {"zone": "../etc", "open": ["01:00-02:00"]}}}, "no time zone"),
    ("an unknown day", {"windows": {"default": {"zone": "UTC", "open": ["Fry 01:00-02:00"]}}}, "'Fry'"),
    ("no window", {"windows": {"default": {"zone": "UTC", "open": []}}}, "windows.default.open: "),
    ("an empty window", {"windows": {"default": {"zone": "UTC", "open": ["01:00-01:00"]}}}, "never open"),
    ("25 o'clock", {"windows": {"default": {"zone": "UTC", "open": ["25:00-26:00"]}}}, "not a time of day"),
    (
        "a margin that takes all",
        {"windows": {"default": {"zone": "UTC", "open": ["01:00-01:15"]}}},
        "closing_margin_minutes takes all",
    ),
]


@pytest.mark.parametrize(("what", "changes", "words"), REFUSED, ids=[case[0] for case in REFUSED])
def test_refused(what: str, changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ThorError) as caught:
        policy(**changes)
    assert caught.value.code == "policy_invalid"
    assert words in caught.value.message
    assert caught.value.remedy


def test_an_error_in_a_file_names_its_line(tmp_path: Path) -> None:
    folder = tmp_path / "policies"
    folder.mkdir()
    text = (DEPLOY / "policies" / "careful.yml").read_text().replace("name: careful", "name: hasty")
    lines = text.replace("soak_seconds: 600", "soak_seconds: -5").replace("approve:", "aprove:").splitlines()
    (folder / "hasty.yml").write_text("\n".join(lines))
    soak = lines.index("soak_seconds: -5") + 1
    approve = next(number for number, line in enumerate(lines, 1) if line.startswith("aprove"))
    with pytest.raises(ThorError) as caught:
        policies.load(tmp_path, "hasty")
    assert f"hasty.yml:{soak}: soak_seconds" in caught.value.message
    assert f"hasty.yml:{approve}: unknown key 'aprove'. Did you mean 'approve'?" in caught.value.message


def test_an_unknown_policy_lists_those_there_are() -> None:
    with pytest.raises(ThorError, match="Did you mean 'careful'") as caught:
        policies.load(DEPLOY, "carefull")
    assert "one-by-one" in caught.value.remedy


def test_options_replace_keys_and_are_checked_like_them() -> None:
    quick = policies.changed(policy(), {"soak": 5, "on_stop": "return", "approve": None, "wait_hold": 60})
    assert (quick.soak_seconds, quick.on_stop, quick.wait.hold_seconds) == (5, "return", 60)
    with pytest.raises(ThorError, match="these options: parallel"):
        policies.changed(policy(), {"parallel": 0})


def test_options_leave_what_they_do_not_name_as_the_policy_has_it() -> None:
    one = policy(
        canary={"site": "lab", "soak_seconds": 1800},
        waves=[{"count": 2, "soak_seconds": 900}, {"rest": True}],
        speed={"tolerance_percent": 5, "without_baseline": "accept"},
    )
    more = policies.changed(one, {"canary": 2, "speed_tolerance": 20.0, "stop_at": 1})
    assert (more.canary.words, more.canary.soak_seconds) == ("2 devices", 1800)
    assert more.speed is not None
    assert (more.speed.tolerance_percent, more.speed.without_baseline) == (20, "accept")
    assert more.errors.stop_at_devices == 1
    soaked = policies.changed(one, {"soak": 5})
    assert [wave.soak_seconds for wave in (soaked.canary, *soaked.waves)] == [None] * 3  # the policy's: 5


def test_a_policy_survives_the_store() -> None:
    windows = {"sites": {"lab": {"zone": "Asia/Tokyo", "open": ["22:00-05:00"]}}}
    one = policy(windows=windows, waves=[{"each": "site"}])
    assert from_document(one.model_dump(mode="json"), "store") == one


def test_windows_for_some_sites_only_are_refused_when_another_is_asked_for() -> None:
    one = policy(windows={"sites": {"lab": {"zone": "UTC", "open": ["01:00-02:00"]}}})
    assert one.calendar("lab") is not None
    with pytest.raises(ThorError, match="no maintenance window for site yard"):
        one.calendar("yard")
    assert policy().calendar("yard") is None
    assert set(PLAIN) <= set(one.model_dump())
