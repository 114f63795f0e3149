"""Programs that answer in the agent's place: what a device says when it is asked, chosen by the test."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

RELEASE = "tiny-qwable-0123456789ab"
STATUS: dict[str, Any] = {
    "name": "thor-01",
    "site": "lab",
    "device_class": "simulated-container",
    "state": "committed",
    "release": RELEASE,
    "previous": None,
    "target": None,
    "deadline": None,
    "since": "2026-11-23T11:00:00Z",
    "engine": {"unit": "active", "ready": True, "model": "tiny-qwable", "container": None, "restarts": 0},
    "l4t": "38.4.0",
    "power_mode": "120W",
    "memory_available_bytes": 105226698752,
    "memory_total_bytes": 131881500672,
    "disk_free_bytes": 751619276800,
    "temperature_celsius": 39.2,
    "soak": None,
    "last_smoke": {
        "release": RELEASE,
        "passed": True,
        "at": "2026-11-23T11:56:00Z",
        "tokens_per_second": 41.0,
    },
    "lease": None,
    "hold": None,
    "progress": None,
    "agent_version": "0.2.0",
    "agent_layouts": [1, 2],
    "release_layout": 2,
    "drift": [],
}


def document(verb: str, data: dict[str, Any], error: dict[str, Any] | None = None) -> dict[str, Any]:
    """The agent's JSON object."""
    return {
        "schema": 1,
        "verb": verb,
        "ok": error is None,
        "changed": False,
        "data": data,
        "error": error and {"message": "m", "remedy": "r", "details": {}, **error},
    }


def says(text: str, code: int = 0, stderr: str = "") -> str:
    """A program that prints ``text``."""
    return f"import sys; sys.stdout.write({text!r}); sys.stderr.write({stderr!r}); sys.exit({code})"


def answers(
    verb: str, data: dict[str, Any], error: dict[str, Any] | None = None, code: int | None = None
) -> str:
    """A program that answers one verb as the agent does."""
    return says(json.dumps(document(verb, data, error)), (1 if error else 0) if code is None else code)


def serves_socket(root: Path, status: dict[str, Any] = STATUS) -> str:
    """A device below ``root`` whose engine has a socket; the real agent runs ``connect``."""
    engine = {**status["engine"], "socket": str(engine_socket(root))}
    shown = json.dumps(document("status", {**status, "engine": engine}))
    return (
        "import os, sys\n"
        "if os.environ['SSH_ORIGINAL_COMMAND'].endswith(' connect'):\n"
        f"    agent = [sys.executable, '-m', 'thorctl.agent', '--root', {str(root)!r}, 'connect']\n"
        "    os.execv(sys.executable, agent)\n"
        f"print({shown!r})"
    )


def engine_socket(root: Path) -> Path:
    """Where the engine of the device below ``root`` listens."""
    return root / "run/thor/engines/main/engine.sock"


def serves(port: int, status: dict[str, Any] = STATUS) -> str:
    """A device whose release serves on ``port``: answers ``status`` and shows its release document."""
    profile = {"serve": {"port": port, "served-model-name": ["tiny-qwable"]}}
    release = json.dumps({"schema": 1, "id": RELEASE, "profile": profile})
    return (
        "import os\n"
        "asked = os.environ['SSH_ORIGINAL_COMMAND']\n"
        f"print({release!r} if ' cat ' in asked else {json.dumps(document('status', status))!r})"
    )
