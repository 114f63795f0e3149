"""vLLM's own `vllm bench serve`, in the engine's image, against an engine that misbehaves on demand."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pytest

from tests.agent.device_double import make_context
from tests.doubles.engine import Engine
from thorctl.agent import bench_client
from thorctl.agent.bench_call import Measurement
from thorctl.agent.bench_result import UnusableError
from thorctl.agent.paths import ENGINE_CONTAINER
from thorctl.agent.runner import Completed, Runner
from thorctl.agent.signals import Interrupted
from thorctl.sim import engine as docker_engine
from thorctl.sim import images

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from docker import DockerClient
    from docker.models.containers import Container

    from thorctl.agent.bench_result import Measured

pytestmark = pytest.mark.vllm
MODEL = Path(__file__).resolve().parents[2] / "images" / "tiny-qwable" / "model"
TMP = "/tmp"  # noqa: S108 - the container's own
NAME = f"thorctl-test-bench-{os.getpid()}"
PROMPT = "Say something about heat pumps."
KEY = "sk-only-in-the-environment"


class Renamed(Runner):
    """Runs what the agent runs, in the container of this test instead of the device's."""

    def __init__(self) -> None:
        self.calls: list[list[str]] = []

    def run(self, argv: Sequence[str], **given: Any) -> Completed:
        self.calls.append(list(argv))
        env = {**(given.pop("env", None) or {}), "DOCKER_HOST": docker_engine.find()}
        return super().run([NAME if word == ENGINE_CONTAINER else word for word in argv], env=env, **given)


@pytest.fixture(scope="module")
def container(docker_client: DockerClient) -> Iterator[Container]:
    """A container as the engine's: read-only, without capabilities, on the host's network."""
    image = images.ensure(docker_client, "cpu-vllm", lambda *_: None).name
    running = docker_client.containers.run(
        image,
        entrypoint=["sleep", "1800"],
        name=NAME,
        detach=True,
        remove=True,
        network_mode="host",
        read_only=True,
        cap_drop=["ALL"],
        security_opt=["no-new-privileges"],
        tmpfs={TMP: "rw,mode=1777,size=256m"},
        volumes={str(MODEL): {"bind": "/models/checkpoint", "mode": "ro"}},
        environment={"HOME": TMP, "HF_HUB_OFFLINE": "1"},
    )
    yield running
    running.remove(force=True)


@pytest.fixture
def engine() -> Iterator[Engine]:
    with Engine("tiny") as running:
        yield running


def measure(
    root: Path, engine: Engine, runner: Runner, *, requests: int = 3, at_once: int = 1, timeout: float = 300
) -> Measured:
    ctx = make_context(root)
    (root / "proc").symlink_to("/proc")
    object.__setattr__(ctx, "runner", runner)
    wanted = Measurement("single", (PROMPT,) * requests, tokens=12, at_once=at_once, warmups=1)
    return bench_client.measure(ctx, wanted, port=engine.port, model="tiny", key=KEY, timeout=timeout)


def left(container: Container) -> str:
    """Processes of the client, and files of results, that are still in the container."""
    running = [line[-1] for line in container.top()["Processes"] if "bench" in line[-1]]
    files = cast("bytes", container.exec_run(["sh", "-c", f"ls {TMP}/thor-bench-* 2>/dev/null"]).output)
    return "\n".join([*running, files.decode()]).strip()


def test_a_slow_engine_is_measured_as_slow(tmp_path: Path, engine: Engine, container: Container) -> None:
    engine.mode = "slow"  # 20 ms after each piece
    runner = Renamed()
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
        ("short", r"other lengths \(11\)"),
    ],
)
def test_an_engine_that_breaks_off_is_no_fast_engine(
    tmp_path: Path, engine: Engine, container: Container, mode: str, why: str
) -> None:
    engine.mode = mode
    with pytest.raises(UnusableError, match=why):
        measure(tmp_path, engine, Renamed())
    assert left(container) == ""


def test_an_engine_that_says_nothing_is_given_up(
    tmp_path: Path, engine: Engine, container: Container
) -> None:
    engine.mode = "silent"
    with pytest.raises(UnusableError, match="not finished after 4 s"):
        measure(tmp_path, engine, Renamed(), timeout=4)
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
        measure(tmp_path, engine, Stopped())
    until = time.monotonic() + 30
    while left(container) and time.monotonic() < until:
        time.sleep(0.2)
    assert left(container) == ""
