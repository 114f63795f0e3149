"""Before a rollout: each device class gets its own release; what devices say becomes what the plan says."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.support.documents import lock_document
from tests.support.doubles.answers import RELEASE, STATUS
from thorctl.errors import ThorError
from thorctl.inventory.devices import Device
from thorctl.protocol.identity import Identity
from thorctl.release import profile
from thorctl.remote.answer import Answer
from thorctl.result import Problem
from thorctl.rollout.plan import Seen
from thorctl.rollout.run import preparation

CHECKOUT = Path(__file__).resolve().parents[3]


@pytest.fixture
def deploy(tmp_path: Path) -> Path:
    """The project's deploy folder with a lock of tiny-qwable."""
    made = tmp_path / "deploy"
    shutil.copytree(CHECKOUT / "deploy", made, ignore=shutil.ignore_patterns("locks"))
    (made / "locks").mkdir()
    classes, named = made / "device_classes", made / "profiles" / "tiny-qwable.yml"
    text = (classes / "simulated-container.yml").read_text()
    (classes / "other.yml").write_text(text.replace("name: simulated-container", "name: other"))
    named.write_text(named.read_text().replace("device_classes: [", "device_classes: [other, "))
    lock = lock_document(profile.load(made, "tiny-qwable"))
    (made / "locks" / "tiny-qwable.lock.json").write_text(json.dumps(lock))
    return made


def device(name: str, of_class: str | None = "simulated-container") -> Device:
    return Device(name, "192.0.2.1", site="lab", device_class=of_class, groups=("night", "thor"))


def test_a_profile_gives_each_class_its_release(deploy: Path) -> None:
    devices = [device("thor-01"), device("thor-02", "other"), device("thor-03")]
    given = preparation.releases(deploy, "tiny-qwable", Path("tiny-qwable"), devices)
    ids = [given.by_device[one.name].id for one in devices]
    assert ids[0] == ids[2] != ids[1]
    assert set(given.documents) == set(ids)
    (first, *_) = preparation.candidates(devices, given)
    assert (first.release, first.site, first.labels) == (ids[0], "lab", ("night", "thor"))


def test_an_id_and_a_file_mean_that_release(deploy: Path, tmp_path: Path) -> None:
    devices = [device("thor-01")]
    release = preparation.releases(deploy, "tiny-qwable", Path("x"), devices).by_device["thor-01"]
    assert preparation.releases(deploy, release.id, Path("x"), devices).by_device["thor-01"] == release
    file = tmp_path / "release.json"
    file.write_text(release.text())
    assert preparation.releases(deploy, str(file), file, devices).by_device["thor-01"] == release


def test_devices_that_it_is_not_made_for_are_named(deploy: Path) -> None:
    devices = [device("thor-01"), device("thor-02", "jetson-agx-thor")]
    with pytest.raises(ThorError, match=r"not for thor-02 \(jetson-agx-thor\)") as caught:
        preparation.releases(deploy, "tiny-qwable", Path("x"), devices)
    assert caught.value.code == "release_unfit"
    with pytest.raises(ThorError, match="thor-03") as caught:
        preparation.releases(deploy, "tiny-qwable", Path("x"), [device("thor-03", None)])
    assert caught.value.code == "device_class_missing"


def plan(data: dict[str, Any], error: Problem | None = None) -> Answer:
    return Answer("thor-01", {"data": {"release": RELEASE, "already": "absent", **data}}, error)


def test_what_a_device_says() -> None:
    status = Answer("thor-01", {"data": STATUS})
    found = preparation.seen(status, plan({"download_bytes": 7, "free_bytes": 100, "required_bytes": 50}))
    known: dict[str, Any] = {"layouts": (1, 2), "identity": Identity("thor-01")}
    assert found == Seen(True, "committed", STATUS["release"], True, 7, **known)
    assert found.has(str(STATUS["release"]))


REMARKS: list[tuple[dict[str, Any], Answer | None, str]] = [
    ({"hold": {"reason": "on patrol"}}, None, "on hold: on patrol"),
    ({"lease": {"holder": "carl@lab", "reason": ""}}, None, "leased by carl@lab: no reason given"),
    ({"state": "trial"}, None, "its state is trial"),
    ({}, plan({"free_bytes": 1, "required_bytes": 5}), "too little room: 5 bytes needed, 1 free"),
    ({"name": "thor-09"}, None, "it answers as thor-09"),
    ({}, plan({}, Problem("docker_unavailable", "no engine", "r")), "docker_unavailable: no engine"),
]


@pytest.mark.parametrize(("changes", "answer", "words"), REMARKS, ids=[row[2] for row in REMARKS])
def test_what_stands_in_the_way(changes: dict[str, Any], answer: Answer | None, words: str) -> None:
    found = preparation.seen(Answer("thor-01", {"data": {**STATUS, **changes}}), answer)
    (remark,) = found.remarks
    assert remark.startswith(words)
    assert found.hold == ("on patrol" if "hold" in changes else None)


def test_another_document_of_the_id_is_not_the_release() -> None:
    status = Answer("thor-01", {"data": {**STATUS, "release": RELEASE, "release_sha256": "f" * 64}})
    found = preparation.seen(
        status, plan({}, Problem("release_conflict", "another document", "look", "thor-01"))
    )
    assert not found.has(RELEASE)
    assert any("release_conflict" in remark for remark in found.remarks)
    assert preparation.seen(status, plan({"download_bytes": 0})).has(RELEASE)


def test_a_hold_that_gives_no_reason_is_a_hold() -> None:
    found = preparation.seen(Answer("thor-01", {"data": {**STATUS, "hold": {"reason": ""}}}), None)
    assert (found.hold, found.remarks) == ("no reason given", ("on hold: no reason given",))


def test_a_device_that_cannot_take_it_says_so_in_the_plan() -> None:
    problem = Problem("preflight_failed", "Preflight failed (disk). Too little room.", "r")
    short = plan({"free_bytes": 1, "required_bytes": 5})
    found = preparation.seen(Answer("thor-01", {"data": STATUS}), short, plan({}, problem))
    assert found.remarks == (problem.message,)


def test_a_device_that_does_not_answer_is_not_known() -> None:
    silent = Answer("thor-01", error=Problem("device_unreachable", "no route", "r"), reached=False)
    assert preparation.seen(silent, None) == Seen(remarks=("device_unreachable: no route.",))
    no_plan = preparation.seen(Answer("thor-01", {"data": STATUS}), None)
    assert no_plan.download_bytes is None
