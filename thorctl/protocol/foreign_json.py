"""Parse untrusted JSON: of a device, an engine, a model, a log.

Python's own parser raises RecursionError, which is not a ValueError, for a deeply nested text of some
kilobytes; with slightly less nesting the error occurs when the value is walked or written.
"""

from __future__ import annotations

import json
from typing import Any

DEEPEST = 64  # nested lists and objects; genuine documents have ten
WIDEST = 64  # bits of a whole number; a wider one raises an error in a division


def read(text: str | bytes) -> Any:
    """Return the value of a JSON text.

    Raises:
        ValueError: it is not JSON, is nested deeper than ``DEEPEST``, or has a number wider than ``WIDEST``.
    """
    try:
        value = json.loads(text, parse_int=_integer)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    level = [value]
    for _ in range(DEEPEST):
        level = [part for one in level if isinstance(one, (dict, list)) for part in _parts(one)]
        if not level:
            return value
    raise ValueError("it is nested too deeply")


def read_writable(text: str | bytes) -> Any:
    """As ``read``, of a value that can be written to a database or a file, and be read there by others.

    Raises:
        ValueError: also for half a surrogate pair, NaN and infinite numbers.
    """
    value = read(text)
    json.dumps(value, ensure_ascii=False, allow_nan=False).encode()
    return value


def _integer(text: str) -> int:
    value = int(text)
    if value.bit_length() > WIDEST:
        raise ValueError(f"a number has {len(text)} digits")
    return value


def _parts(value: dict[str, Any] | list[Any]) -> list[Any]:
    return list(value.values()) if isinstance(value, dict) else value
