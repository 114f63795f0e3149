"""A stage with real ``hf download`` from a real HTTP hub; its ``docker`` runs hf without a container."""

from __future__ import annotations

import argparse
import hashlib
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.agent.device_double import make_release
from tests.agent.stateful_device import Images
from thorctl.agent import checkpoint, hub_token, stage
from thorctl.agent.outcome import AgentError
from thorctl.agent.release_document import Release, canonical, parse, true_id
from thorctl.agent.runner import Runner

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import IO

    from tests.agent.cutting_hub import CuttingHub
    from thorctl.agent.context import Context
    from thorctl.agent.outcome import Outcome

COMMIT = "c" * 40
TOKEN = "hf_ThisIsTheToken0123456789"
BIG = os.urandom(36_000_000)  # hf writes in steps of 10 MB
FILES = {"config.json": b"{}\n", "model.safetensors": BIG, "tokenizer/vocab.json": b'{"a": 1}\n'}
FAKE_DOCKER = f"""#!{sys.executable}
import os, sys
words = sys.argv[1:]
out = next(word.split("src=")[1].split(",")[0] for word in words if word.startswith("type=bind"))
pairs = dict(words[at + 1].split("=", 1) for at, word in enumerate(words) if word == "--env")
binds = [dict(part.split("=", 1) for part in word.split(",") if "=" in part) for word in words
         if word.startswith("type=bind")]
pairs = {{name: next((b["src"] for b in binds if b["dst"] == value), value) for name, value in pairs.items()}}
rest = words[words.index("--entrypoint") + 3:]
rest = [out if word == "/out" else word for word in rest]
os.environ.update(pairs, HF_HOME=out + "/../.hf-home", HF_HUB_DISABLE_XET="1")
os.execv({str(Path(sys.executable).parent / "hf")!r}, ["hf", *rest])
"""


class NoContainers(Images):
    """Has every image and no container to remove."""

    def delete(self, *_: Any) -> bool:
        return False

    def info(self) -> dict[str, Any]:
        return {}


class FakeDocker(Runner):
    """Starts the fake in docker's place; counts how often."""

    def __init__(self, program: Path) -> None:
        self.program = program
        self.downloads: list[list[str]] = []

    def spawn(self, argv: Sequence[str], *, output: IO[bytes]) -> Any:
        if argv[0] != "docker":
            return super().spawn(argv, output=output)
        self.downloads.append([word for word in argv if word in FILES])
        return super().spawn([os.fspath(self.program), *argv[1:]], output=output)


def release_of(hub: CuttingHub, **lock: Any) -> Release:
    files = [
        {"path": path, "size": len(content), "sha256": hashlib.sha256(content).hexdigest()}
        for path, content in FILES.items()
    ]
    document = make_release().document
    total = sum(len(content) for content in FILES.values())
    document["lock"]["checkpoint"].update(commit=COMMIT, endpoint=hub.url, files=files, total_bytes=total)
    document["lock"]["checkpoint"].update(lock)
    return parse(canonical({**document, "id": true_id(document)}))


def say(ctx: Context, release: Release) -> Outcome:
    path = ctx.paths.at("/release.json")
    path.write_bytes(canonical(release.document))
    return stage.run(ctx, argparse.Namespace(release=str(path)))


def refused(ctx: Context, release: Release) -> AgentError:
    with pytest.raises(AgentError) as error:
        say(ctx, release)
    assert not ctx.paths.release_dir(release.id).exists()
    assert not checkpoint.final_dir(ctx, release).exists()
    return error.value


class Noting(FakeDocker):
    """Keeps every argument."""

    def __init__(self, program: Path) -> None:
        super().__init__(program)
        self.said: list[str] = []

    def spawn(self, argv: Sequence[str], *, output: IO[bytes]) -> Any:
        self.said += argv
        return super().spawn(argv, output=output)


def give_token(ctx: Context, text: str = TOKEN + "\n") -> None:
    path = ctx.paths.at(hub_token.FILE)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
