"""How quick thorctl answers, as ratios of one run: its start, the status of one device and of a fleet.

    python -m tests.benchmarks.bench_status [--devices N]

| ratio | of | to |
|---|---|---|
| start | ``thorctl --version`` | ``python -c "import click"`` |
| one device | ``thorctl status DEVICE`` | ``ssh`` to it, with the same check of its host key |
| fleet | ``thorctl status`` of N devices | ``ansible -m ping`` of them: wall and processor time |
| farm | wall time of that status | processor time of the devices' side, spread over all processors |
| linear | ``thorctl status`` of 5 N devices | five times that of N: processor time; and its memory |

One real sshd on N loopback addresses answers from files, so the controller is measured. No connection is kept
between two calls (ControlMaster is off for ansible). The calls of a ratio alternate; medians are compared.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tests.support.doubles.answers import STATUS, document
from tests.support.doubles.sshd import Sshd, running_sshd
from tests.support.simulated import CHECKOUT
from thorctl.sim.ports import free_port

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

BIN = Path(sys.executable).parent
DEVICES, MORE = 200, 5  # and how many times as many in the last line
SETTLED = 2.2  # seconds: Ansible's answer for a file that has just changed is not kept
STARTS, ONES, FLEETS = 15, 7, 3  # calls of each side of a ratio
FORKS = 50  # of ansible; thorctl asks as many devices at once
TICKS = os.sysconf("SC_CLK_TCK")
# The agent answers from a file; everything else is run, as a device would.
FORCE = """#!/bin/sh
case "$SSH_ORIGINAL_COMMAND" in
  *thor-agent*) set -- $SSH_CONNECTION; exec cat {answers}/$3.json ;;
  *) exec /bin/sh -c "$SSH_ORIGINAL_COMMAND" ;;
esac
"""


@dataclass(frozen=True)
class Cost:
    """What a call took: seconds of wall and processor time with its children, and most bytes of memory."""

    wall: float
    processor: float
    memory: int


@dataclass(frozen=True)
class Farm:
    """Devices under one sshd: their names, an inventory, and the words of a plain ``ssh`` to the first."""

    inventory: Path
    names: Sequence[str]
    ssh: Sequence[str]


def measure(command: Sequence[str], environment: Mapping[str, str] | None = None) -> Cost:
    """Run a command to its end.

    Raises:
        RuntimeError: it failed; a failed call is no measurement.
    """
    with tempfile.TemporaryFile() as said:
        began = time.monotonic()
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=said, stderr=said, env=environment, cwd=CHECKOUT
        )
        _, status, used = os.wait4(process.pid, 0)
        wall = time.monotonic() - began
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            said.seek(0)
            raise RuntimeError(f"{' '.join(command)}: {said.read().decode()[-2000:]}")
    return Cost(wall, used.ru_utime + used.ru_stime, used.ru_maxrss * 1024)


def compared(
    ours: Sequence[str], theirs: Sequence[str], calls: int, environment: Mapping[str, str] | None = None
) -> tuple[Cost, Cost]:
    """Medians of both commands, called in turn; a first call of each is not counted."""
    taken: tuple[list[Cost], list[Cost]] = ([], [])
    for call in range(calls + 1):
        for command, costs in zip((ours, theirs), taken, strict=True):
            cost = measure(command, environment)
            if call:
                costs.append(cost)
    first, second = (
        Cost(
            statistics.median(one.wall for one in costs),
            statistics.median(one.processor for one in costs),
            max(one.memory for one in costs),
        )
        for costs in taken
    )
    return first, second


def make_farm(folder: Path, sshd: Sshd, port: int, devices: int) -> Farm:
    """Write the inventory, the host keys and the devices' answers."""
    addresses = [f"127.1.{at // 250}.{at % 250 + 1}" for at in range(devices)]
    names = [f"thor-{at:04}" for at in range(devices)]
    key = sshd.known_hosts.read_text().split(" ", 1)[1]
    known, answers = folder / "known_hosts", folder / "answers"
    known.write_text("".join(f"[{address}]:{port} {key}" for address in addresses))
    answers.mkdir()
    for name, address in zip(names, addresses, strict=True):
        (answers / f"{address}.json").write_text(json.dumps(document("status", {**STATUS, "name": name})))
    (sshd.known_hosts.parent / "force").write_text(FORCE.format(answers=answers))
    trust = ["-o", f"UserKnownHostsFile={known}", "-o", "StrictHostKeyChecking=yes"]
    variables = {
        "ansible_port": port,
        "ansible_user": sshd.user,
        "ansible_ssh_private_key_file": str(sshd.key),
        "ansible_python_interpreter": sys.executable,
        "thor_known_hosts_file": str(known),
        "ansible_ssh_common_args": " ".join(["-F", "none", *trust]),
    }
    hosts = {name: {"ansible_host": address} for name, address in zip(names, addresses, strict=True)}
    inventory = folder / "hosts.json"
    inventory.write_text(json.dumps({"thor": {"vars": variables, "hosts": hosts}}))
    login = ["-p", str(port), "-i", str(sshd.key), f"{sshd.user}@{addresses[0]}"]
    return Farm(inventory, names, ["ssh", "-F", "none", *trust, *login, "true"])


def farm_seconds(sshd: Sshd) -> float:
    """Processor time of the sshd and of all its sessions that have ended."""
    fields = Path(f"/proc/{sshd.pid}/stat").read_text().rpartition(")")[2].split()
    return sum(int(field) for field in fields[11:15]) / TICKS  # utime stime cutime cstime


def counted(status: Sequence[str], sshd: Sshd, environment: Mapping[str, str]) -> tuple[Cost, float]:
    """What a status takes, and the processor time of the devices' side, spread over all processors."""
    before = farm_seconds(sshd)
    cost = measure(status, environment)
    return cost, (farm_seconds(sshd) - before) / len(os.sched_getaffinity(0))


def say(name: str, ours: float, theirs: float, unit: str = "s") -> None:
    """One line: both values and their ratio, the larger one's over the smaller."""
    ratio = f"{ours / theirs:.2f} x as long" if ours >= theirs else f"{theirs / ours:.1f} x faster"
    print(f"{name:28} {ours:8.3f} {unit} against {theirs:8.3f} {unit}: {ratio}")  # noqa: T201 - what it is for


def run(devices: int) -> None:
    """Measure and print."""
    thorctl = str(BIN / "thorctl")
    ours, theirs = compared([thorctl, "--version"], [sys.executable, "-c", "import click"], STARTS)
    say("start", ours.wall, theirs.wall)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        (folder / "sshd").mkdir()
        # With it each call would compile whatever has changed since the last one without.
        inherited = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
        environment = {
            **inherited,
            "XDG_CACHE_HOME": str(folder / "cache"),
            "THORCTL_STATE_DIR": str(folder / "state"),
            "ANSIBLE_CONFIG": str(CHECKOUT / "playbooks" / "ansible.cfg"),
            "ANSIBLE_SSH_ARGS": "-o ControlMaster=no",
            "ANSIBLE_HOME": str(folder / "ansible"),
        }
        port = free_port()
        extra = f"ListenAddress 0.0.0.0:{port}\nMaxStartups 2000"
        with running_sshd(folder / "sshd", extra=extra) as sshd:
            farm = make_farm(folder, sshd, port, devices * MORE)
            time.sleep(SETTLED)
            status = [thorctl, "-i", str(farm.inventory), "status"]
            ours, theirs = compared([*status, farm.names[0]], farm.ssh, ONES, environment)
            say("status of one device", ours.wall, theirs.wall)
            some = f"thor[0:{devices - 1}]"
            ping = [str(BIN / "ansible"), "-i", str(farm.inventory), some, "-m", "ansible.builtin.ping"]
            ours, theirs = compared([*status, some], [*ping, "-f", str(FORKS)], FLEETS, environment)
            say(f"status of {devices}, wall", ours.wall, theirs.wall)
            say(f"status of {devices}, processor", ours.processor, theirs.processor)
            one, answers = counted([*status, some], sshd, environment)
            say(f"status of {devices}, farm", one.wall, answers)
            all_, answers = counted(status, sshd, environment)
            say(f"status of {devices * MORE}, farm", all_.wall, answers)
            say(f"status of {devices * MORE}, linear", all_.processor, one.processor * MORE)
            print(f"{'memory at most':28} {all_.memory / 1e6:8.1f} MB")  # noqa: T201 - as above


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description="Ratios of thorctl's answering times.")
    parser.add_argument(
        "--devices", type=int, default=DEVICES, help=f"devices of the fleet [default: {DEVICES}]"
    )
    devices = parser.parse_args().devices
    if shutil.which("ssh") is None:
        parser.error("ssh is missing: apt-get install openssh-client")
    run(devices)


if __name__ == "__main__":
    main()
