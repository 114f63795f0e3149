"""vLLM's own `vllm bench serve`, in the engine's image, against an engine that misbehaves on demand."""

from __future__ import annotations

import os
import threading
import time
from typing import TYPE_CHECKING, Any, cast

import pytest

from tests.agent.bench.bench_container import KEY, PROMPT, TMP, Renamed, engine_container, measure
from tests.support.doubles.engine import Engine
from thorctl.agent.bench.result import UnusableError
from thorctl.agent.core.signals import Interrupted

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from docker import DockerClient
    from docker.models.containers import Container

    from thorctl.agent.core.runner import Completed

pytestmark = pytest.mark.vllm
NAME = f"thorctl-test-bench-{os.getpid()}"


@pytest.fixture(scope="module")
def container(docker_client: DockerClient) -> Iterator[Container]:
    with engine_container(docker_client, NAME) as running:
        yield running


@pytest.fixture
def engine() -> Iterator[Engine]:
    with Engine("tiny") as running:
        yield running


def left(container: Container) -> str:
    """Processes of the client, and files of results, that are still in the container."""
    running = [line[-1] for line in container.top()["Processes"] if "bench" in line[-1]]
    files = cast("bytes", container.exec_run(["sh", "-c", f"ls {TMP}/thor-bench-* 2>/dev/null"]).output)
    return "\n".join([*running, files.decode()]).strip()


def test_a_slow_engine_is_measured_as_slow(tmp_path: Path, engine: Engine, container: Container) -> None:
    engine.mode = "slow"  # 20 ms after each piece
    runner = Renamed(NAME)
    measured = measure(tmp_path, engine, runner, requests=4, at_once=2)
    assert measured.tpot_ms > 19
    assert measured.decode_tokens_per_second < 2 * 1000 / 19
    assert (measured.requests, measured.output_tokens) == (4, 48)
    assert left(container) == ""
    asked = engine.requests
    assert len(asked) == 5, "four and one to warm up"
    for body in asked:
        assert body["messages"] == [{"role": "user", "content": [{"type": "text", "text": PROMPT}]}]
        assert (body["temperature"], body["ignore_eos"], body["max_completion_tokens"]) == (0.0, True, 12)
    assert set(engine.keys) == {f"Bearer {KEY}"}
    assert all(KEY not in word for argv in runner.calls for word in argv)


@pytest.mark.parametrize(
    ("mode", "why"),
    [
        ("error_in_stream", r"should have 12 tokens, but 3 of 3 answers have other lengths"),
        ("dies_mid_stream", r"3 of 3 requests failed: .*(disconnected|payload|closed)"),
        pytest.param("short", r"other lengths \(11\)", marks=pytest.mark.long),
    ],
)
def test_an_engine_that_breaks_off_is_no_fast_engine(
    tmp_path: Path, engine: Engine, container: Container, mode: str, why: str
) -> None:
    engine.mode = mode
    with pytest.raises(UnusableError, match=why):
        measure(tmp_path, engine, Renamed(NAME))
    assert left(container) == ""


def test_an_engine_that_says_nothing_is_given_up(
    tmp_path: Path, engine: Engine, container: Container
) -> None:
    engine.mode = "silent"
    with pytest.raises(UnusableError, match="not finished after 4 s"):
        measure(tmp_path, engine, Renamed(NAME), timeout=4)
    assert left(container) == ""


def test_told_to_end_it_leaves_nothing_at_work(tmp_path: Path, engine: Engine, container: Container) -> None:
    class Stopped(Renamed):
        """Is told to end once the client is at work in the container."""

        def run(self, argv: Sequence[str], **given: Any) -> Completed:
            if "bench" not in argv:
                return super().run(argv, **given)
            threading.Thread(target=super().run, args=(argv,), kwargs=given, daemon=True).start()
            until = time.monotonic() + 60
            while not left(container) and time.monotonic() < until:
                time.sleep(0.2)
            raise Interrupted("SIGTERM")

    engine.mode = "silent"
    with pytest.raises(Interrupted):
        measure(tmp_path, engine, Stopped(NAME))
    until = time.monotonic() + 30
    while left(container) and time.monotonic() < until:
        time.sleep(0.2)
    assert left(container) == ""
