"""Format a line of a device's events.jsonl."""

from __future__ import annotations

from datetime import datetime

from thorctl.protocol import foreign_json
from thorctl.ui.printable import one_line


def in_words(line: str) -> str:
    """Return time, verb, result, release, state and holder of one event, in one line.

    A line that is not an event as the agent writes it is returned as text.
    """
    try:
        event = foreign_json.read(line)
        at = datetime.fromisoformat(event["at"]).astimezone()
        verb, what = str(event["verb"]), str(event["what"])
    except (ValueError, TypeError, KeyError):
        return one_line(line)
    result = f"failed ({event.get('error') or 'no code'})" if event.get("result") == "failed" else "done"
    unchanged = ", nothing changed" if event.get("changed") is False and result == "done" else ""
    parts = [
        f"{at:%Y-%m-%d %H:%M:%S}",
        f"{verb} begins" if what == "begin" else f"{verb} {result}{unchanged}",
        *(str(event[key]) for key in ("release", "state") if event.get(key)),
        f"by {event.get('holder') or 'unknown'}",
        *([f"from {event['address']}"] if event.get("address") else []),
    ]
    arguments = event.get("arguments")
    reason = arguments.get("accept_failed_smoke") if isinstance(arguments, dict) else None
    parts += [f"although its smoke failed: {reason}"] if reason else []
    message = f": {event['message']}" if event.get("message") else ""
    return "  ".join(map(one_line, parts)) + one_line(message)
