"""The event log: begin and end of each changing verb, in events.jsonl and in the system log.

A failure of either never stops a verb: during a rollback a full disk or an unread log matters less.
"""

from __future__ import annotations

import json
import os
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from thorctl.agent.core import syslog
from thorctl.protocol.owner import BY_HAND

if TYPE_CHECKING:
    from pathlib import Path

    from thorctl.agent.core.context import Context
    from thorctl.agent.core.outcome import AgentError, Outcome

SIZE_CAP_BYTES = 4 * 1024 * 1024  # about 20,000 verbs; one previous file is kept as events.jsonl.1


def begin(ctx: Context, verb: str, release: str | None, arguments: dict[str, Any]) -> None:
    """Record that ``verb`` has its locks and begins; ``release`` is its argument, if any."""
    _note(ctx, {"what": "begin", **_who(ctx, verb), "release": release, "arguments": arguments})


def end(ctx: Context, verb: str, release: str | None, outcome: Outcome) -> None:
    """Record the end of ``verb``. ``release`` and ``state`` are the device's present ones, if known."""
    error, data = outcome.error, outcome.json
    stands = {"release": data.get("release") or release, "state": data.get("state")}
    result = {
        "result": "failed" if error else "done",
        "changed": outcome.changed,
        "error": error and error.code,
    }
    message = {"message": error.message} if error else {}
    _note(ctx, {"what": "end", **_who(ctx, verb), **stands, **result, **message})


def refused(ctx: Context, verb: str, why: AgentError) -> None:
    """Send a refused ``verb`` to the system log only: a waiting client would fill events.jsonl."""
    told = {"result": "refused", "error": why.code, "message": why.message}
    _tell(ctx, {"what": "refused", **_who(ctx, verb), **told})


def append(path: Path, event: dict[str, Any]) -> None:
    """Append one line; at the size cap the file becomes ``.1`` and a new one begins.

    Raises:
        OSError: the line could not be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    line = (json.dumps(event, ensure_ascii=False, sort_keys=True) + "\n").encode(errors="backslashreplace")
    if path.exists() and path.stat().st_size + len(line) > SIZE_CAP_BYTES:
        path.replace(path.with_name(path.name + ".1"))
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
    try:
        # A power failure may have left a partial line, which must not absorb the next one.
        os.write(descriptor, line if _whole(descriptor) else b"\n" + line)
    finally:
        os.close(descriptor)


def _whole(descriptor: int) -> bool:
    size = os.fstat(descriptor).st_size
    return size == 0 or os.pread(descriptor, 1, size - 1) == b"\n"


def _who(ctx: Context, verb: str) -> dict[str, Any]:
    holder = ctx.holder
    return {
        "at": ctx.clock.now_text(),
        "verb": verb,
        "holder": holder.name,
        "host": holder.host,
        "address": holder.address,
        "pid": os.getpid(),
        **({} if holder.purpose == BY_HAND else {"purpose": holder.purpose}),
    }


def _note(ctx: Context, event: dict[str, Any]) -> None:
    with suppress(OSError):
        append(ctx.paths.events, event)
        ctx.files.sync(ctx.paths.events)  # this record explains an interruption by a power failure
    _tell(ctx, event)


def _tell(ctx: Context, event: dict[str, Any]) -> None:
    said = {key: value for key, value in event.items() if value is not None and key not in ("at", "pid")}
    severity = syslog.WARNING if event.get("error") else syslog.NOTICE
    syslog.send(ctx.paths.syslog, json.dumps(said), severity)
