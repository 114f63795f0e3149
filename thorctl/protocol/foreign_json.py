"""JSON from outside: a device, an engine, a model, a log.

Python's own reader raises RecursionError, which is no ValueError, for a text of some kilobytes; what is
nested a little less deep it reads, and whoever walks or writes the value later fails instead.
"""

from __future__ import annotations

import json
from typing import Any

DEEPEST = 64  # lists and objects in one another; honest documents have ten
WIDEST = 64  # bits of a whole number; a wider one ends whoever divides it


def read(text: str | bytes) -> Any:
    """The value of a JSON text.

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
