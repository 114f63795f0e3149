"""Check mode and --diff: convert the agent's plan to Ansible's ``changed`` and ``diff``."""

from __future__ import annotations

from typing import Any

from thorctl.protocol.sizes import gigabytes
from thorctl.protocol.states import CHANGING, COMMITTED
from thorctl.protocol.verbs import VERBS
from thorctl.remote.call import Call, call_for

STAGE_ACTIONS = frozenset({"pull_image", "download_checkpoint", "verify_checkpoint", "write_release"})
UNFINISHED = frozenset(CHANGING)


def stand_in(call: Call, release: dict[str, Any] | None) -> Call:
    """Return the read-only call that check mode runs instead of ``call``, or ``call`` if it is one."""
    if call.reads_only:
        return call
    if call.verb in {"stage", "activate", "smoke", "commit"} and release is not None:
        return call_for("plan", release, ())
    if VERBS[call.verb].dry_run:
        return Call(call.verb, (*call.words, "--dry-run"))
    return Call("status")


def would_change(verb: str, answered: str, data: dict[str, Any]) -> bool:
    """Return whether ``verb`` would change the device, by the data of the verb run instead."""
    match verb, answered:
        case "stage", "plan":
            change = data["already"] == "absent"
        case "commit", "plan":
            change = data["already"] != COMMITTED
        case _, "plan":
            change = bool(data["actions"]) or data["already"] != COMMITTED
        case _, "gc":
            change = bool(data["removed"])
        case "bench", _:
            change = False
        case "rollback", _:
            change = data["state"] in UNFINISHED or data.get("previous") is not None
        case "review", _:
            change = data.get("review_seconds_left") is None
        case "recover", _:
            change = data["state"] in UNFINISHED
        case _:
            change = True  # lease, hold: this depends on the caller, so assume a change
    return bool(change)


def shows_diff(verb: str) -> bool:
    """Return whether ``diffs`` has a result for this verb."""
    return verb in {"stage", "activate"}


def diffs(verb: str, plan: dict[str, Any]) -> list[dict[str, str]]:
    """Return a plan as Ansible's diff: for stage the steps with their bytes, for activate each file."""
    if verb == "stage":
        steps = [action_line(a) for a in plan["actions"] if a["action"] in STAGE_ACTIONS]
        if not steps:
            return []
        return [{**header(plan["release"]), "before": "", "after": "".join(steps)}]
    if verb == "activate":
        return [
            {
                **header(entry["path"]),
                "before": entry["before"] or "",
                "after": entry["after"] or "",
            }
            for entry in plan["diff"]
            if entry["before"] != entry["after"]
        ]
    return []


def header(name: str) -> dict[str, str]:
    """Return the header of a diff."""
    return {"before_header": name, "after_header": name}


def action_line(action: dict[str, Any]) -> str:
    """Format one step of a plan as a line of text."""
    size = f" ({gigabytes(action['bytes'])})" if action.get("bytes") else ""
    return f"{action['action']}{size} {action.get('detail') or ''}".rstrip() + "\n"
