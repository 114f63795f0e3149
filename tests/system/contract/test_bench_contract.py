"""The benchmark's words are taken by vLLM 0.19's own client too, and what that client writes is read rightly.

That 0.32's takes them is shown in tests/agent/bench/test_client.py.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.agent.bench.bench_container import Renamed, engine_container, measure
from tests.support.doubles.engine import Engine
from thorctl.agent.bench.result import UnusableError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from docker import DockerClient

pytestmark = pytest.mark.vllm
NAME = f"thorctl-test-bench-0-19-{os.getpid()}"
HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def runner(docker_client: DockerClient, vllm_0_19: Path) -> Iterator[Renamed]:
    volumes = {str(HERE): "/contract", str(vllm_0_19): "/before"}
    with engine_container(docker_client, NAME, volumes, {"PYTHONPATH": "/before"}):
        yield Renamed(NAME, ["python3", "/contract/bench_serve.py"])


def test_its_client_measures(tmp_path: Path, runner: Renamed) -> None:
    with Engine("tiny", mode="slow") as engine:
        measured = measure(tmp_path, engine, runner, requests=4, at_once=2)
    assert measured.tpot_ms > 19
    assert (measured.requests, measured.output_tokens) == (4, 48)


def test_an_error_inside_an_answer_that_it_takes_for_a_success_is_seen(
    tmp_path: Path, runner: Renamed
) -> None:
    with (
        Engine("tiny", mode="error_in_stream") as engine,
        pytest.raises(UnusableError, match="other lengths"),
    ):
        measure(tmp_path, engine, runner)
