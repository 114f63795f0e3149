"""The agent's benchmark client, pointed at a container of this test and at an engine that misbehaves."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.support.device_double import make_context
from thorctl.agent.bench import client as bench_client
from thorctl.agent.bench.call import Measurement
from thorctl.agent.core.paths import ENGINE_CONTAINER
from thorctl.agent.core.runner import Completed, Runner
from thorctl.remote import docker_engine
from thorctl.sim import images

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from docker import DockerClient
    from docker.models.containers import Container

    from tests.support.doubles.engine import Engine
    from thorctl.protocol.bench import Figures

MODEL = Path(__file__).resolve().parents[3] / "images" / "tiny-qwable" / "model"
TMP = "/tmp"  # noqa: S108 - the container's own
PROMPT = "Say something about heat pumps."
KEY = "sk-only-in-the-environment"
TOKENS = 12


class Renamed(Runner):
    """Runs what the agent runs, in another container than the device's.

    Attributes:
        client: the words that stand for ``vllm bench serve``.
        calls: what was run.
    """

    def __init__(self, container: str, client: Sequence[str] = ("vllm", "bench", "serve")) -> None:
        self.container = container
        self.client = list(client)
        self.calls: list[list[str]] = []

    def run(self, argv: Sequence[str], **given: Any) -> Completed:
        self.calls.append(list(argv))
        env = {**(given.pop("env", None) or {}), "DOCKER_HOST": docker_engine.find()}
        words = [self.container if word == ENGINE_CONTAINER else word for word in argv]
        if "vllm" in words:
            at = words.index("vllm")
            words[at : at + 3] = self.client
        return super().run(words, env=env, **given)


@contextmanager
def engine_container(
    docker: DockerClient,
    name: str,
    volumes: dict[str, str] | None = None,
    environment: dict[str, str] | None = None,
) -> Iterator[Container]:
    """A container as the engine's: read-only, without capabilities, on the host's network."""
    mounts = {str(MODEL): "/models/checkpoint", **(volumes or {})}
    running = docker.containers.run(
        images.ensure(docker, "cpu-vllm", lambda *_: None).name,
        entrypoint=["sleep", "1800"],
        name=name,
        detach=True,
        remove=True,
        network_mode="host",
        read_only=True,
        cap_drop=["ALL"],
        security_opt=["no-new-privileges"],
        tmpfs={TMP: "rw,mode=1777,size=256m"},
        volumes={source: {"bind": target, "mode": "ro"} for source, target in mounts.items()},
        environment={"HOME": TMP, "HF_HUB_OFFLINE": "1", **(environment or {})},
    )
    try:
        yield running
    finally:
        running.remove(force=True)


def measure(
    root: Path, engine: Engine, runner: Runner, *, requests: int = 3, at_once: int = 1, timeout: float = 300
) -> Figures:
    """One measurement of the engine, by the agent's own way."""
    ctx = make_context(root)
    (root / "proc").symlink_to("/proc")
    object.__setattr__(ctx, "runner", runner)
    wanted = Measurement("single", (PROMPT,) * requests, tokens=TOKENS, at_once=at_once, warmups=1)
    return bench_client.measure(ctx, wanted, port=engine.port, model="tiny", key=KEY, timeout=timeout)
