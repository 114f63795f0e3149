"""Preflight: every check passes, fails and, where its fact is unknown, never passes."""

from __future__ import annotations

import argparse
import json
import re
import socket
from copy import deepcopy
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from tests.agent.device_double import make_context, make_release
from thorctl.agent import ports, preflight
from thorctl.agent.outcome import AgentError
from thorctl.agent.ports import Listener
from thorctl.agent.preflight_checks import CHECKS, Situation, judge
from thorctl.agent.release_document import canonical

if TYPE_CHECKING:
    from pathlib import Path

    from thorctl.agent.preflight_item import Item

THOR: dict[str, Any] = {
    "architecture": "aarch64",
    "soc_compatible": ["nvidia,p4071-0000+p3834-0008", "nvidia,p3834-0008", "nvidia,tegra264"],
    "l4t": {"release": "38.4", "revision_full": "38.4.0", "raw": "# R38 …"},
    "memory": {"total_bytes": 2**36, "available_bytes": 2**35, "free_bytes": 2**34, "swap_total_bytes": 0},
    "disk": {"state_free_bytes": 10**12, "docker_free_bytes": 10**12, "same_filesystem": True},
    "docker": {"installed": True, "version": "29.1.3", "runtimes": ["nvidia", "runc"]},
    "power_mode": {"name": "120W", "id": 1},
    "clock_synchronized": True,
}
SITUATION = Situation(
    facts=THOR,
    release=make_release(device_class={"container": {"runtime": "nvidia"}}).document,
    listener=None,
    image_present=False,
    checkpoint_present_bytes=0,
    now=1_800_000_000.0,
    python=(3, 12, 3),
)


def situation(fact: str | None = None, value: Any = None, **other: Any) -> Situation:
    facts = deepcopy(THOR)
    if fact is not None:
        *parents, last = fact.split(".")
        place = facts
        for parent in parents:
            place = place[parent]
        place[last] = value
    return replace(SITUATION, facts=facts, **other)


def item(name: str, given: Situation) -> Item:
    return next(one for one in judge(given) if one.name == name)


def test_a_thor_passes_every_check() -> None:
    assert {one.name: one.status for one in judge(SITUATION)} == dict.fromkeys(CHECKS, "pass")


@pytest.mark.parametrize(
    ("name", "fact", "value", "status"),
    [
        ("architecture", "architecture", "riscv64", "fail"),
        ("architecture", "architecture", None, "fail"),
        ("soc", "soc_compatible", ["nvidia,tegra234"], "fail"),
        ("soc", "soc_compatible", None, "fail"),
        ("l4t", "l4t", {"revision_full": "36.4.3"}, "fail"),
        ("l4t", "l4t", {"revision_full": "39.0.0"}, "fail"),
        ("l4t", "l4t", {"revision_full": "38.2.1"}, "pass"),
        ("l4t", "l4t", None, "fail"),
        ("memory", "memory.total_bytes", 2**29, "fail"),
        ("memory", "memory", None, "fail"),
        ("memory_available", "memory.available_bytes", 10, "warn"),
        ("memory_available", "memory", None, "warn"),
        ("disk", "disk.state_free_bytes", 4000, "fail"),
        ("disk", "disk.docker_free_bytes", None, "fail"),
        ("disk", "disk", None, "fail"),
        ("docker", "docker.version", None, "fail"),
        ("docker", "docker", {"installed": False}, "warn"),
        ("docker", "docker", None, "warn"),
        ("container_runtime", "docker.runtimes", ["runc"], "warn"),
        ("container_runtime", "docker.runtimes", None, "fail"),
        ("container_runtime", "docker", {"installed": False}, "warn"),
        ("clock", "clock_synchronized", False, "warn"),
        ("clock", "clock_synchronized", None, "warn"),
        ("power_mode", "power_mode", {"name": "90W", "id": 2}, "fail"),
        ("power_mode", "power_mode", None, "fail"),
    ],
)
def test_each_check(name: str, fact: str, value: Any, status: str) -> None:
    found = item(name, situation(fact, value))
    assert found.status == status
    assert (found.remedy != "") == (status != "pass")
    assert found.message.endswith(".")
    assert found.switch == f"--skip {name}"


def test_checks_that_look_elsewhere_than_at_facts() -> None:
    assert item("python", situation(python=(3, 9, 2))).status == "fail"
    assert item("clock", situation(now=0.0)).status == "fail"
    taken = item("port", situation(listener=Listener(12, "python3", is_engine=False)))
    assert (taken.status, taken.found) == ("fail", "python3 (process 12)")
    assert item("port", situation(listener=Listener(12, "vllm", is_engine=True))).status == "pass"
    running = situation("memory.available_bytes", 10, listener=Listener(12, "vllm", is_engine=True))
    assert item("memory_available", running).status == "pass"


def test_a_disk_too_small_says_how_much_and_for_what() -> None:
    found = item("disk", situation("disk.state_free_bytes", 4000))
    assert "state and docker" in found.message
    assert "checkpoint" in found.wanted
    # What is there already needs no room.
    assert item("disk", situation("disk.state_free_bytes", 800, image_present=True)).status == "pass"


def test_skip_lowers_one_failure_to_a_warning_that_says_so() -> None:
    broken = situation("l4t", None, python=(3, 9))
    items = {one.name: one for one in judge(broken, skip={"l4t"})}
    assert items["l4t"].status == "warn"
    assert "--skip l4t" in items["l4t"].message
    assert items["python"].status == "fail"
    assert items["disk"].status == "pass"


def test_the_error_names_the_first_failure_its_remedy_and_the_switch() -> None:
    error = preflight.failure(judge(situation("l4t", {"revision_full": "36.4.3"}, python=(3, 9))))
    assert error is not None
    assert error.code == "preflight_failed"
    for part in ("l4t, python", "36.4.3", "38.2 or newer, below 39.0"):
        assert part in error.message
    assert "--skip l4t" in error.remedy
    assert error.data["counts"]["fail"] == 2
    assert preflight.failure(judge(SITUATION)) is None


def test_the_verb_reads_the_device_and_fails_on_one_that_is_no_thor(tmp_path: Path) -> None:
    release = make_release()
    file = tmp_path / "release.json"
    file.write_bytes(canonical(release.document))
    outcome = preflight.run(make_context(tmp_path), argparse.Namespace(release=str(file), skip=""))
    assert outcome.error is not None
    assert outcome.exit_code == 1
    by_name = {one["name"]: one for one in outcome.data["items"]}
    assert set(by_name) == set(CHECKS)
    assert (by_name["soc"]["status"], by_name["soc"]["found"]) == ("fail", "unknown")
    assert json.dumps(outcome.document("preflight"))


def test_an_unknown_check_cannot_be_skipped(tmp_path: Path) -> None:
    with pytest.raises(AgentError, match="no check named sock") as caught:
        preflight.run(make_context(tmp_path), argparse.Namespace(release="-", skip="soc,sock"))
    assert "soc" in caught.value.remedy
    assert caught.value.exit_code == 2


def test_who_listens_on_a_port_is_named(tmp_path: Path) -> None:
    ctx = make_context(tmp_path)
    (tmp_path / "proc").symlink_to("/proc")
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        found = ports.listener(ctx, port)
        assert found is not None
        assert re.fullmatch(r".+ \(process \d+\)", str(found))
        assert found.is_engine is False
    assert ports.listener(ctx, port) is None
