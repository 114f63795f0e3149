"""site.yml on a bare device, again, in check mode, and with a model that babbles: with the real vLLM."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.system.e2e.host_world import ACCOUNT, SNAPSHOT
from tests.system.e2e.site_world import BROKEN, DEVICE, envelope, ssh_cut_during

if TYPE_CHECKING:
    from tests.system.e2e.conftest import Provisioned, Rehearsal
    from tests.system.e2e.site_world import World

pytestmark = [pytest.mark.sim, pytest.mark.vllm]


def test_check_mode_says_all_that_would_change_on_a_bare_device(rehearsed: Rehearsal) -> None:
    run = rehearsed.run
    assert run.exit_code == 0, run.text
    assert run.total("changed") > 0
    for part in (
        "+++ after: /etc/systemd/system/thor-clocks.service",
        "+held: ",
        f"account {ACCOUNT}",
        "log-driver",
        "+++ after: /etc/thor/device.json",
        "+download_checkpoint",
        "+pull_image",
        "+++ after: serve.yaml",
        "+ExecStart=/usr/bin/docker run",
    ):
        assert part in run.text
    assert rehearsed.after == rehearsed.before


def test_a_bare_device_becomes_a_committed_one(
    world: World, provisioned: Provisioned, committed: str
) -> None:
    assert provisioned.run.total("changed") > 0
    status = world.status()
    assert committed.startswith("tiny-qwable-")
    assert status["engine"]["ready"] is True
    assert status["engine"]["model"] == "tiny-qwable"
    assert status["last_smoke"]["passed"] is True
    assert status["power_mode"] == "120W"
    assert status["drift"] == []
    assert status["progress"] is None
    assert "stage: " in provisioned.run.text
    assert "Paris" in provisioned.run.text


def test_the_second_run_changes_nothing(world: World, committed: str) -> None:
    started, before = world.engine_started_at(), world.sim.run(DEVICE, SNAPSHOT)
    again = world.playbook("site")
    assert again.exit_code == 0, again.text
    assert again.total("changed") == 0, again.text
    assert world.sim.run(DEVICE, SNAPSHOT) == before
    assert (world.engine_started_at(), world.status()["release"]) == (started, committed)


def test_each_verb_alone_changes_nothing_there(world: World, committed: str) -> None:
    run = world.playbook("smoke")  # preflight: test_site_preflight.py
    assert run.exit_code == 0, run.text
    assert run.total("changed") == 0, run.text
    started = world.engine_started_at()
    for verb in ("stage", "activate"):
        (device,) = envelope(world.thorctl(verb, DEVICE, "--yes", "--json"))["data"]["devices"]
        assert (device["ok"], device["release"]) == (True, committed)
    assert world.engine_started_at() == started
    assert world.status()["release"] == committed


def test_check_mode_on_a_converged_device_foresees_nothing(world: World, committed: str) -> None:
    before = world.sim.run(DEVICE, SNAPSHOT)
    run = world.playbook("site", "--check", "--diff")
    assert run.exit_code == 0, run.text
    assert run.total("changed") == 0
    assert "+++ after" not in run.text
    assert world.sim.run(DEVICE, SNAPSHOT) == before


def test_diff_shows_what_another_profile_would_change(world: World, committed: str) -> None:
    profile = world.project / "deploy" / "profiles" / "tiny-qwable.yml"
    before = profile.read_text()
    profile.write_text(before.replace("max-num-seqs: 4", "max-num-seqs: 5"))
    try:
        run = world.playbook("site", "--check", "--diff")
    finally:
        profile.write_text(before)
    assert run.exit_code == 0, run.text
    assert "-max-num-seqs: 4" in run.text
    assert "+max-num-seqs: 5" in run.text
    assert "+download_checkpoint" not in run.text
    assert world.status()["release"] == committed


def test_what_was_changed_by_hand_is_put_back(world: World, committed: str) -> None:
    world.sim.run(DEVICE, "sudo chmod 0666 /etc/thor/device.json")
    run = world.playbook("site", "--tags", "thor_host_install")
    assert run.exit_code == 0, run.text
    assert run.total("changed") == 1
    assert world.sim.run(DEVICE, "stat -c %a /etc/thor/device.json") == "644"


def test_the_wrong_l4t_is_told_with_its_remedy(world: World, committed: str) -> None:
    world.sim.run(DEVICE, "sudo sed -i.kept '1s/R38/R36/' /etc/nv_tegra_release")
    try:
        run = world.playbook("preflight")
        skipped = world.playbook("preflight", "-e", "thor_preflight_skip=l4t,clock")
    finally:
        world.sim.run(DEVICE, "sudo mv /etc/nv_tegra_release.kept /etc/nv_tegra_release")
    assert run.exit_code != 0
    assert "l4t: Jetson Linux 36.4.0 is outside the range." in run.text
    assert "remedy: Flash Jetson Linux" in run.text
    assert "-e thor_preflight_skip=l4t" in run.text
    assert skipped.exit_code == 0, skipped.text


def test_a_device_that_another_has_leased_names_the_holder(world: World, committed: str) -> None:
    assert world.agent("--holder ann@desk lease take --reason maintenance")["ok"]
    try:
        run = world.playbook("smoke")
        done = world.thorctl("stage", DEVICE, "--yes")
    finally:
        assert world.agent("--holder ann@desk lease give")["ok"]
    assert run.exit_code != 0
    assert done.returncode == 4
    for said in (run.text, done.stdout):
        assert "leased: " in said
        assert "ann@desk" in said


def test_a_model_that_babbles_is_left_for_the_release_before(world: World, committed: str) -> None:
    # On the way every SSH session is killed: the activation goes on without them.
    with ssh_cut_during(world, "activate"):
        run = world.playbook("site", profile=BROKEN)
    assert run.exit_code != 0
    assert run.total("failed") == 1, run.text
    assert "smoke_failed: " in run.text
    assert " — text " in run.text
    assert (
        f"{DEVICE} rolled back: it is committed and serves {committed}, which passed its smoke test."
        in run.text
    )
    status = world.status()
    assert (status["state"], status["release"]) == ("committed", committed)
    assert status["engine"]["ready"] is True
    assert (status["last_smoke"]["release"], status["last_smoke"]["passed"]) == (committed, True)
