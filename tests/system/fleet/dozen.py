"""Twelve devices on three sites, not all of them well, and the releases that are rolled out to them."""

from __future__ import annotations

import json
import shlex
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tests.playbooks.playbook_run import playbook
from tests.system.fleet.fleet_world import FleetWorld
from thorctl.sim import devices

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from tests.playbooks.playbook_run import PlaybookRun
    from tests.support.simulated import Simulated

SITES = ("oslo", "lyon", "kiel")
# `sim up` deals devices to the sites in turn.
DEVICES = tuple(f"thor-{number:02d}" for number in range(1, 13))
OSLO, LYON, KIEL = DEVICES[0::3], DEVICES[1::3], DEVICES[2::3]
CANARY = "thor-01"
OFFLINE = "thor-05"  # lyon
ON_HOLD = "thor-06"  # kiel
BAD_DISK = "thor-08"  # lyon
OF_ANOTHER = "thor-10"  # oslo: serves another release than the rest

FIRST, ANOTHER = "light", "light-field"  # what they serve at the beginning
BETTER, BABBLES, LATE, SPARE = "light-better", "light-babbles", "light-late", "light-spare"
RELEASES: dict[str, dict[str, str]] = {
    ANOTHER: {},
    BETTER: {"checkpoint": "better"},  # other bytes: staging has something to fetch
    BABBLES: {"ENGINE_MODE": "babble"},
    LATE: {},  # as good as its devices: what goes wrong stands in their modes file
    SPARE: {},
}
# Short soaks, and speeds that two noisy cores cannot miss.
POLICY = """---
schema: 1
name: sites
description: A canary, then site by site; who is committed already returns on a stop.
canary: {label: canaries}
waves:
  - {site: lyon}
  - {each: site}
soak_seconds: 5
success_percent: 50
errors: {stop_at_devices: 3}
offline: {budget_percent: 50}
speed: {tolerance_percent: 95}
on_stop: return
wait: {lease_seconds: 1, silence_seconds: 120, evidence_seconds: 0}
"""
# Reads the device as root on the device: nothing of thorctl stands between it and the test.
_LOOK = """
import json, socket, subprocess
from pathlib import Path
home = Path("/var/lib/thor")
def label():
    try:
        with socket.socket(socket.AF_UNIX) as engine:
            engine.settimeout(10)
            engine.connect("/run/thor/engines/main/engine.sock")
            engine.sendall(b"GET /control HTTP/1.0\\r\\nHost: engine\\r\\n\\r\\n")
            answer = b"".join(iter(lambda: engine.recv(65536), b""))
            return json.loads(answer.partition(b"\\r\\n\\r\\n")[2])["label"]
    except (OSError, ValueError):
        return None
asked = ["docker", "inspect", "--format", "{{.State.StartedAt}}", "thor-engine"]
print(json.dumps({
    "journal": json.loads((home / "state.json").read_text()),
    "events": [json.loads(line) for line in (home / "events.jsonl").read_text().splitlines()],
    "lease": Path("/run/thor/lease").exists(),
    "staged": sorted(path.name for path in (home / "releases").iterdir()),
    "label": label(),
    "started_at": subprocess.run(asked, capture_output=True, text=True).stdout.strip(),
}))
"""
SERVES_TIMEOUT_SECONDS = 300  # for an engine to come up with its device; it takes seconds


@dataclass(frozen=True)
class Seen:
    """What was found on one device.

    Attributes:
        label: what the engine on port 8000 says it is, over HTTP; None: it does not answer.
        activations: told ever, by the journal's own counter.
        started_at: when the engine's container was started.
        events: of events.jsonl.
        staged: the releases on its disk.
    """

    state: str
    release: str | None
    previous: str | None
    label: str | None
    activations: int
    started_at: str
    leased: bool
    staged: tuple[str, ...]
    events: tuple[dict[str, Any], ...]

    @property
    def stands(self) -> tuple[object, ...]:
        """All that a change of what serves would show in, but not the events."""
        return (self.state, self.release, self.label, self.activations, self.started_at)

    def times(self, verb: str, what: str) -> list[str]:
        """When this verb began or ended."""
        return [one["at"] for one in self.events if one["verb"] == verb and one["what"] == what]


@dataclass(frozen=True)
class Dozen(FleetWorld):
    """The twelve, and one operator of theirs."""

    @property
    def inventory(self) -> Path:
        """The folder: hosts.yml of the simulation, and what the operator wrote beside it."""
        return self.sim.simulation.inventory.parent

    def write_inventory(self) -> None:
        """Which release each device is to serve, and which one goes first."""
        for name, text in {
            "canaries.yml": f"---\ncanaries:\n  hosts:\n    {CANARY}:\n",
            "group_vars/thor.yml": f"---\nthor_profile: {FIRST}\n",
            f"host_vars/{OF_ANOTHER}.yml": f"---\nthor_profile: {ANOTHER}\n",
        }.items():
            file = self.inventory / name
            file.parent.mkdir(exist_ok=True)
            file.write_text(text)

    def add_policy(self, text: str = POLICY) -> None:
        """A policy in the project."""
        name = text.partition("name: ")[2].split()[0]
        folder = self.project / "deploy" / "policies"
        folder.mkdir(exist_ok=True)
        (folder / f"{name}.yml").write_text(text)

    def provision(self) -> PlaybookRun:
        """All twelve from bare to committed, by site.yml."""
        deploy = f"thor_deploy={self.project / 'deploy'}"
        return playbook("-i", str(self.inventory), "site.yml", "-e", deploy)

    def seen(self, device: str) -> Seen:
        """The device, looked at."""
        found = json.loads(self.sim.run(device, f"sudo python3 -c {shlex.quote(_LOOK)}"))
        journal = found["journal"]
        running = journal["target"] if journal["state"] in {"activating", "trial"} else journal["current"]
        return Seen(
            state=journal["state"],
            release=running,
            previous=journal["previous"],
            label=found["label"],
            activations=journal["activation"],
            started_at=found["started_at"],
            leased=found["lease"],
            staged=tuple(found["staged"]),
            events=tuple(found["events"]),
        )

    def look(self, names: Iterable[str] = DEVICES) -> dict[str, Seen]:
        """These devices, looked at."""
        chosen = list(names)
        with ThreadPoolExecutor(max_workers=4) as pool:
            return dict(zip(chosen, pool.map(self.seen, chosen), strict=True))

    def misbehave(self, device: str, modes: Mapping[str, str]) -> None:
        """What engines do wrong on this device: label to mode."""
        text = shlex.quote(json.dumps(dict(modes)))
        write = f"echo {text} > $place/engine-modes.json"
        each = f"for place in /var/lib/thor/checkpoints/*--*; do {write}; done"
        self.sim.run(device, f"sudo sh -c {shlex.quote(each)}")

    def switch_off(self, device: str) -> None:
        """As when somebody pulls its plug."""
        devices.cut(self.sim.client, self.sim.name, device)

    def switch_on(self, device: str) -> None:
        """Returns once its engine serves again."""
        devices.power_on(self.sim.client, self.sim.name, device)
        deadline = time.monotonic() + SERVES_TIMEOUT_SECONDS
        while self.seen(device).label is None:
            assert time.monotonic() < deadline, f"the engine of {device} does not come up with it"
            time.sleep(1)

    def writable(self, device: str, *, writable: bool) -> None:
        """Remounts its state disk; read-only is what a kernel makes of a disk that fails."""
        options = f"remount,bind,{'rw' if writable else 'ro'}"
        done = self.sim.container(device).exec_run(["mount", "-o", options, "/var/lib/thor"])
        assert done.exit_code == 0, done.output


def labels(seen: Mapping[str, Seen]) -> dict[str, str | None]:
    """What serves on each device, by its own word."""
    return {name: one.label for name, one in seen.items()}


def stands(seen: Mapping[str, Seen], but: Iterable[str] = ()) -> dict[str, tuple[object, ...]]:
    """Where devices stand, to be compared with later."""
    return {name: one.stands for name, one in seen.items() if name not in but}


def of_verbs(before: Seen, after: Seen) -> list[str]:
    """The changing verbs that a device was told between two looks, in its own record."""
    return [one["verb"] for one in after.events[len(before.events) :] if one["what"] == "begin"]


def second_operator(dozen: Dozen, state: Path) -> Dozen:
    """Somebody else at the same fleet, with a store of their own."""
    return Dozen(dozen.sim, dozen.project, state, operator="carl")


def provisioned(sim: Simulated, project: Path, state: Path) -> Dozen:
    """The twelve, all serving."""
    made = Dozen(sim, project, state)
    made.write_inventory()
    made.add_policy()
    run = made.provision()
    assert run.exit_code == 0, run.text
    return made
