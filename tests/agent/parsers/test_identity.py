"""Parsers of what the device is: Jetson Linux, packages, device tree, board, driver."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.agent.read_capture import raw, text
from thorctl.agent.parsers import boot_control, devicetree, dpkg, driver, l4t, system


@pytest.mark.parametrize(
    ("capture", "release", "full", "jetpack"),
    [
        ("nv_tegra_release.r38.2.0", "38.2", "38.2.0", "7.0"),
        ("nv_tegra_release.r38.4.0", "38.4", "38.4.0", "7.1"),
    ],
)
def test_nv_tegra_release(capture: str, release: str, full: str, jetpack: str) -> None:
    found = l4t.parse_nv_tegra_release(text(capture))
    assert found is not None
    assert (found.release, found.revision_full) == (release, full)
    assert found.raw == text(capture).splitlines()[0]
    assert l4t.jetpack_of(found.revision_full) == jetpack


def test_a_patch_release_is_told_apart() -> None:
    found = l4t.parse_nv_tegra_release("# R38 (release), REVISION: 2.1, GCID: 1, BOARD: generic\n")
    assert found is not None
    assert found.revision_full == "38.2.1"


@pytest.mark.parametrize(("patch", "jetpack"), [(0, "7.2"), (1, "7.2.1"), (2, "7.2")])
def test_maintenance_releases_of_39_2_are_known(patch: int, jetpack: str) -> None:
    found = l4t.parse_nv_tegra_release(f"# R39 (release), REVISION: 2.{patch}, GCID: 1, BOARD: generic\n")
    assert found is not None
    assert l4t.jetpack_of(found.revision_full) == jetpack


@pytest.mark.parametrize(
    "unread",
    [
        None,
        "",
        "\n",
        "R38 REVISION: 4",
        "# R38 (release), REVISION: 4.x, GCID: 1",
        "# Rnext (release), REVISION: 4.0,",
    ],
)
def test_an_unknown_release_is_none_and_never_guessed(unread: str | None) -> None:
    assert l4t.parse_nv_tegra_release(unread) is None


@pytest.mark.parametrize("unknown", [None, "", "38.3.0", "39.1.0", "40.0.0"])
def test_no_jetpack_for_a_release_that_is_not_in_the_table(unknown: str | None) -> None:
    assert l4t.jetpack_of(unknown) is None


@given(st.text())
def test_any_text_is_a_release_or_none(noise: str) -> None:
    assert l4t.parse_nv_tegra_release(noise) is None or noise.startswith("# R")


@pytest.mark.parametrize(
    ("given_text", "wanted"),
    [
        ("38.4", (38, 4)),
        ("38.10.1", (38, 10, 1)),
        ("38.x", None),
        ("", None),
        (None, None),
        ("38.", None),
        ("³", None),
    ],
)
def test_versions_compare_by_number(given_text: str | None, wanted: tuple[int, ...] | None) -> None:
    assert l4t.version_tuple(given_text) == wanted


def test_packages() -> None:
    found = dpkg.parse_versions(text("dpkg-query.r38.4.0"))
    assert found == {"nvidia-l4t-core": "38.4.0-20251230160601", "nvidia-jetpack": "7.1-b112"}


def test_a_removed_package_is_not_installed() -> None:
    assert dpkg.parse_versions("nvidia-jetpack 7.1-b112 config-files\nnvidia-l4t-core\n") == {}


def test_device_tree() -> None:
    compatible = devicetree.parse_strings(raw("devicetree.compatible"))
    assert compatible == ["nvidia,p4071-0000+p3834-0008", "nvidia,p3834-0008", "nvidia,tegra264"]
    assert devicetree.soc_of(compatible) == "tegra264"
    assert devicetree.parse_string(raw("devicetree.model")) == "NVIDIA Jetson AGX Thor Developer Kit"


@pytest.mark.parametrize("unread", [None, b"", b"\0", b"a\0\0b\0", b"\xff\xfe\0"])
def test_a_broken_device_tree_is_none(unread: bytes | None) -> None:
    assert devicetree.parse_strings(unread) is None
    assert devicetree.soc_of(devicetree.parse_strings(unread)) is None


@pytest.mark.parametrize("other", [["nvidia,tegra"], ["acme,tegra264"], ["nvidia,p3834"], []])
def test_no_soc_where_none_is_named(other: list[str]) -> None:
    assert devicetree.soc_of(other) is None


def test_board() -> None:
    assert boot_control.parse_tnspec(text("nv_boot_control.conf")) == "3834-0008"
    assert boot_control.module_of("3834-0008-400-G.5-1-0-jetson-agx-thor-devkit-") == "T5000"
    assert boot_control.module_of("3834-0000-400--1-0-jetson-agx-thor-t4000-") == "T4000"
    assert boot_control.module_of("3834-0008") is None
    assert boot_control.parse_tnspec(None) is None


def test_the_driver_of_r38_4_names_no_version() -> None:
    assert driver.parse_driver_version(text("proc-driver-nvidia-version.r38.4.0")) is None
    assert driver.parse_driver_version(None) is None
    line = "NVRM version: NVIDIA UNIX Open Kernel Module for aarch64  580.00  Release Build\n"
    assert driver.parse_driver_version(line) == "580.00"


def test_os_release_and_uptime() -> None:
    assert (
        system.parse_os_release('NAME="Ubuntu"\nPRETTY_NAME="Ubuntu 24.04.3 LTS"\n') == "Ubuntu 24.04.3 LTS"
    )
    assert system.parse_os_release("PRETTY_NAME=Arch\n") == "Arch"
    assert system.parse_os_release('PRETTY_NAME="open\n') is None
    assert system.parse_os_release(None) is None
    assert system.parse_uptime("1234.56 99.00\n") == 1234.56
    assert system.parse_uptime("") is None
