"""thorctl preflight: releases are made here, devices are asked, and the verdict is the exit code."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import pytest

from tests.support.documents import lock_document
from tests.support.doubles.answers import says
from tests.support.doubles.reported import item, said
from tests.support.doubles.sshd import Sshd, running_sshd
from thorctl.cli.main import run
from thorctl.release import profile
from thorctl.result import Exit, Result
from thorctl.sim.ports import free_port

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    Call = Callable[..., Result]


@pytest.fixture(scope="module")
def sshd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    with running_sshd(tmp_path_factory.mktemp("sshd")) as server:
        yield server


@pytest.fixture
def inventory(sshd: Sshd, tmp_path: Path) -> Path:
    variables = {"thor_profile": "tiny-qwable", "thor_device_class": "simulated-container"}
    return sshd.inventory(tmp_path / "hosts.yml", "thor-01", **variables)


@pytest.fixture
def preflight(project: Path, inventory: Path) -> Call:
    tiny = profile.load(project / "deploy", "tiny-qwable")
    (project / "deploy" / "locks").mkdir()
    (project / "deploy" / "locks" / "tiny-qwable.lock.json").write_text(json.dumps(lock_document(tiny)))

    def call(*words: str) -> Result:
        result = run(["--project", str(project), "-i", str(inventory), "preflight", *words])
        assert result is not None
        return result

    return call


def answering(*items: dict[str, str]) -> str:
    document = said(*items)
    return says(json.dumps(document), 0 if document["ok"] else 1)


def test_a_device_that_can(preflight: Call, sshd: Sshd) -> None:
    sshd.behave(answering(item("soc"), item("swap", "warn")))
    result = preflight()
    assert (result.exit_code, result.errors) == (Exit.SUCCESS, ())
    (device,) = result.data["devices"]
    assert re.fullmatch(r"tiny-qwable-[0-9a-f]{12}", device["release"])
    assert (device["device_class"], device["counts"]) == (
        "simulated-container", {"pass": 1, "warn": 1, "fail": 0},
    )  # fmt: skip
    assert device["test_device"]["gpu"] == {
        "card": None, "device": "NVIDIA Thor, compute capability 11.0, module T5000",
    }  # fmt: skip
    assert f"thor-01 can take {device['release']}, with 1 warning." in str(result.view)
    assert json.dumps(result.envelope())


def test_a_device_that_cannot(preflight: Call, sshd: Sshd) -> None:
    sshd.behave(answering(item("soc", "fail")))
    result = preflight("thor-01", "--skip", "swap", "--skip", "l4t,port")
    assert result.exit_code == Exit.ERROR
    assert [(error.code, error.device) for error in result.errors] == [("preflight_failed", "thor-01")]
    assert "thor-01 cannot take" in str(result.view)
    assert "--skip swap,l4t,port" in sshd.asked.read_text()


def test_some_devices_can(preflight: Call, sshd: Sshd, inventory: Path) -> None:
    sshd.behave(answering(item("soc")))
    inventory.write_text(inventory.read_text() + f"    thor-02: {{ansible_port: {free_port()}}}\n")
    result = preflight()
    assert result.exit_code == Exit.PARTIAL
    assert [device["reachable"] for device in result.data["devices"]] == [True, False]
    assert [error.code for error in result.errors] == ["device_unreachable"]
    assert "1 of 2 devices can take their release." in str(result.view)


def test_a_release_that_cannot_be_made_is_told_once_and_nobody_is_asked(
    preflight: Call, inventory: Path
) -> None:
    inventory.write_text(inventory.read_text() + "    thor-02:\n")
    result = preflight("--profile", "qwable-v1-bf16")
    assert result.exit_code == Exit.ERROR
    assert [(error.code, error.device) for error in result.errors] == [("lock_missing", None)]
    assert [device["error"]["code"] for device in result.data["devices"]] == ["lock_missing"] * 2


def test_an_inventory_that_does_not_say_what_to_serve(preflight: Call, inventory: Path) -> None:
    text = inventory.read_text()
    inventory.write_text("\n".join(line for line in text.splitlines() if "thor_device_class" not in line))
    result = preflight()
    assert [error.code for error in result.errors] == ["inventory_incomplete"]
    assert "thor_device_class" in result.errors[0].message


def test_a_check_that_does_not_exist_is_our_mistake(preflight: Call, sshd: Sshd) -> None:
    error = {"code": "bad_call", "message": "--skip: there is no check named sock.", "remedy": "Checks: …"}
    refusal = said() | {"verb": None, "ok": False, "data": {}, "error": error}
    sshd.behave(says(json.dumps(refusal), 2))
    result = preflight("--skip", "sock")
    assert result.exit_code == Exit.USAGE
    assert [(one.code, one.device) for one in result.errors] == [("bad_call", None)]
