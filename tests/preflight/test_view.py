"""A preflight as data and as a person sees it: one device, several, narrow and wide."""

from __future__ import annotations

import json
from io import StringIO
from typing import TYPE_CHECKING, Any

import pytest
from rich.cells import cell_len
from rich.console import Console

from tests.support.doubles.reported import CARD, FACTS, RELEASE, data, item, said
from thorctl.preflight.report import card_rows, report
from thorctl.preflight.view import PreflightView, findings
from thorctl.protocol.decode import decode
from thorctl.protocol.preflight import PreflightReport
from thorctl.remote.answer import Answer
from thorctl.result import Problem

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

FAILED = Problem("preflight_failed", "It failed.", "Mend it.", "thor-01")


def made(name: str, *items: dict[str, str], **changes: Any) -> dict[str, Any]:
    error = FAILED if any(one["status"] == "fail" for one in items) else None
    return report(name, RELEASE, Answer(name, object=said(*items, **changes), error=error))


def unreachable(name: str) -> dict[str, Any]:
    problem = Problem("device_unreachable", "No.", "Look.", name)
    return report(name, RELEASE, Answer(name, error=problem, reached=False))


def shown(reports: Sequence[Mapping[str, Any]], width: int = 160) -> str:
    out = StringIO()
    Console(file=out, width=width, color_system=None).print(PreflightView(reports))
    return out.getvalue()


def test_the_cards_test_device_stands_beside_ours() -> None:
    rows = card_rows(RELEASE, decode(PreflightReport, data()))
    assert {row: cells["card"] for row, cells in rows.items()} == CARD
    assert {row: cells["device"] for row, cells in rows.items()} == {
        "gpu": "NVIDIA Thor, compute capability 11.0, module T5000",
        "cpu_memory": "14-core aarch64, 123 GiB memory",
        "software": "JetPack 7.1 / L4T R38.4.0 (Ubuntu 24.04.3 LTS), CUDA 13.0, driver 580.00, "
        "kernel 6.8.12-tegra",
        "serving": "vLLM 0.19.0 (ghcr.io/nvidia-ai-iot/vllm:latest-jetson-thor)",
    }


def test_what_is_not_known_is_called_unknown_and_never_left_out() -> None:
    bare = PreflightReport("r", image_present=False)
    unlocked = {**RELEASE, "lock": {"image": {"reference": "r:t", "vllm_version": None}}}
    rows = {row: cells["device"] for row, cells in card_rows(unlocked, bare).items()}
    assert rows == {
        "gpu": "unknown",
        "cpu_memory": "unknown-core unknown, unknown memory",
        "software": "JetPack unknown / L4T R unknown (unknown), CUDA unknown, driver unknown, kernel unknown",
        "serving": "vLLM unknown (r:t), not on the device yet",
    }


def test_a_report_is_plain_data() -> None:
    one = made("thor-01", item("soc"), item("disk", "fail"))
    assert (one["release"], one["device_class"]) == ("qwable-0123456789ab", "jetson-agx-thor")
    assert one["counts"] == {"pass": 1, "warn": 0, "fail": 1}
    assert one["error"]["code"] == "preflight_failed"
    assert json.loads(json.dumps(one)) == one
    assert unreachable("thor-02")["test_device"] == {}


def test_one_device_shows_every_check_and_what_to_do() -> None:
    text = shown([made("thor-01", item("soc"), item("swap", "warn"), item("disk", "fail"))])
    lines = [line.split() for line in text.splitlines()]
    assert ["thor-01", "qwable-0123456789ab", "on", "jetson-agx-thor"] in lines
    for status, name in (("pass", "soc"), ("warn", "swap"), ("fail", "disk")):
        assert [status, name, "what", "is", "what", "should", "be"] in lines
    assert "disk is fail. Found what is, wanted what should be." in text
    assert "what to do: Mend disk." in text
    assert "to skip this check: --skip disk (in a playbook -e thor_preflight_skip=disk)" in text
    assert "what to do: Mend swap." in text
    assert "--skip swap" not in text
    assert CARD["gpu"] in text
    assert "thor-01 cannot take qwable-0123456789ab, with 1 warning." in text


def test_failures_stand_before_warnings() -> None:
    found = findings([made("thor-01", item("a", "warn"), item("b", "fail"), item("c", "warn"))])
    assert [one.item["name"] for one in found] == ["b", "a", "c"]


def test_several_devices_show_each_finding_once() -> None:
    reports = [
        made("thor-01", item("soc"), item("swap", "warn")),
        made("thor-02", item("soc"), item("swap", "warn", found="something else")),
        made("thor-03", item("soc", "fail"), item("swap")),
        unreachable("thor-04"),
    ]
    text = shown(reports)
    assert text.count("swap is warn.") == 1
    assert "thor-01, thor-02" in text
    assert "soc is fail." in text
    rows = [line.split() for line in text.splitlines()]
    assert ["thor-03", "1", "0", "1", "soc"] in rows
    assert ["thor-04", "–", "–", "–", "device_unreachable"] in rows
    assert "2 of 4 devices can take their release, with 2 warnings." in text
    assert "what should be" not in text.split("soc is fail.")[0]  # no table of every check


def test_a_check_that_fails_differently_is_told_for_each_device() -> None:
    text = shown([made(f"thor-0{n}", item("disk", "fail", found=f"{n} GiB")) for n in (1, 2)])
    assert "Found 1 GiB" in text
    assert "Found 2 GiB" in text


def test_devices_that_are_alike_share_a_column_and_many_that_differ_stand_below_each_other() -> None:
    alike = shown([made("thor-01", item("soc")), made("thor-02", item("soc"))])
    assert "Model card" in alike
    assert alike.count("14-core aarch64") == 1
    many = [made(f"thor-0{n}", item("soc"), facts={**FACTS, "cpus": n}) for n in (1, 2, 3, 4)]
    text = shown(many)
    assert all(f"thor-0{n}" in text and f"{n}-core aarch64" in text for n in (1, 2, 3, 4))
    assert text.count(CARD["cpu_memory"]) == 1


def test_without_a_card_the_devices_own_rows_are_shown() -> None:
    release = {**RELEASE, "profile": {}}
    text = shown([report("thor-01", release, Answer("thor-01", object=said(item("soc"))))])
    assert "Model card" not in text
    assert "14-core aarch64" in text


@pytest.mark.parametrize("width", [50, 72, 95, 96, 200])
def test_it_keeps_to_the_width_and_says_what_it_left_out(width: int) -> None:
    reports = [made("thor-01", item("memory_available", "fail"), item("soc"))]
    for one in (reports, [*reports, made("thor-02", item("soc"), facts={**FACTS, "cpus": 2})]):
        assert all(cell_len(line) <= width for line in shown(one, width).splitlines())
    assert ("Not shown because of the width: Desired." in shown(reports, width)) is (width < 96)
    assert "thor-01 cannot take" in " ".join(shown(reports, width).split())


def test_what_devices_print_cannot_steer_the_terminal() -> None:
    text = shown([made("thor-01", item("port", "fail", found="[red]x[/red]\x1b[2J"))])
    assert "[red]x[/red]" in text
    assert "\x1b" not in text
