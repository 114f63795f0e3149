"""Desired against actual: what differs is named, and what could not be read is unknown, never well."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.device_double import Programs, make_context, make_release, serving
from tests.support.stateful_device import Images
from thorctl.agent.core.outcome import AgentError
from thorctl.agent.drift import actual, desired
from thorctl.agent.drift import compare as drift
from thorctl.agent.drift.desired import HostWish, PackageWish
from thorctl.agent.parsers import dpkg
from thorctl.agent.state.journal import load_journal

if TYPE_CHECKING:
    from pathlib import Path

    from thorctl.agent.core.context import Context
    from thorctl.protocol.status import Comparison

# dpkg-query of a simulated R38.4 device, shortened.
LISTING = """\
adduser install installed
docker.io hold installed
libnvidia-container1:arm64 install installed
linux-image-6.6.0 deinstall config-files
nvidia-l4t-core hold installed
"""
HELD = dpkg.parse_holds(LISTING)
WISH = HostWish("120W", (PackageWish("held", ("docker.io", "nvidia-l4t-*", "libnvidia-container*")),))


def told(items: list[Comparison]) -> list[tuple[str, Any, bool | None]]:
    return [(item.what, item.found, item.same) for item in items]


def test_a_part_is_same_other_absent_or_unknown() -> None:
    wanted = {"a": "sha256:1", "b": "sha256:1", "c": "sha256:1", "d": "sha256:1", "e": None}
    items = drift.release_items(wanted, {"a": "sha256:1", "b": "sha256:2", "c": None, "e": None})
    assert told(items) == [
        ("a", "sha256:1", True),
        ("b", "sha256:2", False),
        ("c", None, False),
        ("d", None, None),
        ("e", None, True),
    ]
    assert [item.what for item in drift.drifted(items)] == ["b", "c", "d"]


@pytest.mark.parametrize(
    ("found", "same"), [("120W", True), ("MAXN", False), (None, None)], ids=["as told", "another", "unknown"]
)
def test_the_power_mode(found: str | None, same: bool | None) -> None:
    item = drift.host_items(HostWish("120W", ()), found, None)[0]
    assert (item.what, item.wanted, item.found, item.same) == ("power mode", "120W", found, same)


def test_a_power_mode_that_nobody_asks_for_is_not_compared() -> None:
    assert drift.host_items(HostWish(None, ()), "MAXN", None) == []


def test_packages_are_named_one_by_one() -> None:
    (_, packages) = drift.host_items(WISH, "120W", HELD)
    assert (packages.what, packages.same) == ("packages held", False)
    assert packages.wanted == ["docker.io", "libnvidia-container1:arm64", "nvidia-l4t-core"]
    assert packages.found == ["docker.io", "nvidia-l4t-core"]
    released = HostWish(None, (PackageWish("released", ("nvidia-l4t-*", "adduser")),))
    (packages,) = drift.host_items(released, None, HELD)
    assert (packages.wanted, packages.found) == (["adduser", "nvidia-l4t-core"], ["adduser"])


def test_packages_that_cannot_be_read_are_unknown() -> None:
    assert dpkg.parse_holds(None) is None
    assert drift.host_items(WISH, "120W", None)[1].same is None


@pytest.mark.parametrize(
    "device",
    [
        None,
        [],
        {"packages": "held"},
        {"packages": [{"state": "held"}]},
        {"packages": [None]},
        {"packages": [{"state": None, "which": []}]},
        {"packages": [{"state": [], "which": []}]},
    ],
)
def test_wishes_that_cannot_be_read_are_unknown(device: Any) -> None:
    (item,) = drift.host_items(desired.of_host(device), "120W", HELD)
    assert item.same is None


def test_wishes_are_what_the_role_writes() -> None:
    packages = [(one, ["a-*"]) for one in ("held", "alone", "released")] + [("held", ["b", "c"])]
    device = {
        "power_mode": "90W",
        "packages": [{"state": state, "which": which} for state, which in packages],
    }
    assert desired.of_host(device) == HostWish(
        "90W", (PackageWish("held", ("a-*", "b", "c")), PackageWish("released", ("a-*",)))
    )
    assert desired.of_host({"name": "of an older thorctl"}) == HostWish(None, ())


class Engine(Images):
    """A Docker engine with, or without, this image on its disk and in its container; or none that answers."""

    def __init__(self, on_disk: str | None, running: str | None, *, answers: bool = True) -> None:
        super().__init__("/nowhere")
        self.on_disk, self.running, self.answers = on_disk, running, answers

    def image(self, reference: str) -> dict[str, Any]:  # noqa: ARG002 - the API's signature
        self._answer()
        return {"RepoDigests": [self.on_disk] if self.on_disk else []}

    def container(self, name: str) -> Any:  # noqa: ARG002 - the API's signature
        self._answer()
        return self.running and {"Config": {"Image": self.running}}

    def _answer(self) -> None:
        if not self.answers:
            raise AgentError("docker_unavailable", "Nothing answers.", "Start it.")


def compared(ctx: Context, engine: Engine | None = None) -> dict[str, Comparison]:
    ctx = replace(ctx, docker=engine or ctx.docker)
    return {item.what: item for item in actual.compared(ctx, load_journal(ctx.paths), make_release(), None)}


def test_the_image_on_disk_and_the_image_that_runs_are_two_things(tmp_path: Path) -> None:
    ctx = serving(make_context(tmp_path), make_release())
    image = make_release().image
    found = compared(ctx, Engine(None, "other@sha256:1"))
    assert (found["image on disk"].found, found["image on disk"].same) == (None, False)
    assert (found["container image"].found, found["container image"].same) == ("other@sha256:1", False)
    found = compared(ctx, Engine(image, image))
    assert {found[what].same for what in ("image on disk", "container image")} == {True}
    assert "container image" not in compared(ctx, Engine(image, None))


def test_without_docker_both_are_unknown(tmp_path: Path) -> None:
    ctx = serving(make_context(tmp_path), make_release())
    found = compared(ctx, Engine(None, None, answers=False))
    assert {found[what].same for what in ("image on disk", "container image")} == {None}


def test_what_is_there_and_cannot_be_read_is_unknown(tmp_path: Path) -> None:
    ctx = serving(make_context(tmp_path), make_release())
    ctx.paths.engine_unit.mkdir(parents=True)  # reading a folder fails; root reads every file
    found = compared(ctx)
    assert (found["installed unit"].same, found["installed unit"].found) == (None, None)
    assert found["release release.json"].same is True


def test_a_journal_and_a_document_that_cannot_be_read_are_no_release(tmp_path: Path) -> None:
    ctx = serving(make_context(tmp_path), make_release())
    assert told(actual.compared(ctx, None, None, None)) == [("release", None, None)]
    items = actual.compared(ctx, load_journal(ctx.paths), None, "release_invalid")
    assert told(items) == [("release", "release_invalid", False)]


def test_status_tells_it_all_from_the_device_s_own_files(tmp_path: Path) -> None:
    from thorctl.agent.verbs import status

    programs = Programs({"dpkg-query": LISTING, "nvpmodel": "NV Power Mode: MAXN\n0\n"})
    ctx = serving(make_context(tmp_path, programs), make_release())
    ctx.paths.device_json.parent.mkdir(parents=True)
    packages = [{"state": "held", "which": ["docker.io", "libnvidia-container*"]}]
    ctx.paths.device_json.write_text(json.dumps({"power_mode": "120W", "packages": packages}))
    data = status.run(ctx, None).json  # type: ignore[arg-type]  # it takes no arguments
    by_name = {one["what"]: one for one in data["drift"]}
    assert (by_name["power mode"]["wanted"], by_name["power mode"]["found"]) == ("120W", "MAXN")
    assert by_name["packages held"]["found"] == ["docker.io"]
    assert {one["scope"] for one in data["compared"]} == {"release", "host"}
    assert [one for one in data["compared"] if one["same"] is not True] == data["drift"]
