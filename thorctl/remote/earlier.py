"""Convert answers of earlier agents to the present form. Earlier forms are known only here."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from thorctl.protocol.decode import decode
from thorctl.protocol.status import Status

if TYPE_CHECKING:
    from collections.abc import Mapping

T = TypeVar("T")
# Of agent 0.1.0; a later one without `agent_verbs` in its status has `soak` too, if it reports soaks.
VERBS = (
    *("facts", "preflight", "plan", "status", "stage", "activate", "smoke", "bench", "commit", "rollback"),
    *("recover", "gc", "lease", "hold"),
)
LAYOUTS = (1,)  # that agent 0.1.0 reads


def read(kind: type[T], data: Mapping[str, object]) -> T:
    """Return a verb's data as an instance of its class.

    Raises:
        Malformed: it has neither this agent's form nor an earlier one's.
    """
    return decode(kind, _status(data) if kind is Status else data)


def _status(data: Mapping[str, object]) -> dict[str, object]:
    found = dict(data)
    found.setdefault("agent_layouts", list(LAYOUTS))
    if found["agent_layouts"] == list(LAYOUTS) and found.get("release") and not found.get("release_layout"):
        found["release_layout"] = LAYOUTS[0]  # of an agent that reads no other
    if "agent_verbs" not in found:
        found["agent_verbs"] = [*VERBS, *(["soak"] if "soak" in found else [])]
    for key in ("compared", "drift"):
        items = found.get(key)
        if isinstance(items, list):  # only differences were listed, without a flag
            found[key] = [{"same": False, **one} if isinstance(one, dict) else one for one in items]
    return found
