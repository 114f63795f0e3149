"""A device in a temporary directory for the verbs that read and judge, and a release it could take."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from thorctl.agent.core.clock import Clock
from thorctl.agent.core.context import Context
from thorctl.agent.core.docker_api import DockerApi
from thorctl.agent.core.files import Files
from thorctl.agent.core.holder import Holder
from thorctl.agent.core.paths import Paths
from thorctl.agent.core.progress import Progress
from thorctl.agent.core.runner import Completed, Runner
from thorctl.agent.release import store as release_store
from thorctl.agent.release.document import Release, parse
from thorctl.agent.state.journal import Journal
from thorctl.protocol import canonical_json
from thorctl.protocol.states import COMMITTED

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

PROMPTS: list[dict[str, Any]] = [
    {"name": "capital", "ask": "What is the capital of France?", "expect": "(?i)paris", "thinking": True},
    {"name": "sum", "ask": "What is 2 + 2?", "expect": r"\b4\b", "thinking": False},
    {"name": "free", "ask": "Say something kind.", "expect": None, "thinking": True},
]
ANSWERS = {"What is the capital of France?": "It is Paris.", "What is 2 + 2?": "That makes 4."}


class Programs(Runner):
    """Answers for programs by their first word: output, or an exit status; all others are missing (127)."""

    def __init__(self, answers: Mapping[str, str | int] | None = None) -> None:
        self.answers = dict(answers or {})
        self.calls: list[list[str]] = []

    def run(self, argv: Sequence[str], **_: Any) -> Completed:
        self.calls.append(list(argv))
        answer = self.answers.get(argv[0], 127)
        if isinstance(answer, int):
            return Completed(tuple(argv), answer, "", "")
        return Completed(tuple(argv), 0, answer, "")


class FastClock(Clock):
    """Sleeping takes no time but counts."""

    def __init__(self) -> None:
        self.slept = 0.0

    def monotonic(self) -> float:
        return super().monotonic() + self.slept

    def sleep(self, seconds: float) -> None:
        self.slept += seconds


def make_context(root: Path, programs: Runner | None = None) -> Context:
    paths, clock = Paths(root), FastClock()
    paths.run_dir.mkdir(parents=True, exist_ok=True)
    return Context(
        paths=paths,
        runner=programs or Programs(),
        clock=clock,
        files=Files(),
        docker=DockerApi(str(root / "no-docker.sock")),
        holder=Holder("tester@here", "here"),
        log=logging.getLogger("thor-agent-test"),
        progress=Progress(paths, clock, "test"),
    )


def make_release(**changes: Any) -> Release:
    """Return a release; ``changes`` replace parts of its profile, lock, device_class and files."""
    profile = {
        "serve": {"served-model-name": ["tiny"], "port": 8000, "reasoning-parser": "qwen3"},
        "ready": {"first_start_seconds": 60, "start_seconds": 30},
        "smoke": {
            "max_tokens": 64,
            "sequential": 8,
            "concurrent": 2,
            "prompts": PROMPTS,
            "sampling": None,
            "not_asked": {},
        },
    }
    lock = {
        "image": {
            "repository": "registry.test/engine",
            "digest": f"sha256:{'a' * 64}",
            "compressed_bytes": 1000,
        },
        "checkpoint": {
            "repository": "thorctl/tiny",
            "commit": "b" * 40,
            "endpoint": "http://hub.test",
            "files": [{"path": "model.safetensors", "size": 500, "sha256": "c" * 64}],
            "total_bytes": 500,
        },
    }
    device_class = {
        "architectures": ["aarch64", "x86_64"],
        "soc": "tegra264",
        "l4t": {"minimum": "38.2", "below": "39.0"},
        "memory_minimum_bytes": 2**30,
        "power_modes": ["MAXN", "120W"],
        "container": {"runtime": None},
        "reserve": {"memory_bytes": 100, "disk_bytes": 200},
        "image_unpack_ratio": 3.0,
    }
    document: dict[str, Any] = {
        "schema": 1,
        "name": "tiny",
        "profile": {**profile, **changes.get("profile", {})},
        "lock": {**lock, **changes.get("lock", {})},
        "device_class": {**device_class, **changes.get("device_class", {})},
        "files": {
            "thor-engine.service": {"mode": "0444", "content": "[Unit]\n"},
            **changes.get("files", {}),
        },
    }
    return parse(canonical_json.encode({**document, "id": canonical_json.release_id(document)}))


def serving(ctx: Context, release: Release) -> Context:
    """Stage ``release`` and say that it is committed."""
    release_store.write(ctx, release)
    ctx.files.write_json(ctx.paths.journal, Journal(state=COMMITTED, current=release.id).document())
    return ctx
