"""A device whose systemd, engine and power supply are simulated, to cut its power between any two steps.

The engine really answers HTTP (so readiness is really polled); systemd is modelled as far as the agent uses
it: units are loaded at daemon-reload, timers are transient, and all but the disk is lost at a power cut.
"""

from __future__ import annotations

import json
import logging
import shutil
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

from tests.support.device_double import FastClock, make_release
from thorctl.agent.core.arguments import parser
from thorctl.agent.core.context import Context
from thorctl.agent.core.dispatch import dispatch
from thorctl.agent.core.docker_api import DockerApi
from thorctl.agent.core.files import Files
from thorctl.agent.core.holder import Holder
from thorctl.agent.core.paths import ENGINE_UNIT, Paths
from thorctl.agent.core.progress import Progress
from thorctl.agent.core.runner import Completed, Runner
from thorctl.agent.engine.door import BRIDGE_SOCKET, BRIDGE_UNIT, DOOR_UNIT
from thorctl.agent.release import store as release_store
from thorctl.agent.release.document import SOCKET_LAYOUT, TCP_LAYOUT, Release, parse
from thorctl.agent.staging import checkpoint, image
from thorctl.agent.staging.checkpoint import final_dir
from thorctl.agent.staging.verified import sha256_of
from thorctl.agent.state.journal import load_journal
from thorctl.protocol import canonical_json
from thorctl.protocol.owner import parse as parse_owner

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from thorctl.agent.core.outcome import Outcome
    from thorctl.agent.state.journal import Journal

PARSER = parser()  # made once: making it takes longer than most verbs
SMALL = b"weights"
BESIDE = {DOOR_UNIT, BRIDGE_SOCKET, BRIDGE_UNIT}


class PowerCut(BaseException):
    """The process ends here, without any clean-up of its own."""


class Fuse:
    """Counts steps; blows at the given one. Once blown, nothing goes any more: the process is dead."""

    def __init__(self, at: int | None = None) -> None:
        self.at, self.steps = at, 0

    def step(self) -> None:
        self.steps += 1
        if self.at is not None and self.steps >= self.at:
            raise PowerCut


class FusedFiles(Files):
    """Durable file operations with a fuse before and after each."""

    def __init__(self, fuse: Fuse) -> None:
        self.fuse = fuse

    def write(self, path: Path, content: bytes, mode: int = 0o644) -> None:
        self.fuse.step()
        super().write(path, content, mode)  # its rename is a step of its own
        self.fuse.step()

    def rename(self, source: Path, target: Path) -> None:
        self.fuse.step()
        super().rename(source, target)
        self.fuse.step()

    def flush(self, descriptor: int) -> None:
        """Nothing: these disks lose power in word only, and test_files.py looks at the syncs."""

    def sync_all(self) -> None:
        """Nothing, as ``flush``; and no wait for whatever else this machine writes."""

    def remove(self, path: Path) -> None:
        self.fuse.step()
        super().remove(path)
        self.fuse.step()


class SkippingClock(FastClock):
    """A clock that can be moved on, whose wall time can jump besides, and in whose sleep things happen."""

    skipped = 0.0
    jumped = 0.0
    booted = 0.0

    def __init__(self) -> None:
        super().__init__()
        self.due: list[tuple[float, Callable[[], object]]] = []

    def at(self, slept: float, happens: Callable[[], object]) -> None:
        """Let something happen once the agent has slept for so long."""
        self.due.append((slept, happens))

    def sleep(self, seconds: float) -> None:
        super().sleep(seconds)
        for one in [one for one in self.due if one[0] <= self.slept]:
            self.due.remove(one)
            one[1]()

    def now(self) -> float:
        return super().now() + self.skipped + self.jumped

    def since_boot(self) -> float:
        return super().since_boot() + self.skipped - self.booted

    def reboot(self) -> None:
        """The clock since boot begins again."""
        self.booted = super().since_boot() + self.skipped

    def skip(self, seconds: float) -> None:
        self.skipped += seconds

    def jump(self, seconds: float) -> None:
        self.jumped += seconds


class Systemd(Runner):
    """systemctl, systemd-run and journalctl of one device.

    ``broken``: releases whose engine dies. ``fails``: words of systemctl that it refuses. ``armed``: what
    every timer so far was asked for, in full; ``timers``: those that wait, with what they would say;
    ``services``: transient services at work; ``begun``: all that ever were.
    ``beside``: which of door and bridge are active. ``history``: what was started and stopped, in order.
    """

    def __init__(self, paths: Paths) -> None:
        self.paths = paths
        self.fuse = Fuse()
        self.loaded: bytes | None = None
        self.running: bytes | None = None
        self.failed = False
        self.booting = False
        self.timers: dict[str, list[str]] = {}
        self.armed: dict[str, list[str]] = {}
        self.services: set[str] = set()
        self.begun: list[str] = []
        self.broken: set[str] = set()
        self.fails: set[str] = set()
        self.beside: set[str] = set()
        self.history: list[str] = []

    def run(self, argv: Sequence[str], **_: Any) -> Completed:
        self.fuse.step()
        if argv[0] == "systemctl" and argv[1] in self.fails:
            return Completed(tuple(argv), 1, "", "Failed to connect to bus: Connection timed out")
        if "FragmentPath" in " ".join(argv):
            blocks = [f"Id={name}\nLoadState=loaded\nNeedDaemonReload=no\n" for name in argv[4:]]
            done = Completed(tuple(argv), 0, "\n".join(blocks), "")
        elif BESIDE & set(argv):
            done = Completed(tuple(argv), self._beside(list(argv)), "", "")
        else:
            done = Completed(tuple(argv), 0, self._answer(list(argv)), "")
        self.fuse.step()
        return done

    def power_cut(self) -> None:
        self.running, self.loaded, self.failed, self.timers = None, None, False, {}
        self.beside, self.services = set(), set()
        self.booting = True
        self.fuse = Fuse()
        shutil.rmtree(self.paths.run_dir, ignore_errors=True)

    def boot(self) -> None:
        """What happens after recover: the enabled unit starts."""
        self.booting = False
        self.loaded = self._unit()
        if self.loaded and self.running is None:
            self._start()

    def running_release(self) -> str | None:
        return self.running.decode().removeprefix("# release ").strip() if self.running else None

    def seconds_of(self, timer: str) -> int:
        """How long after it was armed it fires."""
        words = self.armed[timer]
        return int(words[words.index("--on-active") + 1].removesuffix("s"))

    def _unit(self) -> bytes | None:
        return self.paths.engine_unit.read_bytes() if self.paths.engine_unit.exists() else None

    def _start(self) -> None:
        assert self.loaded is not None, "start of a unit that systemd does not know"
        self.running, self.failed = self.loaded, False
        self.history.append(f"start {ENGINE_UNIT}")
        if self.running_release() in self.broken:
            self.running, self.failed = None, True

    def _beside(self, argv: list[str]) -> int:
        """Door and bridge: exit status of systemctl."""
        units = BESIDE & set(argv)
        if argv[1] == "is-active":
            return 0 if units <= self.beside else 3
        self.history += [f"{argv[1]} {unit}" for unit in argv if unit in units]
        self.beside = self.beside - units if argv[1] == "stop" else self.beside | units
        return 0

    def _answer(self, argv: list[str]) -> str:
        if argv[0] == "systemd-run":
            name = argv[argv.index("--unit") + 1]
            if "--on-active" in argv:
                self.armed[name], self.timers[name] = argv, argv[argv.index("--holder") :]
            else:
                self.services.add(name)
                self.begun.append(name)
        elif argv[0] == "journalctl":
            return "ValueError: no weights\n"
        elif argv[1] == "daemon-reload":
            self.loaded = self._unit()
        elif argv[1] == "stop":
            self.running = self.running if argv[2] != ENGINE_UNIT else None
            for unit in argv[2:]:
                self.timers.pop(unit.removesuffix(".timer"), None)
                self.services.discard(unit.removesuffix(".service"))
        elif argv[1] in ("start", "restart"):
            assert "--no-block" in argv
            self._start()
        elif argv[1] == "show" and argv[-1].endswith(".timer"):
            waits = argv[-1].removesuffix(".timer") in self.timers
            return f"ActiveState={'active' if waits else 'inactive'}\n"
        elif argv[1] == "show" and "ActiveState" in argv:
            active = argv[-1].removesuffix(".service") in self.services
            return f"ActiveState={'active' if active else 'inactive'}\n"
        elif argv[1] == "show":
            state = "failed" if self.failed else "active" if self.running else "inactive"
            job = "Job=7\n" if self.booting and self._unit() else ""
            return f"ActiveState={state}\nSubState=x\nNRestarts=0\n{job}"
        return ""


class Images(DockerApi):
    """A Docker engine that has every image it is asked for, and no container."""

    def image(self, reference: str) -> dict[str, Any]:
        return {"RepoDigests": [reference], "Size": 1}

    def delete_image(self, reference: str) -> bool:  # noqa: ARG002 - the API's signature
        return True

    def tag_image(self, *_: str) -> bool:
        return True

    def responds(self) -> bool:
        return True

    def run_container(self, *_: object) -> None:
        return None

    def remove_container(self, name: str) -> bool:  # noqa: ARG002 - the API's signature
        return False

    def container(self, name: str) -> None:  # noqa: ARG002 - the API's signature
        return None


class Device:
    """The device as a whole: say verbs to it, cut its power, look what it serves."""

    def __init__(self, root: Path) -> None:
        self.paths = Paths(root)
        self.paths.device_json.parent.mkdir(parents=True)
        self.paths.device_json.write_text('{"schema": 1, "name": "thor-01"}')
        self.systemd = Systemd(self.paths)
        self.clock = SkippingClock()
        self.unready: set[str] = set()
        self.server = _engine_server(self)
        self.port = self.server.server_address[1]

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()

    def context(self, verb: str, fuse: Fuse | None = None, holder: str = "tester@here") -> Context:
        self.systemd.fuse = fuse or Fuse()
        owner = parse_owner(holder)
        self.paths.run_dir.mkdir(parents=True, exist_ok=True)
        return Context(
            paths=self.paths,
            runner=self.systemd,
            clock=self.clock,
            files=FusedFiles(self.systemd.fuse),
            docker=Images("/nowhere"),
            holder=Holder(owner.name, "here", purpose=owner.purpose),
            log=logging.getLogger("thor-agent-test"),
            progress=Progress(self.paths, self.clock, verb),
        )

    def say(self, *words: str, fuse: Fuse | None = None) -> Outcome:
        """Run a verb through the dispatcher, as the command line would."""
        args = PARSER.parse_args(list(words))
        return dispatch(self.context(args.verb, fuse, args.holder or "tester@here"), args)

    def done(self, *words: str) -> dict[str, Any]:
        """Run a verb that must succeed; its data."""
        outcome = self.say(*words)
        assert outcome.error is None, f"{words}: {outcome.error}"
        return outcome.json

    def release(self, number: int, layout: int = TCP_LAYOUT) -> Release:
        """Make a release and put all of it on the device."""
        document = make_release().document
        if layout == SOCKET_LAYOUT:
            document |= {"schema": layout, "options": {}, "memory": None}
            document["profile"]["image"] = {"user": "own"}
        lock = document["lock"]
        lock["checkpoint"]["commit"] = f"{number:040x}"
        lock["checkpoint"]["files"] = [{"path": "model.safetensors", "size": len(SMALL), "sha256": ""}]
        document["profile"]["serve"]["port"] = self.port
        unit = {"mode": "0444", "content": "# release @RELEASE_ID@\n"}
        document["files"] = {"thor-engine.service": unit, "serve.yaml": {"mode": "0444", "content": "a: 1\n"}}
        weights = self.paths.at("/weights")
        weights.parent.mkdir(parents=True, exist_ok=True)
        weights.write_bytes(SMALL)
        lock["checkpoint"]["files"][0]["sha256"] = sha256_of(weights, lambda _: None)
        release = parse(canonical_json.encode({**document, "id": canonical_json.release_id(document)}))
        ctx = self.context("stage")
        directory = final_dir(ctx, release)
        directory.mkdir(parents=True, exist_ok=True)
        (directory / "model.safetensors").write_bytes(SMALL)
        assert checkpoint.ensure(ctx, release) == 0
        assert image.present(ctx, release)
        release_store.write(ctx, release)
        return release

    def install_door(self) -> None:
        """What the role thor_door leaves."""
        self.paths.engine_unit.parent.mkdir(parents=True, exist_ok=True)
        for unit in sorted(BESIDE):
            self.paths.at(f"/etc/systemd/system/{unit}").write_text("")

    def smoke_passed(self, release: Release) -> None:
        smoke = {"release": release.id, "passed": True, "at": self.clock.now_text(), "tokens_per_second": 1.0}
        smoke["activation"] = self.journal().activation
        self.context("smoke").files.write_json(self.paths.smoke_json, smoke)

    def journal(self) -> Journal:
        return load_journal(self.paths)

    def fire_timers(self) -> None:
        """Let every deadline pass, the shortest first; one that another takes back does not fire."""
        while self.systemd.timers:
            soonest = min(self.systemd.timers, key=self.systemd.seconds_of)
            outcome = self.say(*self.systemd.timers.pop(soonest))
            assert outcome.error is None, outcome.error


def _engine_server(device: Device) -> ThreadingHTTPServer:
    class Engine(BaseHTTPRequestHandler):
        wbufsize = 65536  # one packet for an answer: two would wait 40 ms for each other

        def do_GET(self) -> None:
            running = device.systemd.running_release()
            up = running is not None and running not in device.unready
            body = json.dumps({"data": [{"id": "tiny"}]}).encode()
            self.send_response(200 if up else 503)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Engine)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    return server
