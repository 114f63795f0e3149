"""What it costs the controller to ask 200 devices for their status: seconds and processes.

    python tests/benchmarks/bench_reach.py [DEVICES]

One real sshd on as many loopback addresses; it answers from a file, so that the controller is measured. The
second call finds the answers of ``ssh -G`` kept. ssh's configuration: none, one pattern, a block a host.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from tests.support.doubles.sshd import running_sshd
from thorctl.inventory import devices as fleet
from thorctl.remote.agent_call import run_verb
from thorctl.sim.ports import free_port

STATUS = {"schema": 1, "verb": "status", "ok": True, "changed": False, "data": {}, "error": None}
CALLS = 2
started = 0


def _count(event: str, _: tuple[Any, ...]) -> None:
    global started  # noqa: PLW0603 - an audit hook cannot be given anything
    started += event == "subprocess.Popen"


def _seconds() -> tuple[float, float]:
    of = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return time.monotonic(), sum(one.ru_utime + one.ru_stime for one in of)


def main(devices: int) -> None:
    """Print a line a call."""
    sys.addaudithook(_count)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        os.environ["XDG_CACHE_HOME"] = str(folder / "cache")
        port = free_port()
        (folder / "sshd").mkdir()
        extra = f"ListenAddress 0.0.0.0:{port}\nMaxStartups 500"
        with running_sshd(folder / "sshd", extra=extra) as sshd:
            answer = folder / "answer"
            answer.write_text(json.dumps(STATUS))
            (folder / "sshd" / "force").write_text(f"#!/bin/sh\nexec cat {answer}\n")
            key = sshd.known_hosts.read_text().split(" ", 1)[1]
            addresses = [f"127.1.{at // 250}.{at % 250 + 1}" for at in range(devices)]
            known, config = folder / "known", folder / "config"
            known.write_text("".join(f"[{address}]:{port} {key}" for address in addresses))
            blocks = "".join(f"Host {one}\n  ServerAliveInterval 20\n" for one in addresses)
            for what, text in (
                ("no options", ""),
                ("one pattern", "Host 127.1.*\n  ServerAliveInterval 20\n"),
                ("blocks", blocks),
            ):
                config.write_text(text)
                inventory = folder / "hosts.json"
                variables = {
                    "ansible_port": port,
                    "ansible_user": sshd.user,
                    "ansible_ssh_private_key_file": str(sshd.key),
                    "thor_known_hosts_file": str(known),
                    "ansible_ssh_common_args": f"-F {config} -o UserKnownHostsFile={known}",
                }
                hosts = {f"thor-{at:03}": {"ansible_host": one} for at, one in enumerate(addresses)}
                inventory.write_text(json.dumps({"thor": {"vars": variables, "hosts": hosts}}))
                for call in range(1, CALLS + 1):
                    before, wall, cpu = started, *_seconds()
                    answers = run_verb(fleet.load(inventory), "status")
                    good = sum(one.ok for one in answers)
                    now, used = _seconds()
                    print(  # noqa: T201 - what it is for
                        f"{what}, call {call}: {good} of {devices} answer; {now - wall:.1f} s, "
                        f"{used - cpu:.1f} s of CPU, {started - before} processes"
                    )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 200)
