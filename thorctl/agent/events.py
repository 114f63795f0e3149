"""events.jsonl: who did what when. One line at the begin and one at the end of every changing verb."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

SIZE_CAP_BYTES = 4 * 1024 * 1024  # about 20,000 verbs; the file before it is kept once as events.jsonl.1


def append(path: Path, event: dict[str, Any]) -> None:
    """Add one line; at the size cap the file becomes ``.1`` and a new one begins.

    Raises:
        OSError: could not be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    line = (json.dumps(event, ensure_ascii=False, sort_keys=True) + "\n").encode()
    if path.exists() and path.stat().st_size + len(line) > SIZE_CAP_BYTES:
        path.replace(path.with_name(path.name + ".1"))
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
    try:
        os.write(descriptor, line)
    finally:
        os.close(descriptor)
