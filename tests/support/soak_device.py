"""A device on trial whose systemd, Docker and kernel log are doubles, and whose engine answers HTTP."""

from __future__ import annotations

import argparse
import dataclasses
import json
import threading
import time
from typing import TYPE_CHECKING, Any

from tests.support.device_double import make_context, make_release, serving
from thorctl.agent.core.arguments import parser
from thorctl.agent.core.clock import Clock
from thorctl.agent.core.dispatch import dispatch
from thorctl.agent.core.docker_api import DockerApi
from thorctl.agent.core.runner import Completed, Runner
from thorctl.agent.state.journal import Journal, save_journal
from thorctl.agent.verbs import soak_work as work
from thorctl.protocol.states import TRIAL

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from thorctl.agent.core.context import Context
    from thorctl.agent.core.outcome import Outcome

PARSER = parser()
PATIENCE_SECONDS = 120.0
ACTIVATION = 7


class Programs(Runner):
    """systemctl, systemd-run and journalctl, as far as a soak asks them."""

    def __init__(self) -> None:
        self.unit, self.restarts, self.kernel = "active", 0, [("early", 1)]
        self.soaks: dict[str, list[str]] = {}
        self.refuses = False

    def run(self, argv: Sequence[str], **_: Any) -> Completed:
        out, rc = "", 0
        if argv[0] == "systemd-run":
            rc = int(self.refuses)
            if not self.refuses:
                self.soaks[argv[argv.index("--unit") + 1]] = list(argv)
        elif argv[0] == "journalctl":
            entries = [
                {
                    "__CURSOR": str(i),
                    "__MONOTONIC_TIMESTAMP": str(at),
                    "MESSAGE": text,
                    "SYSLOG_FACILITY": "0",
                }
                for i, (text, at) in enumerate(self.kernel)
            ]
            out = "\n".join(map(json.dumps, entries))
        elif argv[:2] == ["systemctl", "stop"]:
            self.soaks.pop(argv[2].removesuffix(".service"), None)
        elif "--value" in argv:
            out = "1000\n"
        elif argv[-1].startswith("thor-soak"):
            out = (
                f"ActiveState={'active' if argv[-1].removesuffix('.service') in self.soaks else 'inactive'}\n"
            )
        else:
            out = f"ActiveState={self.unit}\nSubState=x\nNRestarts={self.restarts}\nJob=0\n"
        return Completed(tuple(argv), rc, out, "")


class Containers(DockerApi):
    """A Docker engine with the engine's container."""

    started = "2026-11-30T10:00:00Z"

    def container(self, name: str) -> dict[str, Any] | None:  # noqa: ARG002 - the API's signature
        return {"Id": "abc", "State": {"StartedAt": self.started}}


class Device:
    """On trial with one release, whose engine is the double."""

    def __init__(self, root: Path, port: int, **serve: Any) -> None:
        self.programs = Programs()
        options = {"served-model-name": ["tiny"], "port": port, **serve}
        release = make_release(profile={"serve": options})
        ctx = serving(make_context(root, self.programs), release)
        self.ctx: Context = dataclasses.replace(ctx, clock=Clock(), docker=Containers("/nowhere"))
        self.release = release.id
        now = self.ctx.clock.now_text()
        self.journal = Journal(
            state=TRIAL, target=release.id, activation=ACTIVATION, since=now, activated_at=now, deadline=now
        )
        save_journal(self.ctx, self.journal)
        self.thread: threading.Thread | None = None

    def say(self, *words: str) -> Outcome:
        return dispatch(self.ctx, PARSER.parse_args(list(words)))

    def done(self, *words: str) -> None:
        outcome = self.say(*words)
        assert outcome.error is None, outcome.error

    def start(self, *words: str, steps: int = 50, rate: float = 0.001) -> dict[str, Any]:
        asked = ("--steps", str(steps), "--minimum-rate", str(rate), "--concurrency", "2", *words)
        outcome = self.say("soak", "start", self.release, *asked)
        assert outcome.error is None, outcome.error
        found: dict[str, Any] = outcome.json["soak"]
        return found

    def work(self, *words: str, **asked: Any) -> None:
        """What the transient unit does, beside the test."""
        self.start(*words, **asked)
        args = argparse.Namespace(activation=ACTIVATION)
        self.thread = threading.Thread(target=work.run, args=(self.ctx, args), daemon=True)
        self.thread.start()

    def shown(self) -> dict[str, Any]:
        found: dict[str, Any] = self.say("soak", "show").json["soak"]
        return found

    def until(self, condition: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        end = time.monotonic() + PATIENCE_SECONDS
        while not condition(found := self.shown()):
            assert time.monotonic() < end, found
            time.sleep(0.05)
        return found

    def until_state(self, state: str) -> dict[str, Any]:
        return self.until(lambda found: found["state"] == state)

    def end_trial(self) -> None:
        save_journal(self.ctx, dataclasses.replace(self.journal, state="committed", current=self.release))
        if self.thread:
            self.thread.join(PATIENCE_SECONDS)
            assert not self.thread.is_alive()
