"""Runs on the device after a power cut: what is there, asked of everything but the agent, and its status.

``python3 cut_probe.py``, as root; standard library only. Prints one JSON object.
"""

from __future__ import annotations

import hashlib
import http.client
import json
import socket
import subprocess
import time
from pathlib import Path
from typing import Any

STATE = Path("/var/lib/thor")
ENGINE = "/run/thor/engines/main/engine.sock"
BOOT_SECONDS, READY_SECONDS = 600, 300
UNITS = ("thor-recover", "thor-engine", "docker", "ssh")


def run(*words: str, seconds: float = 120) -> str:
    """Standard output, whatever the exit code."""
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=seconds)
    return done.stdout.strip()


def ask(path: str) -> Any:
    """The engine's answer: JSON, True for an empty one, None where there is none."""
    connection = http.client.HTTPConnection("engine", timeout=10)
    connection.sock = socket.socket(socket.AF_UNIX)
    try:
        connection.sock.settimeout(10)
        connection.sock.connect(ENGINE)
        connection.request("GET", path)
        answer = connection.getresponse()
        text = answer.read()
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()
    return None if answer.status != http.client.OK else json.loads(text) if text else True


def wait_until_served() -> float:
    """Seconds until the engine is healthy; the time is up without it: as many as there were."""
    began = time.monotonic()
    while ask("/health") is None and time.monotonic() - began < READY_SECONDS:
        time.sleep(1)
    return time.monotonic() - began


def checkpoints() -> dict[str, dict[str, str]]:
    """SHA-256 of every file of every checkpoint in place: name → path → hash."""
    return {
        one.name: {
            str(file.relative_to(one)): hashlib.sha256(file.read_bytes()).hexdigest()
            for file in sorted(one.rglob("*"))
            if file.is_file()
        }
        for one in sorted((STATE / "checkpoints").glob("[!.]*"))
    }


def releases() -> dict[str, dict[str, str]]:
    """SHA-256 of every file of every staged release: id → name → hash."""
    return {
        one.name: {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in sorted(one.iterdir())}
        for one in sorted((STATE / "releases").glob("[!.]*"))
    }


def containers() -> list[dict[str, Any]]:
    """Every container that Docker has, with the image it was made of and that image's digests."""
    found = []
    for name in run("docker", "ps", "--all", "--format", "{{.Names}}").split():
        inspected = json.loads(run("docker", "inspect", name) or "[]")
        for one in inspected:
            image = json.loads(run("docker", "image", "inspect", one["Image"]) or "[{}]")[0]
            found.append(
                {
                    "name": name,
                    "running": one["State"]["Running"],
                    "asked": one["Config"]["Image"],
                    "digests": image.get("RepoDigests", []),
                }
            )
    return found


def rubbish() -> list[str]:
    """What interrupted writes left."""
    return [str(path) for path in sorted(STATE.rglob(".tmp-*"))]


def events() -> dict[str, Any]:
    """How many lines are whole and torn, and the last whole ones."""
    whole, torn = [], 0
    lines = (STATE / "events.jsonl").read_bytes().split(b"\n")
    for line in filter(None, lines):
        try:
            whole.append(json.loads(line))
        except ValueError:
            torn += 1
    return {"whole": len(whole), "torn": torn, "last": whole[-4:]}


def main() -> None:
    """Wait until the machine has booted and the engine serves, or their time is up; then tell."""
    system = run("systemctl", "is-system-running", "--wait", seconds=BOOT_SECONDS)
    waited = wait_until_served()
    journal = (STATE / "state.json").read_text()
    print(  # noqa: T201 - its product
        json.dumps(
            {
                "system": system,
                "failed": run("systemctl", "list-units", "--failed", "--plain", "--no-legend"),
                "units": {unit: run("systemctl", "is-active", unit) for unit in UNITS},
                "ready_after": round(waited, 1),
                "journal": json.loads(journal),
                "unit_file": hashlib.sha256(
                    Path("/etc/systemd/system/thor-engine.service").read_bytes()
                ).hexdigest(),
                "healthy": ask("/health") is not None,
                "models": [one["id"] for one in (ask("/v1/models") or {}).get("data", [])],
                "label": (ask("/control") or {}).get("label"),
                "containers": containers(),
                "releases": releases(),
                "checkpoints": checkpoints(),
                "rubbish": rubbish(),
                "events": events(),
                "uptime": float(Path("/proc/uptime").read_text().split()[0]),
                "status": json.loads(run("/usr/local/bin/thor-agent", "status")),
            }
        )
    )


if __name__ == "__main__":
    main()
