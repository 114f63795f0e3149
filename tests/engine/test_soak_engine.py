"""A soak worked against the real vLLM: its counters are the ones that are read, and a stopped core hangs."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

import httpx
import pytest

from tests.support.soak_device import Device
from thorctl.agent.bench import metrics as bench_metrics
from thorctl.agent.soak import watch
from thorctl.agent.verbs import soak_work

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from docker import DockerClient

pytestmark = pytest.mark.vllm


@pytest.fixture
def device(engine_address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Device]:
    monkeypatch.setattr(soak_work, "LOOK_SECONDS", 0.5)
    port = int(engine_address.rpartition(":")[2])
    one = Device(tmp_path, port, **{"served-model-name": ["tiny-qwable"], "max-num-seqs": 4})
    yield one
    one.end_trial()


def core(docker: DockerClient, address: str) -> int:
    """Process id of the engine's core."""
    port = address.rpartition(":")[2]
    (container,) = [one for one in docker.containers.list() if port in (one.attrs["Config"]["Cmd"] or ())]
    top = container.top()
    pid, command = top["Titles"].index("PID"), top["Titles"].index("CMD")
    return int(next(one[pid] for one in top["Processes"] if one[command].startswith("VLLM::EngineCore")))


def test_steps_are_counted_by_the_engine_s_own_metrics(device: Device, engine_address: str) -> None:
    text = httpx.get(f"{engine_address}/metrics").text
    for name in ("RUNNING", "WAITING", "GENERATED", "ITERATIONS"):
        assert bench_metrics.total(text, getattr(bench_metrics, name)) is not None, name
    device.work(steps=100)
    found = device.until_state("done")
    assert found["steps"] >= 100
    assert (found["failures"], found["reason"]) == (0, None)
    assert found["steps_per_second"] > 0


def test_hold_cancels_and_its_end_lets_it_go_on(device: Device) -> None:
    device.work(steps=10**7)
    device.until(lambda found: found["steps"] > 0)
    device.say("hold", "set", "on patrol")
    paused = device.until(lambda found: found["paused"] is not None)
    device.say("hold", "clear")
    found = device.until(lambda found: found["steps"] > paused["steps"] + 20)
    assert (found["state"], found["failures"]) == ("running", 0)


def test_core_that_stands_still_is_a_hang_though_health_says_200(
    device: Device, docker_client: DockerClient, engine_address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    device.work(steps=10**7)
    device.until(lambda found: found["steps"] > 0)
    pid = core(docker_client, engine_address)
    os.kill(pid, signal.SIGSTOP)
    try:
        monkeypatch.setattr(watch, "HANG_SECONDS", 5.0)
        assert "its engine hangs" in device.until_state("failed")["reason"]
        assert httpx.get(f"{engine_address}/health").status_code == 200
    finally:
        os.kill(pid, signal.SIGCONT)
