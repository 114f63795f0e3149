"""site.yml on a bare device, again, in check mode, and with a model that babbles: with the real vLLM."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.system.e2e.site_world import BROKEN, DEVICE, envelope, ssh_cut_during, wait_until

if TYPE_CHECKING:
    from tests.playbooks.playbook_run import PlaybookRun
    from tests.system.e2e.site_world import World

pytestmark = [pytest.mark.sim, pytest.mark.vllm]


def test_check_mode_says_all_that_would_change_on_a_bare_device(rehearsed: PlaybookRun) -> None:
    assert rehearsed.exit_code == 0, rehearsed.text
    assert rehearsed.total("changed") > 0
    for part in (
        "+++ after: /etc/thor/device.json",
        "+download_checkpoint",
        "+pull_image",
        "+++ after: serve.yaml",
        "+ExecStart=/usr/bin/docker run",
    ):
        assert part in rehearsed.text


def test_a_bare_device_becomes_a_committed_one(
    world: World, provisioned: PlaybookRun, committed: str
) -> None:
    assert provisioned.total("changed") > 0
    status = world.status()
    assert committed.startswith("tiny-qwable-")
    assert status["engine"]["ready"] is True
    assert status["engine"]["model"] == "tiny-qwable"
    assert status["last_smoke"]["passed"] is True
    assert status["power_mode"] == "120W"
    assert status["drift"] == []
    assert status["progress"] is None
    assert "stage: " in provisioned.text
    assert "Paris" in provisioned.text


def test_the_second_run_changes_nothing(world: World, committed: str) -> None:
    before = world.engine_started_at()
    again = world.playbook("site")
    assert again.exit_code == 0, again.text
    assert again.total("changed") == 0, again.text
    assert (world.engine_started_at(), world.status()["release"]) == (before, committed)


def test_each_verb_alone_changes_nothing_there(world: World, committed: str) -> None:
    for name in ("preflight", "stage", "activate", "smoke"):
        run = world.playbook(name)
        assert run.exit_code == 0, run.text
        assert run.total("changed") == 0, run.text
    assert world.status()["release"] == committed


def test_check_mode_on_a_converged_device_foresees_nothing(world: World, committed: str) -> None:
    run = world.playbook("site", "--check", "--diff")
    assert run.exit_code == 0, run.text
    assert run.total("changed") == 0
    assert "+++ after" not in run.text


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
        run = world.playbook("stage")
    finally:
        assert world.agent("--holder ann@desk lease give")["ok"]
    assert run.exit_code != 0
    assert "leased: " in run.text
    assert "ann@desk" in run.text


def test_a_model_that_babbles_is_left_for_the_release_before(world: World, committed: str) -> None:
    # On the way every SSH session is killed: the activation goes on without them.
    with ssh_cut_during(world, "activate"):
        run = world.playbook("site", profile=BROKEN)
    assert run.exit_code != 0
    assert run.total("failed") == 1, run.text
    assert "smoke_failed: " in run.text
    assert " — it said " in run.text
    assert (
        f"{DEVICE} went back: it is committed and serves {committed}, which passed its smoke test."
        in run.text
    )
    status = world.status()
    assert (status["state"], status["release"]) == ("committed", committed)
    assert status["engine"]["ready"] is True
    assert (status["last_smoke"]["release"], status["last_smoke"]["passed"]) == (committed, True)


def _without_any_release(world: World) -> None:
    """The device serves nothing and knows of no release; their bytes stay."""
    world.sim.run(DEVICE, "sudo rm -f /var/lib/thor/state.json")
    assert world.agent("recover --committed none")["ok"]
    assert world.status()["state"] == "empty"


def _first_that_babbles(world: World, seconds: int) -> str:
    """The first release of the device fails its smoke and is kept for review; what the play said."""
    assert world.playbook("stage", profile=BROKEN).exit_code == 0
    activated = world.playbook("activate", profile=BROKEN)
    assert activated.exit_code == 0, activated.text
    smoked = world.playbook("smoke", "-e", f"thor_smoke_keep_failed_trial={seconds}", profile=BROKEN)
    assert smoked.exit_code != 0
    assert world.status()["state"] == "trial", smoked.text
    return smoked.text


def test_a_first_release_that_fails_its_smoke_is_kept_for_review(world: World, committed: str) -> None:
    """It runs out once, and is accepted the other time; afterwards the device has its good release again."""
    _without_any_release(world)
    assert f"{DEVICE} keeps {BROKEN}-" in _first_that_babbles(world, 20)
    wait_until(lambda: world.status()["state"] == "empty", seconds=120)
    assert world.agent("status")["data"]["engine"]["unit"] == "inactive"
    _first_that_babbles(world, 3600)
    assert "kept for review, " in world.thorctl("status", DEVICE).stdout
    words = ("commit", DEVICE, "--accept-failed-smoke", "it babbles, as it is made to", "--json")
    assert envelope(world.thorctl(*words))["errors"][0]["code"] == "consent_missing"
    (device,) = envelope(world.thorctl(*words, "--yes"))["data"]["devices"]
    assert (device["state"], device["accepted"]["reason"]) == ("committed", "it babbles, as it is made to")
    assert world.status()["last_smoke"]["accepted"] == device["accepted"]
    assert "it babbles, as it is made to" in world.thorctl("logs", DEVICE, "--events").stdout
    for verb in (f"activate {committed}", "smoke", "commit"):
        assert world.agent(verb)["ok"]
