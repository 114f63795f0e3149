"""Answers of earlier agents in the terms of this one. An earlier form is known here and nowhere else."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from thorctl.protocol.decode import decode
from thorctl.protocol.status import Status

if TYPE_CHECKING:
    from collections.abc import Mapping

T = TypeVar("T")
# Of agent 0.1.0; a later one whose status has no `agent_verbs` has `soak` too, if it tells of soaks.
VERBS = (
    *("facts", "preflight", "plan", "status", "stage", "activate", "smoke", "bench", "commit", "rollback"),
    *("recover", "gc", "lease", "hold"),
)
LAYOUTS = (1,)  # that agent 0.1.0 reads


def read(kind: type[T], data: Mapping[str, object]) -> T:
    """Return a verb's data as an instance of its class.

    Raises:
        Malformed: it is none, of this agent's or of an earlier one's.
    """
    return decode(kind, _status(data) if kind is Status else data)


def _status(data: Mapping[str, object]) -> dict[str, object]:
    found = dict(data)
    found.setdefault("agent_layouts", list(LAYOUTS))
    if found["agent_layouts"] == list(LAYOUTS) and found.get("release") and not found.get("release_layout"):
        found["release_layout"] = LAYOUTS[0]  # by an agent that reads no other
    if "agent_verbs" not in found:
        found["agent_verbs"] = [*VERBS, *(["soak"] if "soak" in found else [])]
    for key in ("compared", "drift"):
        items = found.get(key)
        if isinstance(items, list):  # only what differs was told, so without saying so
            found[key] = [{"same": False, **one} if isinstance(one, dict) else one for one in items]
    return found
