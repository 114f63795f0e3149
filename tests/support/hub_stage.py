"""A stage with the real fetcher, without its sandbox, from a real HTTP hub."""

from __future__ import annotations

import argparse
import hashlib
import os
import signal
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.device_double import make_release
from tests.support.stateful_device import Images
from thorctl.agent.core.outcome import AgentError
from thorctl.agent.core.runner import Completed, Runner
from thorctl.agent.release.document import Release, parse
from thorctl.agent.staging import checkpoint
from thorctl.agent.verbs import stage
from thorctl.protocol import canonical_json
from thorctl.protocol.paths import HUB_TOKEN

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import IO

    from tests.support.cutting_hub import CuttingHub
    from thorctl.agent.core.context import Context
    from thorctl.agent.core.outcome import Outcome

COMMIT = "c" * 40
TOKEN = "hf_ThisIsTheToken0123456789"
BIG = os.urandom(6_000_000)
FILES = {"config.json": b"{}\n", "model.safetensors": BIG, "tokenizer/vocab.json": b'{"a": 1}\n'}


class NoContainers(Images):
    """Has every image and no container to remove."""

    def delete(self, *_: Any) -> bool:
        return False

    def info(self) -> dict[str, Any]:
        return {}


class Sandboxless(Runner):
    """Starts the fetcher without systemd, whose tests are those of the container device."""

    def __init__(self) -> None:
        self.started: list[list[str]] = []
        self.program: list[str] | None = None  # in the fetcher's place
        self.groups: list[int] = []

    def run(self, argv: Sequence[str], **options: Any) -> Completed:
        if argv[0] == "systemctl":
            while argv[1] == "stop" and self.groups:  # as systemd: whatever the program started ends with it
                with suppress(ProcessLookupError):
                    os.killpg(self.groups.pop(), signal.SIGKILL)
            return Completed(tuple(argv), 0, "ActiveState=inactive\n", "")
        return super().run(argv, **options)

    def spawn(self, argv: Sequence[str], *, output: IO[bytes] | int, stdin: IO[bytes] | int = -3) -> Any:
        if argv[0] != "systemd-run":
            return super().spawn(argv, output=output, stdin=stdin)
        self.started.append(list(argv))
        words = self.program or list(argv)[list(argv).index("--") + 1 :]
        process = super().spawn(words, output=output, stdin=stdin)
        self.groups.append(process.pid)  # a session of its own
        return process


def release_of(hub: CuttingHub, **lock: Any) -> Release:
    files = [
        {"path": path, "size": len(content), "sha256": hashlib.sha256(content).hexdigest()}
        for path, content in FILES.items()
    ]
    document = make_release().document
    total = sum(len(content) for content in FILES.values())
    document["lock"]["checkpoint"].update(commit=COMMIT, endpoint=hub.url, files=files, total_bytes=total)
    document["lock"]["checkpoint"].update(lock)
    return parse(canonical_json.encode({**document, "id": canonical_json.release_id(document)}))


def say(ctx: Context, release: Release) -> Outcome:
    path = ctx.paths.at("/release.json")
    path.write_bytes(canonical_json.encode(release.document))
    return stage.run(ctx, argparse.Namespace(release=str(path)))


def refused(ctx: Context, release: Release) -> AgentError:
    with pytest.raises(AgentError) as error:
        say(ctx, release)
    assert not ctx.paths.release_dir(release.id).exists()
    assert not checkpoint.final_dir(ctx, release).exists()
    return error.value


def give_token(ctx: Context, text: str = TOKEN + "\n") -> None:
    path = ctx.paths.at(HUB_TOKEN)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
