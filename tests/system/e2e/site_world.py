"""What the tests of site.yml stand on: a device made anew, and a project of its own with locked profiles."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from docker.errors import NotFound

from tests.playbooks.playbook_run import PLAYBOOKS, playbook
from thorctl.sim import layout, up
from thorctl.sim.device_container import ENGINE_VOLUMES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.playbooks.playbook_run import PlaybookRun
    from tests.support.simulated import Simulated

THORCTL = Path(sys.executable).parent / "thorctl"
PROFILE = "tiny-qwable"
BROKEN = "tiny-qwable-broken"
DEVICE = "thor-02"  # thor-01 stays bare
DOOR = "http://127.0.0.1:8000"
ASK = """
import json, sys, urllib.error, urllib.request
request = urllib.request.Request(sys.argv[1], method=sys.argv[2])
try:
    answer = urllib.request.urlopen(request, timeout=60)
except urllib.error.HTTPError as refused:
    answer = refused
print(json.dumps([answer.status, answer.headers.get("Retry-After"), answer.read().decode()]))
"""


@dataclass(frozen=True)
class World:
    """One device of the simulation, and the project whose profiles it is given."""

    sim: Simulated
    device: str
    project: Path

    def playbook(self, name: str, *options: str, profile: str = PROFILE) -> PlaybookRun:
        """Runs ``<name>.yml`` on the device."""
        return playbook(
            *("-i", str(self.sim.simulation.inventory), "--limit", self.device, f"{name}.yml"),
            *("-e", f"thor_deploy={self.project / 'deploy'}", "-e", f"thor_profile={profile}"),
            *options,
        )

    def agent(self, words: str) -> dict[str, Any]:
        """The object that the installed agent prints; it may have failed."""
        done = self.sim.ssh(self.device, f"sudo thor-agent {words}")
        answer: dict[str, Any] = json.loads(done.stdout)
        return answer

    def status(self) -> dict[str, Any]:
        """Data of the agent's status."""
        data: dict[str, Any] = self.agent("status")["data"]
        return data

    def thorctl(self, *words: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        """``thorctl WORDS`` as an operator of this project says it, output captured."""
        inventory = str(self.sim.simulation.inventory)
        return subprocess.run(
            [str(THORCTL), "--project", str(self.project), "-i", inventory, *words],
            capture_output=True,
            text=True,
            check=False,
            input=stdin,
        )

    def ask(self, path: str, method: str = "GET") -> tuple[int, str | None, Any]:
        """What the door answers to a program of an account without any rights: status, Retry-After, JSON."""
        done = self.sim.run(self.device, f"sudo -u nobody python3 -c '{ASK}' {DOOR}{path} {method}")
        status, retry_after, body = json.loads(done)
        return status, retry_after, json.loads(body) if body else None

    def engine_started_at(self) -> str:
        """When the engine's container was started."""
        return self.sim.run(self.device, "sudo docker inspect --format '{{.State.StartedAt}}' thor-engine")


def envelope(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    """What thorctl printed with --json."""
    answer: dict[str, Any] = json.loads(done.stdout)
    assert answer["exit_code"] == done.returncode
    return answer


def wait_until(holds: Callable[[], bool], seconds: float) -> None:
    """Return once it holds; fail after ``seconds``."""
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, f"not within {seconds:g} s"
        time.sleep(1)


@contextmanager
def ssh_cut_during(world: World, verb: str) -> Iterator[None]:
    """Kills every SSH session of the device once ``verb`` is at work there."""
    container = world.sim.container(world.device)
    over = threading.Event()
    cut = threading.Event()

    def watch() -> None:
        while not over.wait(0.5):
            seen = cast("bytes", container.exec_run("cat /run/thor/progress.json").output)
            if f'"verb": "{verb}"'.encode() in seen:
                assert container.exec_run("pkill -f ^sshd(-session)?:.*thor").exit_code == 0
                cut.set()
                return

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield
    finally:
        over.set()
        watcher.join()
    assert cut.is_set(), f"{verb} was never seen at work"


def make_anew(sim: Simulated, device: str) -> None:
    """Removes the device with its disks and starts it again, empty."""
    sim.container(device).remove(force=True)
    for kind in (*ENGINE_VOLUMES, "state"):
        try:
            sim.client.volumes.get(layout.volume(sim.name, device, kind)).remove()
        except NotFound:
            continue
    up.up(sim.client, sim.name, len(sim.simulation.devices), lambda *_: None)


def make_project(folder: Path, broken_checkpoint: str) -> Path:
    """A copy of deploy/ with the demo's profile and one for the checkpoint that babbles, both locked."""
    deploy = folder / "deploy"
    profiles = deploy / "profiles"
    for part in ("device_classes", "engine", "profiles", "templates"):
        shutil.copytree(PLAYBOOKS.parent / "deploy" / part, deploy / part)
    good = (profiles / f"{PROFILE}.yml").read_text(encoding="utf-8")
    bad = good.replace(f"name: {PROFILE}\n", f"name: {BROKEN}\n").replace(
        "repository: thorctl/tiny-qwable\n", f"repository: {broken_checkpoint}\n"
    )
    # Babble ends at this limit, and is no better for being longer.
    bad = bad.replace("  max_tokens: 256\n", "  max_tokens: 48\n")
    assert broken_checkpoint in bad
    assert "max_tokens: 48" in bad
    (profiles / f"{BROKEN}.yml").write_text(bad, encoding="utf-8")
    for name in (PROFILE, BROKEN):
        words = [str(THORCTL), "--project", str(folder), "--json", "lock", name]
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
    return folder
