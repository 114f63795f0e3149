"""What an edge is made of: refused with a remedy before a device is touched, and never with a secret."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

import pytest

from tests.edge.edge_process import ALICE, BOB, issue, now
from thorctl.ansible_plugins import edge
from thorctl.edge import authority
from thorctl.edge.keys import new_key

if TYPE_CHECKING:
    from pathlib import Path

CA = authority.new_authority("test", now() - dt.timedelta(days=30), 3650)
GOOD = {"keys": {"alice": ALICE, "bob": BOB}, **issue(CA)}
DOOR = {"port": 8123}
SECRET = "This-Is-The-Secret-That-Nobody-May-See"


def problem(**changes: Any) -> str:
    return edge.problem({**GOOD, **changes})


def test_good_settings_have_none() -> None:
    assert problem() == ""


def test_the_same_settings_give_the_same_files_anywhere() -> None:
    once, again = edge.files(GOOD), edge.files(GOOD)
    assert once == again
    other = edge.files({**GOOD, "keys": {"alice": new_key(), "bob": BOB}})
    assert other["generation"] != once["generation"]
    assert {name for name in other["files"] if other["files"][name] != once["files"][name]} == {
        "keys.conf",
        "nginx.conf",  # says its generation
    }


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"keys": {}}, "edge_keys_missing"),
        ({"keys": None}, "edge_keys_missing"),
        ({"keys": {"alice": SECRET}}, "edge_key_weak"),
        ({"keys": {"alice": "short"}}, "edge_key_weak"),
        ({"keys": {"alice": f"{ALICE}\n"}}, "edge_key_weak"),
        ({"keys": {"alice": f'{ALICE}" "x'}}, "edge_key_weak"),
        ({"keys": {"alice": ALICE, "bob": ALICE}}, "edge_key_twice"),
        ({"metrics_keys": {"prometheus": ALICE}}, "edge_key_twice"),
        ({"keys": {SECRET: ALICE}}, "edge_settings_invalid"),
        ({"keys": [SECRET]}, "edge_settings_invalid"),
        ({"keys": SECRET}, "edge_settings_invalid"),
        ({"engine_key": f"{SECRET} "}, "edge_settings_invalid"),
        ({"engine_key": f'{SECRET}"; return 200 "'}, "edge_settings_invalid"),
        ({"addresses": ["everywhere"]}, "edge_settings_invalid"),
        ({"addresses": []}, "edge_settings_invalid"),
        ({"metrics_addresses": ["10.0.0.0/33"]}, "edge_settings_invalid"),
        ({"port": 0}, "edge_settings_invalid"),
        ({"body_bytes": 10**9}, "edge_settings_invalid"),
        ({"concurent": 1}, "edge_settings_invalid"),
        ({"certificate": ""}, "edge_certificate_missing"),
        ({"certificate": None, "private_key": None}, "edge_certificate_missing"),
        ({"certificate": SECRET}, "edge_certificate_unreadable"),
        ({"private_key": SECRET}, "edge_private_key_unreadable"),
        ({"private_key": issue(CA)["private_key"]}, "edge_certificate_mismatch"),
        (issue(CA, days=1, issued=now() - dt.timedelta(days=2)), "edge_certificate_expired"),
    ],
)
def test_what_will_not_do(changes: dict[str, Any], code: str) -> None:
    found = problem(**changes)
    assert found.startswith(f"{code}: ")
    assert " — " in found
    for secret in (SECRET, ALICE, BOB, str(GOOD["private_key"]).splitlines()[1]):
        assert secret not in found


@pytest.fixture
def own_template(tmp_path: Path) -> Path:
    """The template of a project whose other templates are the shipped ones."""
    template = tmp_path / "deploy" / "edge" / "keys.conf.j2"
    template.parent.mkdir(parents=True)
    return template


def test_template_of_the_project_takes_the_place_of_the_shipped_one(own_template: Path) -> None:
    own_template.write_text("# of this project\n")
    deploy = str(own_template.parents[1])
    for found, shipped in (
        (edge.files(GOOD, deploy), edge.files(GOOD)),
        (edge.door_files(DOOR, deploy), edge.door_files(DOOR)),
    ):
        assert found["files"]["keys.conf"] == "# of this project\n"
        assert found["files"].keys() == shipped["files"].keys()
        assert found["generation"] != shipped["generation"]


def test_template_that_cannot_be_rendered_is_a_problem_of_the_settings(own_template: Path) -> None:
    own_template.write_text("{{ unheard_of }}")
    deploy = str(own_template.parents[1])
    for found in (edge.problem(GOOD, deploy), edge.door_problem(DOOR, deploy)):
        assert found.startswith("template_invalid: ")
        assert "unheard_of" in found
    assert edge.door_problem({"mode": "closed"}, deploy) == ""
