"""Check an option's value, as the parser and vLLM's own configuration read it.

A serve.yaml reaches the parser as words: ``3.0`` is not an integer, ``16k`` is a number if vLLM accepts
suffixes, and an object is one JSON text.
"""

from __future__ import annotations

import json
import math
import operator
import re
from typing import TYPE_CHECKING, Any

from thorctl.ui.nearest import nearest

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from thorctl.release.vllm_options import Option

Row = dict[str, Any]
_SUFFIXED = re.compile(r"(\d+)(\.\d+)?([kKmMgGtT])")
_POWERS = {"k": 1, "m": 2, "g": 3, "t": 4}
_TRUTHS = {"true", "false", "1", "0", "yes", "no", "on", "off", "t", "f", "y", "n"}  # of pydantic
SHOWN = 12  # names in one message


def fault(name: str, value: Any, option: Option) -> str | None:
    """Return why vLLM would reject an option's value, without a full stop; None if it accepts it."""
    if option.takes in {"object", "array", "json", "json or text"} and not isinstance(value, list):
        return _json_fault(name, value, option)
    for word in value if isinstance(value, list) else [value]:
        if found := _word_fault(name, word, option):
            return found
    return None


def number(word: object) -> int:
    """Parse a number as vLLM does: 16384, 16k = 16000, 16K = 16384.

    Raises:
        ValueError: it is not one.
    """
    text = str(word).strip()
    if match := _SUFFIXED.fullmatch(text):
        whole, part, letter = match.groups()
        if letter.islower():
            return int(float(whole + (part or "")) * 10.0 ** (3 * _POWERS[letter]))
        if part is not None:
            raise ValueError(f"decimals do not go with {letter}; did you mean {whole}{part}{letter.lower()}?")
        return int(whole) << 10 * _POWERS[letter.lower()]
    return int(text)


def _number_or_auto(word: object) -> int:
    return -1 if str(word).strip().lower() == "auto" else number(word)


_NUMBERS: dict[str, tuple[Callable[[object], float], str]] = {
    "int": (lambda word: int(str(word)), "an integer"),
    "float": (lambda word: float(str(word)), "a number"),
    "number": (number, "an integer, such as 4096, 4k or 4K"),
    "number or auto": (_number_or_auto, "an integer, such as 16384, 16k or 16K, or auto"),
}


def _word_fault(name: str, word: Any, option: Option) -> str | None:
    if isinstance(word, dict):
        word = json.dumps(word)
    if option.optional and str(word) in {"", "None"}:
        return None
    if option.takes in _NUMBERS:
        read, what = _NUMBERS[option.takes]
        try:
            found = read(word)
        except (ValueError, OverflowError) as error:
            why = f" ({error})" if "decimals" in str(error) else ""
            return f"{name!r} takes {what}; not {word!r}{why}"
        return _out_of_bounds(name, found, option.bounds)
    text = str(word)
    known = option.choices or option.registered
    if known is None:
        return None
    folded = text.lower().replace("-", "_") if option.choices else text.upper()
    if (folded if option.folded else text) in known:
        return None
    return f"{name!r} takes {_listed(text, known)}; not {word!r}"


def _json_fault(name: str, value: Any, option: Option) -> str | None:
    found = value
    if not isinstance(value, dict):
        if option.optional and str(value) in {"", "None"}:
            return None
        try:
            found = json.loads(str(value))
        except ValueError:
            if option.takes == "json":
                return f"{name!r} takes JSON; not {value!r}"
    if option.takes == "object" and not isinstance(found, dict):
        return f"{name!r} takes an object, such as {{key: value}}; not {value!r}"
    if option.takes == "array" and not isinstance(found, list):
        return f"{name!r} takes a JSON list in quotes, such as '[\"a\"]'; not {value!r}"
    keys = option.keys if isinstance(found, dict) else None
    wrong = (_one_key(name, key, inner, keys) for key, inner in found.items()) if keys is not None else ()
    return next(filter(None, wrong), None)


def _one_key(name: str, key: str, value: Any, keys: Mapping[str, Row]) -> str | None:
    if key in keys:
        return _key_fault(f"{name}.{key}", value, keys[key])
    guess = nearest(key, keys)
    return f"{name!r} has no key {key!r}" + (f"; did you mean {guess!r}?" if guess else "")


def _key_fault(name: str, value: Any, row: Row) -> str | None:
    """Check the value of a key, which vLLM reads with pydantic's lenient rules."""
    types = row.get("types")
    if types is None or value is None:
        return None
    if not any(_is(one, value) for one in types):
        return f"{name!r} takes {' or '.join(types)}; not {value!r}"
    choices = row.get("choices")
    word = str(value).lower().replace("-", "_") if row.get("folded") else str(value)
    if choices and not isinstance(value, dict | list) and word not in choices:
        return f"{name!r} takes {_listed(str(value), choices)}; not {value!r}"
    return _out_of_bounds(name, float(value), row) if types in (["integer"], ["number"]) else None


def _is(kind: str, value: Any) -> bool:
    plain = not isinstance(value, dict | list)
    tests: dict[str, Callable[[], bool]] = {
        "integer": lambda: plain and float(value).is_integer(),
        "number": lambda: plain and not math.isnan(float(value)),
        "boolean": lambda: isinstance(value, bool) or str(value).lower() in _TRUTHS,
        "string": lambda: isinstance(value, str),
        "array": lambda: isinstance(value, list),
        "object": lambda: isinstance(value, dict),
    }
    return kind not in tests or _reads_as(tests[kind])


def _reads_as(test: Callable[[], bool]) -> bool:
    try:
        return test()
    except (ValueError, TypeError, OverflowError):
        return False


def _out_of_bounds(name: str, value: float, bounds: Mapping[str, float]) -> str | None:
    rules: list[tuple[str, str, Callable[[float, float], bool]]] = [
        ("least", "at least", operator.ge),
        ("above", "more than", operator.gt),
        ("most", "at most", operator.le),
        ("below", "less than", operator.lt),
    ]
    for bound, words, holds in rules:
        if bound in bounds and not holds(value, bounds[bound]):
            return f"{name!r} must be {words} {bounds[bound]:g}; not {value:g}"
    return None


def _listed(word: str, known: tuple[str, ...] | list[str]) -> str:
    """List all names, or the most similar of many."""
    if len(known) <= SHOWN:
        return ", ".join(known)
    guess = nearest(word, known)
    return (f"a name such as {guess!r}, one of" if guess else "one of") + f" {len(known)}: {', '.join(known)}"
