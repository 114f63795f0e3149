"""Programs that answer in the agent's place: what a device says when it is asked, chosen by the test."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from thorctl.protocol.verbs import VERBS

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
    """A program that answers one verb as the agent does; a long one is begun and asked for its result."""
    exit_code = (1 if error else 0) if code is None else code
    answer = document(verb, data, error)
    attached = says(json.dumps(answer), exit_code)
    if not VERBS[verb].detached:
        return attached
    begun = document(verb, {"job": "one", "state": "running", "joined": False})
    result = {"job": "one", "verb": verb, "state": "done", "progress": None, "exit_code": exit_code}
    done = document("result", {**result, "answer": answer})
    return (
        "import os\n"
        "asked = os.environ['SSH_ORIGINAL_COMMAND']\n"
        f"if '--detach' in asked:\n    print({json.dumps(begun)!r})\n"
        f"elif ' result ' in asked:\n    print({json.dumps(done)!r})\n"
        f"else:\n    {attached}\n"
    )


# A device that answers by a table of verbs; a long verb's job has the verb's name. It lists what it was told.
_BY_VERB = """
import json, os, pathlib, shlex, sys
table, told = json.loads({table!r}), pathlib.Path({told!r})
words = shlex.split(os.environ["SSH_ORIGINAL_COMMAND"])
verb = next(word for word in words if word in table or word == "result")
def say(of, data, error=None):
    text = dict(schema=1, verb=of, ok=error is None, changed=False, data=data, error=error)
    print(json.dumps(text))
    sys.exit(error is not None)
if "--detach" in words:
    sys.stdin.read()
    with told.open("a") as file:
        file.write(shlex.join(words[words.index(verb):]) + chr(10))
    say(verb, dict(job=verb, state="running", joined=False))
if verb == "result":
    job = words[words.index("result") + 1]
    answer = table[job]
    done = dict(job=job, verb=job, state="done", progress=None)
    say("result", dict(done, exit_code=int(not answer["ok"]), answer=answer))
print(json.dumps(table[verb]))
sys.exit(not table[verb]["ok"])
"""


def answers_by_verb(told: Path, **documents: dict[str, Any]) -> str:
    """A device with a document for each verb; calls of detached verbs are lines of the file ``told``."""
    table = {"status": document("status", STATUS)} | documents
    return _BY_VERB.format(table=json.dumps(table), told=str(told))


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
