"""The work of a soak on devices: it ends well, and finds what is planted."""

from __future__ import annotations

import json
import shlex
import time
from typing import TYPE_CHECKING, Any

import pytest

from tests.system.faults.container_device import DeviceAtHand
from tests.system.faults.container_ground import put
from tests.system.fleet.fleet import LIGHT, REAL
from thorctl.release import find as releases

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.system.fleet.fleet import Fleet

pytestmark = pytest.mark.sim

DEVICE = "thor-01"
XID = "NVRM: Xid (PCI:0000:01:00): 43, pid=4711, name=VLLM::EngineCor, Ch 00000008"
# A container shares its host's kernel, whose log it cannot read: the line comes from where the agent asks.
_LINE = json.dumps(
    {"__CURSOR": "a", "__MONOTONIC_TIMESTAMP": str(2**60), "MESSAGE": XID, "SYSLOG_FACILITY": "0"}
)
_JOURNALCTL = f"""#!/bin/sh
case "$*" in *--dmesg*) echo '{_LINE}';; *) exec /usr/bin/journalctl "$@";; esac
"""
_SHIM = "/usr/local/bin/journalctl"
_CORE = "pkill -{signal} -f '^VLLM::EngineCore'"


@pytest.fixture
def device(fleet: Fleet) -> DeviceAtHand:
    return DeviceAtHand(fleet.sim, DEVICE)


@pytest.fixture
def planted_xid(device: DeviceAtHand) -> Iterator[None]:
    device.sh(f"cat > {_SHIM} <<'EOF'\n{_JOURNALCTL}EOF\nchmod 755 {_SHIM}")
    yield
    device.sh(f"rm {_SHIM}")


@pytest.fixture
def on_trial(fleet: Fleet, device: DeviceAtHand) -> Iterator[str]:
    """The other release is on trial, by the agent alone."""
    release = releases.build(fleet.project / "deploy", fleet.next_release())
    put(device, "/root/release.json", release.text())
    device.sh("thor-agent stage --release /root/release.json")
    device.done("activate", release.id, "--deadline", "3000")
    yield release.id
    device.done("rollback", release.id)


def until(fleet: Fleet, holds: Callable[[dict[str, Any]], bool], seconds: float = 600) -> dict[str, Any]:
    """The soak, as the device's status says it, once ``holds``."""
    end = time.monotonic() + seconds
    while not ((found := fleet.status(DEVICE)["soak"]) and holds(found)):
        assert time.monotonic() < end, found
        time.sleep(2)
    return dict(found)


@pytest.mark.usefixtures("planted_xid")
@pytest.mark.parametrize("fleet", [LIGHT, REAL], indirect=True)
def test_a_gpu_error_in_the_soak_stops_the_rollout_at_its_canary(fleet: Fleet) -> None:
    before = fleet.releases()
    words = ("--policy", "quick", "--yes", "--soak", "600")
    envelope = fleet.json("rollout", "start", fleet.next_release(), *words)
    assert (envelope["exit_code"], envelope["data"]["status"]) == (1, "stopped"), envelope
    (error,) = envelope["errors"]
    assert error["device"] == DEVICE
    assert f"in the soak: GPU error in the kernel's log: {XID}" in error["message"]
    assert fleet.releases() == before


_HEALTH = """
import socket
engine = socket.socket(socket.AF_UNIX)
engine.connect("/run/thor/engines/main/engine.sock")
engine.sendall(b"GET /health HTTP/1.0\\r\\n\\r\\n")
print(engine.recv(99).split()[1].decode(), end="")
"""


@pytest.mark.parametrize("fleet", [REAL], indirect=True)
@pytest.mark.long  # an engine is given minutes before it counts as hanging
def test_a_slow_and_a_hanging_engine_are_found(fleet: Fleet, device: DeviceAtHand, on_trial: str) -> None:
    device.done("soak", "start", on_trial, "--steps", "40", "--concurrency", "2", "--minimum-rate", "0.01")
    found = until(fleet, lambda soak: soak["state"] != "running")
    assert (found["state"], found["reason"], found["failures"], found["restarts"]) == ("done", None, 0, 0)
    assert found["steps"] >= 40
    assert found["xid"] is None  # of the host's kernel, which a container cannot read

    device.done("soak", "start", on_trial, "--steps", "10000000", "--minimum-rate", "1000000")
    assert "too slow" in until(fleet, lambda soak: soak["state"] == "failed")["reason"]

    device.done("soak", "start", on_trial, "--steps", "9999999", "--minimum-rate", "0.0001")
    until(fleet, lambda soak: soak["steps"] > 0)
    device.sh(_CORE.format(signal="STOP"))
    try:
        assert device.read(f"python3 -c {shlex.quote(_HEALTH)}") == "200"
        found = until(fleet, lambda soak: soak["state"] == "failed")
        assert "its engine hangs: no token for" in found["reason"]
        assert fleet.status(DEVICE)["engine"]["ready"] is True
    finally:
        device.sh(_CORE.format(signal="CONT"))
