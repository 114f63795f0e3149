"""thorctl preflight on real devices: bare, serving, and spoiled on purpose."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.system.e2e.site_world import DEVICE, World, envelope

if TYPE_CHECKING:
    from tests.system.e2e.conftest import Asked

pytestmark = [pytest.mark.sim, pytest.mark.vllm]

CAPTURED = "NVIDIA Thor, compute capability 11.0, module T5000"


def checks(answer: dict[str, Any]) -> dict[str, str]:
    (device,) = answer["data"]["devices"]
    return {item["name"]: item["status"] for item in device["items"]}


def test_a_bare_device_is_asked_by_an_agent_that_comes_along_and_goes_again(asked_bare: Asked) -> None:
    assert asked_bare.answer["exit_code"] == 0, asked_bare.answer["errors"]
    assert "fail" not in checks(asked_bare.answer).values()
    (device,) = asked_bare.answer["data"]["devices"]
    assert device["test_device"]["gpu"]["device"] == CAPTURED
    assert device["test_device"]["serving"]["device"].endswith("not on the device yet")
    assert asked_bare.newer == []


def test_a_device_that_serves_can_take_what_it_has(world: World, committed: str) -> None:
    answer = envelope(world.thorctl("preflight", DEVICE, "--json"))
    (device,) = answer["data"]["devices"]
    assert (answer["exit_code"], device["release"]) == (0, committed)
    by_name = {item["name"]: item for item in device["items"]}
    assert by_name["port"]["found"] == "thor-door"
    assert by_name["disk"]["wanted"] == "nothing"
    assert by_name["packages_held"]["status"] == "pass"
    assert not device["test_device"]["serving"]["device"].endswith("yet")


def test_playbook_and_command_line_show_the_same_table(world: World, committed: str) -> None:
    shown = world.thorctl("preflight", DEVICE).stdout.splitlines()
    run = world.playbook("preflight")
    assert run.exit_code == 0, run.text
    assert run.total("changed") == 0
    assert shown[-1].startswith(f"{DEVICE} can take {committed}")
    assert shown[-1] in run.text
    assert CAPTURED in run.text


def test_every_wrong_thing_is_named_at_once(world: World, committed: str) -> None:
    spoil = (
        "sudo sed -i.kept '1s/R38/R36/' /etc/nv_tegra_release && sudo mv /usr/sbin/nvpmodel /usr/sbin/kept"
    )
    mend = (
        "sudo mv /etc/nv_tegra_release.kept /etc/nv_tegra_release; sudo mv /usr/sbin/kept /usr/sbin/nvpmodel"
    )
    world.sim.run(DEVICE, spoil)
    try:
        done = world.thorctl("preflight", DEVICE)
        skipped = envelope(world.thorctl("preflight", DEVICE, "--skip", "l4t,power_mode", "--json"))
    finally:
        world.sim.run(DEVICE, mend)
    assert done.returncode == 1
    for words in (
        "Jetson Linux 36.4.0 is outside the range.",
        "Flash Jetson Linux",
        "--skip l4t",
        "The power mode is unknown.",
        "--skip power_mode",
        f"{DEVICE} cannot take {committed}",
    ):
        assert words in done.stdout
    assert skipped["exit_code"] == 0
    assert checks(skipped)["l4t"] == "warn"
