"""Format the lines of a rollout's log, as text and as JSON data."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from thorctl.store.rollouts import STEP_BEGUN, STEP_ENDED
from thorctl.ui.format import NOTHING, data_size
from thorctl.ui.printable import one_line

if TYPE_CHECKING:
    from thorctl.store.rollouts import Line


# Text for the begin of a step; others are not shown.
_BEGINS = {
    "stage": "staging",
    "activate": "activating, on trial",
    "smoke": "smoke test",
    "soak": "soaking under load",
    "commit": "committing",
    "review": "keeping it for review",
    "rollback": "rolling back",
}
# The messages of these are sentences of their own.
_WHOLE = frozenset({"approved", "asked", "resumed"})


def line_json(line: Line) -> dict[str, Any]:
    """Return a line of the log for an event stream, without the verb's data."""
    return {
        "at": line.at,
        "event": line.kind,
        "device": line.device,
        "wave": line.wave,
        "verb": line.verb,
        "ok": line.ok,
        "code": line.code,
        "message": line.message,
        "who": line.who,
    }


def tell(line: Line, *, dated: bool = False) -> str | None:
    """Format a line of the log with local time (and date); None if it is not shown."""
    at = datetime.fromisoformat(line.at).astimezone()
    told = None if line.kind == "left" else _words(line)
    return f"{at:{'%Y-%m-%d %H:%M:%S' if dated else '%H:%M:%S'}}  {one_line(told)}" if told else None


def _words(line: Line) -> str | None:
    if line.kind == STEP_BEGUN:
        verb = line.message if line.verb == "give" else _BEGINS.get(str(line.verb))
        over = f", {line.message}" if line.verb == "activate" and line.message else ""
        return f"{line.device}: {verb}{over}" if verb else None
    if line.kind == STEP_ENDED:
        if line.ok:
            done = _end_words(line)
            return f"{line.device}: {done}" if done else None
        if line.data.get("reached") is False:
            asked = "" if line.verb == "look" else f" to {line.verb}"
            return f"{line.device}: no answer{asked}: {line.message}"
        # The message of `smoke_failed` repeats the words before it.
        code = "" if line.code == f"{line.verb}_failed" else f"{line.code}: "
        return f"{line.device}: {line.verb} failed: {code}{line.message}"
    if line.kind == "over_hold":
        return f"{line.device}: {line.message}"
    names = {"wave_opened": f"wave {line.wave} opens", "wave_closed": f"wave {line.wave} done"}
    word = names.get(line.kind, line.kind)
    says_itself = line.kind in _WHOLE or line.message.startswith(word)
    return line.message if says_itself else f"{word}: {line.message}"


def _end_words(line: Line) -> str | None:
    data = line.data.get("data")
    data = data if isinstance(data, dict) else {}
    if line.verb == "stage":
        size = data.get("downloaded_bytes")
        return f"staged, {data_size(size) if isinstance(size, int) else NOTHING} downloaded"
    if line.verb == "activate":
        return f"on trial, ready after {_figure(data.get('ready_seconds'), 0)} s"
    if line.verb == "smoke":
        return f"smoke test passed, {_figure(data.get('tokens_per_second'), 1)} tok/s"
    if line.verb == "review":
        return f"kept for review until {data.get('deadline')}"
    return {"commit": "committed", "rollback": "rolled back"}.get(str(line.verb))


def _figure(value: object, places: int) -> str:
    known = isinstance(value, (int, float)) and not isinstance(value, bool)
    return f"{value:.{places}f}" if known else NOTHING
