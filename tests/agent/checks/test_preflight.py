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

from tests.support.device_double import make_context, make_release
from thorctl.agent.checks.judge import CHECKS, judge
from thorctl.agent.checks.situation import Situation
from thorctl.agent.core.outcome import AgentError
from thorctl.agent.facts import ports
from thorctl.agent.facts.ports import Listener
from thorctl.agent.verbs import preflight
from thorctl.protocol import canonical_json
from thorctl.protocol.decode import decode
from thorctl.protocol.encode import encode
from thorctl.protocol.facts import Facts

if TYPE_CHECKING:
    from pathlib import Path

    from thorctl.agent.checks.item import Item

GIB = 2**30
THOR: dict[str, Any] = {
    "architecture": "aarch64",
    "soc_compatible": ["nvidia,p4071-0000+p3834-0008", "nvidia,p3834-0008", "nvidia,tegra264"],
    "module": "T5000",
    "l4t": {"release": "38.4", "revision_full": "38.4.0", "raw": "# R38 …"},
    "l4t_core_package": "38.4.0-20251230160601",
    "container_toolkit": "1.18.1-1",
    "gpu": {"name": "NVIDIA Thor", "driver": "580.00", "mig": False},
    "gpu_processes": [],
    "memory": {"total_bytes": 122 * GIB, "available_bytes": 110 * GIB, "free_bytes": 105 * GIB},
    "swap": [{"path": "/swapfile", "size_bytes": 32 * GIB, "used_bytes": 0, "kind": "file"}],
    "disk": {"state_free_bytes": 10**12, "docker_free_bytes": 10**12, "same_filesystem": True,
             "state_filesystem": "ext4", "docker_filesystem": "ext4",
             "state_read_only": False, "docker_read_only": False,
             "state_disk": "nvme0n1", "docker_disk": "nvme0n1"},
    "disks": [{"name": "nvme0n1", "kind": "nvme", "size_bytes": 10**12},
              {"name": "mmcblk0", "kind": "mmc", "size_bytes": 10**11}],
    "root_filesystem": "ext4",
    "docker": {"installed": True, "version": "29.1.3", "image_store": "containerd", "package": "docker.io",
               "runtimes": ["nvidia", "runc"]},
    "cgroup": 2,
    "iptables_raw": True,
    "packages_held": ["docker.io", "nvidia-container-toolkit", "nvidia-l4t-core"],
    "unattended_upgrades": {"installed": True, "enabled": False},
    "power_mode": {"name": "120W", "id": 1},
    "over_current_events": {"hwmon2/oc1": 0},
    "temperature_celsius": {"tj": 38.9, "cpu": 37.0},
    "network": {"management": ["end0"], "connections": []},
    "clock_synchronized": True,
    "clock_settable": True,
}  # fmt: skip
ON_GPU = {"container": {"runtime": "nvidia"}, "module": "T5000", "free_page_cache": True}
SITUATION = Situation(
    facts=decode(Facts, THOR),
    release=make_release(
        device_class=ON_GPU,
        profile={"serve": {"served-model-name": ["tiny"], "port": 8000, "gpu-memory-utilization": 0.75}},
    ).document,
    listener=None,
    image_present=False,
    checkpoint_present_bytes=0,
    engine_running=False,
    engine_pids=frozenset(),
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
    return replace(SITUATION, facts=decode(Facts, facts), **other)


def item(name: str, given: Situation) -> Item:
    return next(one for one in judge(given) if one.name == name)


def test_a_thor_passes_every_check() -> None:
    assert {one.name: one.status for one in judge(SITUATION)} == dict.fromkeys(CHECKS, "pass")


OTHER = {"pid": 2201, "name": "python3", "used_bytes": 37 * GIB}
KEYRING = {"name": "Home", "uuid": "u", "type": "802-11-wireless", "devices": ["wlan0"], "management": True,
           "needs_login": ["802-11-wireless-security.psk-flags=1"]}  # fmt: skip
FAILURES: list[tuple[str, str, Any]] = [
    ("architecture", "architecture", "riscv64"),
    ("architecture", "architecture", None),
    ("soc", "soc_compatible", ["nvidia,tegra234"]),
    ("soc", "soc_compatible", None),
    ("module", "module", "T4000"),
    ("module", "module", None),
    ("l4t", "l4t", {"revision_full": "36.4.3"}),
    ("l4t", "l4t", {"revision_full": "39.0.0"}),
    ("l4t", "l4t", None),
    ("gpu", "gpu", None),
    ("mig", "gpu.mig", True),
    ("memory", "memory.total_bytes", 2**29),
    ("memory", "memory", None),
    ("memory_available", "memory.available_bytes", 91 * GIB),  # 0.75 of 122 are 91.5
    ("memory_available", "memory.available_bytes", None),
    ("memory_available", "memory", None),
    ("disk", "disk.state_free_bytes", 4000),
    ("disk", "disk.docker_free_bytes", None),
    ("disk", "disk", {}),
    ("filesystem", "root_filesystem", "overlay"),
    ("filesystem", "root_filesystem", None),
    ("filesystem", "disk.docker_filesystem", "overlay"),
    ("filesystem", "disk.state_filesystem", "tmpfs"),
    ("filesystem", "disk.state_read_only", True),
    ("filesystem", "disk.docker_read_only", True),
    ("filesystem", "disk.state_read_only", None),
    ("filesystem", "disk", {}),
    ("docker", "docker.version", None),
    ("container_runtime", "docker.runtimes", None),
    ("container_toolkit", "container_toolkit", "1.17.6-1"),
    ("container_toolkit", "container_toolkit", "1.17.7-1"),  # CVE-2025-23266
    ("cgroup", "cgroup", None),
    ("network", "network.connections", [KEYRING]),
    ("network", "network.connections", [{**KEYRING, "management": None}]),
    ("network", "network.connections", None),
    ("network", "network", {}),
    ("power_mode", "power_mode", None),
]
WARNINGS: list[tuple[str, str, Any]] = [
    ("mig", "gpu.mig", None),
    ("mig", "gpu", None),
    ("gpu_processes", "gpu_processes", [OTHER]),
    ("gpu_processes", "gpu_processes", None),
    ("swap", "swap", []),
    ("swap", "swap", [{"path": "/dev/zram0", "size_bytes": GIB, "used_bytes": 0, "kind": "zram"}]),
    ("swap", "swap", None),
    ("storage", "disk.docker_disk", "mmcblk0"),
    ("storage", "disk.state_disk", None),
    ("storage", "disks", None),
    ("docker", "docker", {"installed": False}),
    ("docker", "docker", {}),
    ("container_runtime", "docker.runtimes", ["runc"]),
    ("container_runtime", "docker", {"installed": False}),
    ("container_toolkit", "container_toolkit", None),
    ("container_toolkit", "container_toolkit", "1.18.0~rc.1-1"),
    ("iptables_raw", "iptables_raw", False),
    ("iptables_raw", "iptables_raw", None),
    ("clock", "clock_synchronized", False),
    ("clock", "clock_synchronized", None),
    ("network", "network.connections", [{**KEYRING, "management": False}]),
    ("unattended_upgrades", "unattended_upgrades.enabled", True),
    ("unattended_upgrades", "unattended_upgrades.enabled", None),
    ("unattended_upgrades", "unattended_upgrades", {}),
    ("packages_held", "packages_held", ["nvidia-l4t-core", "docker.io"]),
    ("packages_held", "packages_held", []),
    ("packages_held", "packages_held", None),
    ("power_mode", "power_mode", {"name": "15W", "id": 7}),
    ("over_current", "over_current_events", {"hwmon2/oc3": 2}),
    ("over_current", "over_current_events", None),
    ("temperature", "temperature_celsius", {"tj": 80.0}),
    ("temperature", "temperature_celsius", None),
]
PASSES: list[tuple[str, str, Any]] = [
    ("l4t", "l4t", {"revision_full": "38.2.1"}),
    ("storage", "disks", [{"name": "nvme0n1", "kind": "ata", "size_bytes": 1}]),
    ("container_toolkit", "container_toolkit", "1.17.8-1"),
    ("iptables_raw", "docker.version", "27.5.1"),
    ("network", "network.connections", [{**KEYRING, "needs_login": []}]),
    ("network", "network.management", None),
    ("packages_held", "container_toolkit", None),
    ("temperature", "temperature_celsius", {"tj": 79.9}),
]


@pytest.mark.parametrize(
    ("name", "fact", "value", "status"),
    [
        (*row, status)
        for status, rows in {"fail": FAILURES, "warn": WARNINGS, "pass": PASSES}.items()
        for row in rows
    ],
)
def test_each_check(name: str, fact: str, value: Any, status: str) -> None:
    found = item(name, situation(fact, value))
    assert found.status == status
    assert (found.remedy != "") == (status != "pass")
    assert found.message.endswith(".")
    assert found.switch == f"--skip {name}"


def test_every_check_has_been_seen_failing_or_warning() -> None:
    assert {row[0] for row in FAILURES + WARNINGS} | {"port", "python"} == set(CHECKS)


def test_checks_that_look_elsewhere_than_at_facts() -> None:
    assert item("python", situation(python=(3, 9, 2))).status == "fail"
    assert item("clock", situation(now=0.0)).status == "fail"
    taken = item("port", situation(listener=Listener(12, "python3", is_engine=False)))
    assert (taken.status, taken.found) == ("fail", "python3 (process 12)")
    assert item("port", situation(listener=Listener(12, "vllm", is_engine=True))).status == "pass"
    door = Listener(12, "nginx", is_engine=False, is_door=True)
    assert item("port", situation(listener=door)).found == "thor-door"
    assert (
        item("memory_available", situation("memory.available_bytes", 10, engine_running=True)).status
        == "pass"
    )


def test_clock_of_a_container_is_judged_but_not_to_be_synchronised_there() -> None:
    for synchronized in (True, False, None):
        given = situation("clock_synchronized", synchronized)
        given = replace(given, facts=replace(given.facts, clock_settable=False))
        assert (item("clock", given).status, item("clock", given).remedy) == ("pass", "")
    unset = item("clock", replace(given, now=0.0))
    assert unset.status == "fail"
    assert "timedatectl" not in unset.remedy
    unknown = situation("clock_synchronized", False)
    assert item("clock", replace(unknown, facts=replace(unknown.facts, clock_settable=None))).status == "warn"


def test_what_others_hold_on_the_gpu_is_told_by_name_and_the_engine_is_no_other() -> None:
    engine = {"pid": 1234, "name": "VLLM::EngineCore", "used_bytes": 90 * GIB}
    both = situation("gpu_processes", [engine, OTHER], engine_pids=frozenset({1234}))
    assert item("gpu_processes", both).found == "python3 (2201, 37.0 GiB)"
    alone = situation("gpu_processes", [engine], engine_pids=frozenset({1234}))
    assert (item("gpu_processes", alone).status, item("gpu_processes", alone).found) == ("pass", "the engine")


def test_memory_is_judged_by_what_the_release_needs() -> None:
    release = {
        **SITUATION.release,
        "options": {"max-num-seqs": 16, "max-model-len": 16384, "gpu-memory-utilization": 0.3},
        "memory": {"total_bytes": 36 * GIB, "utilization": 0.3},
    }
    reserve = release["device_class"]["reserve"]["memory_bytes"]
    for free, status in ((36 * GIB + reserve, "pass"), (36 * GIB + reserve - 1, "fail")):
        facts = {**THOR, "memory": {**THOR["memory"], "available_bytes": free, "free_bytes": free}}
        found = item("memory_available", replace(SITUATION, facts=decode(Facts, facts), release=release))
        assert found.status == status
        assert "36.0 GiB for the engine" in found.wanted
    assert "max-num-seqs (16) or max-model-len (16384)" in found.remedy


def test_a_release_of_the_earlier_layout_is_judged_by_its_share() -> None:
    assert "memory" not in SITUATION.release
    found = item("memory_available", SITUATION)
    assert (found.status, found.wanted) == ("pass", "91.5 GiB: 0.75 of all memory")


def test_a_share_of_the_profile_s_own_is_read_from_the_effective_options() -> None:
    release = {**SITUATION.release, "options": {"gpu-memory-utilization": 0.5}, "memory": None}
    found = item("memory_available", situation(release=release))
    assert found.wanted == "61.0 GiB: 0.5 of all memory"


def test_page_cache_is_told_from_memory_that_somebody_holds() -> None:
    cached = situation("memory.free_bytes", 20 * GIB)
    found = item("memory_available", cached)
    assert (found.status, found.found) == ("pass", "110 GiB, 20.0 GiB of it free")
    assert "page cache" in found.message
    release = deepcopy(dict(SITUATION.release))
    release["device_class"]["free_page_cache"] = False
    kept = item("memory_available", replace(cached, release=release))
    assert kept.status == "warn"
    assert "drop_caches" in kept.remedy


def test_a_simulated_device_is_not_asked_what_only_a_gpu_needs() -> None:
    simulated = replace(
        SITUATION, release=make_release(device_class={"overlay_root_kept": True}).document,
        facts=replace(SITUATION.facts, gpu=None, swap=(), container_toolkit=None, over_current_events=None,
                      module=None, root_filesystem="overlay"),
    )  # fmt: skip
    asked = {one.name: one for one in judge(simulated)}
    assert {name for name, one in asked.items() if one.wanted == "not asked"} == {
        "module", "gpu", "mig", "gpu_processes", "swap", "container_runtime", "container_toolkit",
        "over_current",
    }  # fmt: skip
    assert {one.status for one in asked.values()} == {"pass"}


def test_containerd_s_second_copy_of_the_image_is_named() -> None:
    assert "containerd keeps both" in item("disk", SITUATION).wanted
    assert "containerd" not in item("disk", situation("docker.image_store", "docker")).wanted


def test_a_disk_that_has_all_of_it_already_may_be_full() -> None:
    full = situation("disk.state_free_bytes", 0, image_present=True, checkpoint_present_bytes=500)
    assert (item("disk", full).status, item("disk", full).wanted) == ("pass", "nothing")


def test_a_free_nvme_disk_is_named_where_the_weights_lie_on_a_slow_one() -> None:
    disks = [{"name": "sda", "kind": "usb"}, {"name": "nvme0n1", "kind": "nvme"}]
    facts = {**deepcopy(THOR), "disks": disks}
    facts["disk"] |= {"state_disk": "sda", "docker_disk": "sda"}
    found = item("storage", replace(SITUATION, facts=decode(Facts, facts)))
    assert (found.status, found.found) == ("warn", "sda (usb)")
    assert "the NVMe disk nvme0n1" in found.remedy


def test_a_disk_that_fails_is_told_from_one_that_forgets() -> None:
    found = item("filesystem", situation("disk.state_read_only", True))
    assert "The disk of /var/lib/thor is read-only" in found.message
    assert "dmesg" in found.remedy


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
    items = judge(situation("l4t", {"revision_full": "36.4.3"}, python=(3, 9)))
    error = preflight.failure(items, preflight.report("r", items))
    assert error is not None
    assert error.code == "preflight_failed"
    for part in ("l4t, python", "36.4.3", "38.2 or newer, below 39.0"):
        assert part in error.message
    assert "--skip l4t" in error.remedy
    assert encode(error.data)["counts"]["fail"] == 2
    assert preflight.failure(judge(SITUATION), preflight.report("r", [])) is None


def _asked(release: str, skip: str = "") -> argparse.Namespace:
    return argparse.Namespace(release=release, skip=skip, settings=False)


def test_the_verb_reads_the_device_and_fails_on_one_that_is_no_thor(tmp_path: Path) -> None:
    release = make_release()
    file = tmp_path / "release.json"
    file.write_bytes(canonical_json.encode(release.document))
    outcome = preflight.run(make_context(tmp_path), _asked(str(file)))
    assert outcome.error is not None
    assert outcome.exit_code == 1
    by_name = {one["name"]: one for one in outcome.json["items"]}
    assert set(by_name) == set(CHECKS)
    assert (by_name["soc"]["status"], by_name["soc"]["found"]) == ("fail", "unknown")
    assert (outcome.json["release"], outcome.json["image_present"]) == (release.id, False)
    assert outcome.json["facts"]["soc_compatible"] is None
    assert encode(outcome.error.data) == outcome.json
    assert json.dumps(outcome.document("preflight"))


def test_an_unknown_check_cannot_be_skipped(tmp_path: Path) -> None:
    with pytest.raises(AgentError, match="unknown checks: sock") as caught:
        preflight.run(make_context(tmp_path), _asked("-", "soc,sock"))
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
