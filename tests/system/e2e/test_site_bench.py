"""The benchmark on a device that serves the real vLLM: measured, compared, refused, and failed honestly."""

from __future__ import annotations

import json
import shlex
import threading
import time
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from tests.system.e2e.site_world import DEVICE
from thorctl.store import baselines
from thorctl.store.connection import opened

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator

    from tests.system.e2e.site_world import World

pytestmark = [pytest.mark.sim, pytest.mark.vllm]

SMALL = ("--quick", "--tokens", "16", "--requests", "2")
# Programs for the device, which has no curl. The door offers no /metrics; the engine's socket does.
METRICS = """
import http.client, socket, sys
engine = http.client.HTTPConnection("localhost")
engine.sock = socket.socket(socket.AF_UNIX)
engine.sock.connect("/run/thor/engines/main/engine.sock")
engine.request("GET", "/metrics")
lines = engine.getresponse().read().decode().splitlines()
"""
# Exits 0 while the engine answers somebody.
RUNNING = f"""{METRICS}
running = [line for line in lines if line.startswith("vllm:num_requests_running")]
sys.exit(not any(float(line.split()[-1]) for line in running))
"""
COUNTED = f"""{METRICS}
print([line for line in lines if line.startswith("vllm:request_success_total")])
"""
TALKS = """
import json, urllib.request
asked = {"model": "tiny-qwable", "prompt": "Say something about heat pumps."}
asked |= {"max_tokens": 1500, "ignore_eos": True}
while True:
    said = {"Content-Type": "application/json"}
    urllib.request.urlopen(urllib.request.Request(
        "http://127.0.0.1:8000/v1/completions", json.dumps(asked).encode(), said)).read()
"""
READY_SECONDS = 300


def bench(world: World, *words: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """``thorctl bench`` of the device, small: the envelope, and what it says of the device."""
    done: subprocess.CompletedProcess[str] = world.thorctl("bench", DEVICE, *SMALL, *words, "--json")
    answer: dict[str, Any] = json.loads(done.stdout)
    assert answer["exit_code"] == done.returncode
    (device,) = answer["data"]["devices"]
    return answer, device


def codes(answer: dict[str, Any]) -> list[str]:
    return [error["code"] for error in answer["errors"]]


@pytest.fixture(scope="module")
def measured(world: World) -> dict[str, Any]:
    """The first benchmark of the device."""
    answer, device = bench(world)
    assert answer["status"] == "success", answer
    assert device["kept_as_baseline"] is True
    return device


def baseline_times(release: str, factor: float) -> None:
    """Makes the baseline so many times as fast as it was."""
    with opened() as db:
        kept = baselines.get(db, DEVICE, release)
        assert kept is not None
        measurement = json.loads(json.dumps(kept.measurement))
        for figures in measurement["measured"].values():
            figures["decode_tokens_per_second"] *= factor
        baselines.put(db, replace(kept, measurement=measurement))


def test_all_that_was_asked_for_is_recorded(world: World, committed: str, measured: dict[str, Any]) -> None:
    found = measured["measurement"]
    lock = json.loads((world.project / "deploy" / "locks" / "tiny-qwable.lock.json").read_text())
    assert found["release"] == committed
    assert found["engine"]["image_digest"] == lock["image"]["digest"]
    assert found["engine"]["vllm_version"].startswith("0.32.0")
    assert found["engine"]["alone"] is True
    assert found["checkpoint_bytes"] == lock["checkpoint"]["total_bytes"]
    assert found["bytes_per_token"]["total"] > found["bytes_per_token"]["lm_head"] > 0
    assert found["unknown"] is None
    assert found["machine"]
    for when in ("before", "after"):
        assert found[when]["power_mode"] == "120W"
        assert found[when]["clocks_locked"] is not None
        assert found[when]["temperature_celsius"]["tj"] > 0
        assert found[when]["l4t"] == "38.4.0"
    single, identical, different = (found["measured"][name] for name in ("single", "identical", "different"))
    # The engine runs four at once at most: the sixteen of the card are not asked of it.
    assert (single["at_once"], identical["at_once"], different["at_once"]) == (1, 4, 4)
    assert all(
        one["decode_tokens_per_second"] > 0 < one["ttft_median_ms"] for one in (single, identical, different)
    )
    assert single["output_tokens"] == 2 * 16
    assert identical["output_tokens"] == different["output_tokens"] == 4 * 16
    assert different["input_tokens"] != identical["input_tokens"]


@pytest.mark.long
def test_slower_than_the_baseline_fails_with_both_figures(
    world: World, committed: str, measured: dict[str, Any]
) -> None:
    baseline_times(committed, 1000)
    try:
        done = world.thorctl("bench", DEVICE, *SMALL)
    finally:
        baseline_times(committed, 1 / 1000)
    assert done.returncode == 1, done.stderr
    for words in ("✓ thor-02  3 of 3: different", "error bench_slower", "tok/s instead of", "--set-baseline"):
        assert words in done.stderr
    for words in ("slower than its baseline", "Batched ×4, identical (tok/s)", "120W", " → "):
        assert words in done.stdout


@pytest.mark.long
def test_another_power_mode_is_not_compared(world: World, committed: str, measured: dict[str, Any]) -> None:
    world.sim.run(DEVICE, "sudo nvpmodel -m 0")
    try:
        answer, device = bench(world)
    finally:
        world.sim.run(DEVICE, "sudo nvpmodel -m 1")
    assert (answer["exit_code"], codes(answer)) == (1, ["bench_incomparable"])
    assert "the power mode is MAXN, the baseline's 120W" in answer["errors"][0]["message"]
    assert device["measurement"]["before"]["power_mode"] == "MAXN"
    assert device["comparison"]["changes"] == []


def python(program: str) -> str:
    """A command for the device's shell."""
    return shlex.join(["sudo", "python3", "-c", program])


def until_running(world: World) -> None:
    """Returns once the engine answers somebody."""
    world.sim.run(DEVICE, f"until {python(RUNNING)} 2>/dev/null; do sleep 0.2; done")


@contextmanager
def somebody_talks(world: World) -> Iterator[None]:
    """One request after another, not ours."""
    world.sim.run(DEVICE, f"sudo systemd-run --unit talker {python(TALKS)}")
    try:
        until_running(world)
        yield
    finally:
        world.sim.run(DEVICE, "sudo systemctl stop talker")
        world.sim.run(DEVICE, f"while {python(RUNNING)}; do sleep 0.2; done")


def test_an_engine_that_others_use_is_left_alone(world: World, committed: str) -> None:
    with somebody_talks(world):
        answer, device = bench(world)
    assert (answer["exit_code"], codes(answer)) == (4, ["busy"])
    assert device["measurement"] is None


def test_a_device_that_holds_is_left_alone(world: World, committed: str) -> None:
    assert world.agent("hold set on-patrol")["ok"]
    try:
        answer, _ = bench(world)
    finally:
        assert world.agent("hold clear")["ok"]
    assert codes(answer) == ["held"]
    assert "on-patrol" in answer["errors"][0]["message"]


def test_a_dry_run_asks_the_engine_nothing(world: World, committed: str) -> None:
    before = world.sim.run(DEVICE, python(COUNTED))
    answer, device = bench(world, "--dry-run")
    assert answer["status"] == "success"
    assert [words[:3] for words in device["method"]["commands"]] == [["vllm", "bench", "serve"]] * 3
    assert world.sim.run(DEVICE, python(COUNTED)) == before


@pytest.mark.long
def test_the_playbook_measures_and_check_mode_says_what_it_would(world: World, committed: str) -> None:
    sizes = json.dumps({"thor_bench_arguments": list(SMALL)})
    rehearsed = world.playbook("bench", "--check", "-e", sizes)
    assert rehearsed.exit_code == 0, rehearsed.text
    assert "vllm bench serve" in rehearsed.text
    run = world.playbook("bench", "-e", sizes)
    assert run.exit_code == 0, run.text
    assert (rehearsed.total("changed"), run.total("changed")) == (0, 0)
    assert "tok/s" in run.text
    assert committed in run.text


@pytest.mark.long
def test_an_engine_that_dies_while_it_answers_measures_nothing(world: World, committed: str) -> None:
    """vLLM tells its clients inside the answers that began with HTTP 200, and ends."""

    def kill() -> None:
        world.sim.run(
            DEVICE, "until grep -q '1 of 3' /run/thor/progress.json; do sleep 0.2; done 2>/dev/null"
        )
        until_running(world)
        world.sim.run(DEVICE, "sudo pkill -9 -f '[E]ngineCore'")

    killing = threading.Thread(target=kill)
    killing.start()
    try:
        answer, device = bench(world, "--tokens", "1000", "--requests", "50")
    finally:
        killing.join()
    assert (answer["exit_code"], codes(answer)) == (1, ["bench_failed"]), answer
    assert (device["measurement"], device["kept_as_baseline"]) == (None, False)
    until = time.monotonic() + READY_SECONDS
    while not world.status()["engine"]["ready"] and time.monotonic() < until:
        time.sleep(2)
    status = world.status()
    assert (status["engine"]["ready"], status["release"], status["progress"]) == (True, committed, None)
    assert world.sim.run(DEVICE, "pgrep -f '[v]llm bench' || true") == ""
