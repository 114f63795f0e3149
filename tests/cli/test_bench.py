"""bench and baseline: from the first measurement of a device to the one that is too slow."""

from __future__ import annotations

from io import StringIO
from typing import TYPE_CHECKING, Any

import pytest
from rich.console import Console

from tests.support.benchmarks import RELEASE, data, speeds
from tests.support.doubles.answers import answers
from tests.support.doubles.sshd import Sshd, running_sshd
from thorctl.cli import main
from thorctl.result import Exit, Result
from thorctl.sim.ports import free_port

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    Run = Callable[..., Result]


@pytest.fixture(scope="module")
def sshd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    with running_sshd(tmp_path_factory.mktemp("sshd")) as server:
        yield server


@pytest.fixture
def run(sshd: Sshd, tmp_path: Path) -> Run:
    inventory = sshd.inventory(tmp_path / "hosts.yml", "thor-01")

    def call(*words: str) -> Result:
        result = main.run(["-i", str(inventory), *words])
        assert result is not None
        return result

    return call


def measures(sshd: Sshd, **changes: Any) -> None:
    sshd.behave(answers("bench", data(**changes)))


def codes(result: Result) -> list[str]:
    return [problem.code for problem in result.errors]


def test_the_first_is_the_baseline_of_the_second(sshd: Sshd, run: Run) -> None:
    measures(sshd)
    first = run("bench")
    assert first.exit_code == Exit.SUCCESS
    assert first.data["devices"][0]["kept_as_baseline"] is True
    assert "this is its baseline now" in str(first.view)
    measures(sshd, **speeds(40.0, 331.0, 251.0))
    second = run("bench", "thor-01")
    assert second.exit_code == Exit.SUCCESS
    (device,) = second.data["devices"]
    assert device["kept_as_baseline"] is False
    assert device["comparison"]["changes"][0] == {
        "what": "single",
        "baseline": 41.2,
        "now": 40.0,
        "relative": -0.0291,
    }
    assert device["measurement"] == data(**speeds(40.0, 331.0, 251.0))
    assert "single stream 41.2 → 40.0 tok/s (-2.9%)" in str(second.view)


def test_slower_than_the_baseline_is_an_error_with_both_figures(sshd: Sshd, run: Run) -> None:
    measures(sshd)
    run("bench")
    measures(sshd, **speeds(30.0, 329.0, 254.0), before__temperature_celsius={"tj": 85.0})
    slow = run("bench")
    assert (slow.exit_code, codes(slow)) == (Exit.ERROR, ["bench_slower"])
    assert "30.0 tok/s instead of 41.2" in slow.errors[0].message
    assert "85 °C (baseline: 44 °C)" in slow.errors[0].message
    assert run("bench", "--tolerance", "0.3").exit_code == Exit.SUCCESS
    assert run("bench", "--set-baseline").exit_code == Exit.SUCCESS
    assert run("bench").exit_code == Exit.SUCCESS


def test_another_power_mode_is_not_compared(sshd: Sshd, run: Run) -> None:
    measures(sshd)
    run("bench")
    measures(sshd, before__power_mode="MAXN", after__power_mode="MAXN", **speeds(50.0, 400.0, 300.0))
    result = run("bench")
    assert (result.exit_code, codes(result)) == (Exit.ERROR, ["bench_incomparable"])
    assert result.data["devices"][0]["comparison"]["changes"] == []
    assert "MAXN" in str(result.view)


def test_what_was_measured_is_shown_as_the_card_does(sshd: Sshd, run: Run) -> None:
    measures(sshd)
    result = run("bench")
    lines = [" ".join(line.split()) for line in str(result.view).splitlines()]
    for line in (
        "Generation speed This device This model BF16 source Share",
        "Single-stream decode (tok/s) 41.2 41.8 30.3 99%",
        "Batched ×16, identical (tok/s) 329.0 330.8 303.0 99%",
        "Batched ×16, different (tok/s) 254.0 – – –",
        "On-disk size (GB) 24.0 24.0 67.0 100%",
        "memory a token reads 4.005 GB; 273 GB/s allow 68.2 tok/s, of which one stream reaches 60%",
        "engine vLLM 0.19.0, image sha256:aaaaaaaaaaaa; L4T 38.4.0",
    ):
        assert line in lines
    assert "120W, clocks locked; hottest sensor 44 °C before, 58 °C after; 0 over-current events" in str(
        result.view
    )
    assert result.data["devices"][0]["card"][0]["share"] == 0.9856


@pytest.mark.parametrize("width", [50, 60, 80, 200])
def test_no_width_loses_a_figure(sshd: Sshd, run: Run, width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    measures(sshd)
    out = StringIO()
    Console(file=out, width=width).print(run("bench").view)
    for figure in ("41.2", "41.8", "30.3", "330.8", "303.0", "254.0", "68.2"):
        assert figure in out.getvalue()
    assert "…" not in out.getvalue()
    assert max(map(len, out.getvalue().splitlines())) <= width


def test_sizes_are_handed_on(sshd: Sshd, run: Run, tmp_path: Path) -> None:
    begun = tmp_path / "begun"
    sshd.behave(
        "import os\n"
        "if '--detach' in os.environ['SSH_ORIGINAL_COMMAND']:\n"
        f"    open({str(begun)!r}, 'w').write(os.environ['SSH_ORIGINAL_COMMAND'])\n"
        + answers("bench", data())
    )
    run("bench", "--quick", "--tokens", "64", "--at-once", "8", "--timeout", "90")
    asked = begun.read_text()
    assert "bench --quick --tokens 64 --at-once 8 --timeout 90" in asked
    assert "--holder" in asked


def test_a_dry_run_measures_and_keeps_nothing(sshd: Sshd, run: Run) -> None:
    planned = {"release": RELEASE, "method": data()["method"]}
    sshd.behave(answers("bench", planned))
    result = run("bench", "--dry-run")
    assert result.exit_code == Exit.SUCCESS
    assert sshd.asked.read_text().endswith("--dry-run")
    assert "vllm bench serve --num-prompts 8" in str(result.view)
    assert "kept as its baseline: there is none" in str(result.view)
    assert run("baseline", "show").data["baselines"] == []


def test_steps_are_told_as_they_come(sshd: Sshd, run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    told = [
        {"progress": {"verb": "bench", "phase": "bench", "message": f"of 3: {word}"}}
        for word in ("single", "identical")
    ]
    sshd.behave(
        "import json, os, sys, time\n"
        f"for line in {told!r} if ' result ' in os.environ['SSH_ORIGINAL_COMMAND'] else ():\n"
        "    print(json.dumps(line), file=sys.stderr, flush=True)\n"
        "    time.sleep(0.05)\n"
        "print('Traceback of something else', file=sys.stderr)\n" + answers("bench", data())
    )
    run("bench")
    lines = capsys.readouterr().err.splitlines()
    assert [line.rpartition("  ")[0] if "✓" in line else line for line in lines] == [
        "… thor-01  of 3: single",
        "✓ thor-01  of 3: single",
        "… thor-01  of 3: identical",
        "✓ thor-01  of 3: identical",
    ]


def test_one_at_work_for_others_and_one_that_is_off(sshd: Sshd, tmp_path: Path) -> None:
    sshd.behave(answers("bench", {}, {"code": "busy"}, 3))
    inventory = sshd.inventory(tmp_path / "hosts.yml", "thor-01")
    alone = main.run(["-i", str(inventory), "bench"])
    assert alone is not None
    assert (alone.exit_code, codes(alone)) == (Exit.LEASED, ["busy"])
    measures(sshd)
    inventory.write_text(inventory.read_text() + f"    thor-02: {{ansible_port: {free_port()}}}\n")
    both = main.run(["-i", str(inventory), "bench"])
    assert both is not None
    assert (both.exit_code, codes(both)) == (Exit.PARTIAL, ["device_unreachable"])
    assert [device["kept_as_baseline"] for device in both.data["devices"]] == [True, False]
    assert "1 of 2 devices measured" in str(both.view)
    fleet = [" ".join(line.split()) for line in str(both.view).splitlines()]
    assert fleet[fleet.index("Decode, tok/s Single Identical Different") + 1 :][:2] == [
        "thor-01 41.2 329.0 254.0",
        "thor-02 – – –",
    ]


def test_a_store_that_cannot_be_used_is_found_before_anything_is_measured(
    sshd: Sshd, run: Run, tmp_path: Path
) -> None:
    sshd.asked.unlink(missing_ok=True)
    (tmp_path / "store").write_text("in the way")
    result = run("bench")
    assert (result.exit_code, codes(result)) == (Exit.ERROR, ["store_unusable"])
    assert not sshd.asked.exists()


def test_baselines_are_shown_and_forgotten(sshd: Sshd, run: Run) -> None:
    measures(sshd)
    run("bench")
    shown = run("baseline", "show")
    assert [one["release"] for one in shown.data["baselines"]] == [RELEASE]
    for words in ("thor-01", RELEASE, "just now", "120W", "41.2", "329.0", "254.0"):
        assert words in str(shown.view)
    kept = run("baseline", "forget", "thor-01", "--dry-run")
    assert len(kept.data["forgotten"]) == 1
    wrong = run("baseline", "forget", "thor-01", "--release", "other-0123456789ab")
    assert codes(wrong) == ["baseline_unknown"]
    assert RELEASE in wrong.errors[0].remedy
    assert len(run("baseline", "forget", "thor-01", "--release", RELEASE).data["forgotten"]) == 1
    nothing = run("baseline", "show")
    assert nothing.data["baselines"] == []
    assert "No baseline of thor-01" in str(nothing.view)
