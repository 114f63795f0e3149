"""Read JSON documents as frozen dataclasses. ``encode`` writes them.

A document comes from a device and is untrusted. Reading is strict: no value is converted, and only fields of
the class are used. Names are those of the fields; a trailing underscore, as of
``from_``, is not part of the name. A field without a default has to be there; keys that the class does not
have are ignored, because a newer agent sends more.
"""

from __future__ import annotations

import math
import types
from dataclasses import MISSING, fields, is_dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")
LARGEST = 2**64  # of a whole number, either sign; sizes, counters and times are far below

_NAMES = {
    dict: "an object",
    list: "a list",
    str: "text",
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    type(None): "null",
}


class Malformed(ValueError):  # noqa: N818 - reads as what it is
    """A document that is not of its class.

    Attributes:
        path: the field, ``engine.restarts`` or ``compared.3.what``; empty: the document itself.
        problem: what is wrong with it; no text of the document is part of it.
    """

    def __init__(self, path: str, problem: str) -> None:
        super().__init__(f"{path}: {problem}" if path else problem)
        self.path = path
        self.problem = problem

    def below(self, name: str) -> Malformed:
        """Return the same fault for the document with the field ``name``."""
        return Malformed(f"{name}.{self.path}" if self.path else name, self.problem)


def decode(kind: type[T], document: object) -> T:
    """Return the JSON data ``document`` as an instance of ``kind``.

    Raises:
        Malformed: a value is missing or of another type.
    """
    key: Any = kind
    value: T = _reader(key)(document)
    return value


@cache
def _reader(kind: Any) -> Callable[[object], Any]:
    """Return the reader for the annotation ``kind``; a KeyError is a fault of the class."""
    if isinstance(kind, type) and is_dataclass(kind):
        return _record(kind)
    simple: dict[Any, Callable[[object], Any]] = {object: _anything, float: _number, int: _whole}
    simple |= {one: _scalar(one) for one in (str, bool, type(None))}
    if isinstance(kind, type) and kind in simple:
        return simple[kind]
    makers = {Literal: _word, Union: _either, types.UnionType: _either, tuple: _sequence, dict: _mapping}
    return makers[get_origin(kind)](get_args(kind))


def _record(kind: Any) -> Callable[[object], Any]:
    if hasattr(kind, "__slots__") or hasattr(kind, "__post_init__"):
        raise TypeError(f"{kind!r} needs its own __init__")
    hints = get_type_hints(kind)
    parts = [
        (one.name, one.name.removesuffix("_"), _plain(hints[one.name]), _reader(hints[one.name]))
        for one in fields(kind)
    ]
    defaults = {one.name: one.default for one in fields(kind) if one.default is not MISSING}
    makers = {one.name: one.default_factory for one in fields(kind) if one.default_factory is not MISSING}

    def read(value: object) -> Any:
        if not isinstance(value, dict):
            raise _not(value, dict)
        found = defaults.copy()
        for name, key, plain, reader in parts:
            if key not in value:
                if name in makers:
                    found[name] = makers[name]()
                elif name not in defaults:
                    raise Malformed(key, "is missing")
            elif type(one := value[key]) in plain:
                found[name] = one
            else:
                try:
                    found[name] = reader(one)
                except Malformed as fault:
                    raise fault.below(key) from None
        record = object.__new__(kind)
        record.__dict__.update(found)  # the __init__ of a frozen class takes four times as long
        return record

    return read


def _plain(kind: Any) -> frozenset[type]:
    """Return the types whose every value is one of ``kind``."""
    kinds = get_args(kind) if get_origin(kind) in (Union, types.UnionType) else (kind,)
    return frozenset(kinds) & {str, bool, type(None)}


def _anything(value: object) -> object:
    return value


def _sequence(kinds: tuple[Any, ...]) -> Callable[[object], Any]:
    """``tuple[X, ...]``."""
    reader = _reader(kinds[0])

    def read(value: object) -> Any:
        if not isinstance(value, list):
            raise _not(value, list)
        found = []
        for number, one in enumerate(value):
            try:
                found.append(reader(one))
            except Malformed as fault:
                raise fault.below(str(number)) from None
        return tuple(found)

    return read


def _mapping(kinds: tuple[Any, ...]) -> Callable[[object], Any]:
    """``dict[str, X]``."""
    reader = _reader(kinds[1])

    def read(value: object) -> Any:
        if not isinstance(value, dict):
            raise _not(value, dict)
        found = {}
        for name, one in value.items():
            try:
                found[name] = reader(one)
            except Malformed as fault:
                raise fault.below("*") from None  # the name is the document's own text
        return found

    return read


def _either(kinds: tuple[Any, ...]) -> Callable[[object], Any]:
    """Read the first of several kinds that fits; the fault is that of the last one, which is not ``None``."""
    kinds = tuple(sorted(kinds, key=lambda kind: kind is not type(None)))
    readers = [_reader(kind) for kind in kinds]

    def read(value: object) -> Any:
        for reader in readers[:-1]:
            try:
                return reader(value)
            except Malformed:
                continue
        return readers[-1](value)

    return read


def _word(words: tuple[str, ...]) -> Callable[[object], Any]:
    def read(value: object) -> Any:
        if not isinstance(value, str):
            raise _not(value, str)
        if value not in words:
            raise Malformed("", f"is none of {', '.join(words)}")
        return value

    return read


def _scalar(kind: Any) -> Callable[[object], Any]:
    def read(value: object) -> Any:
        if type(value) is not kind:
            raise _not(value, kind)
        return value

    return read


def _whole(value: object) -> int:
    if type(value) is not int:
        raise _not(value, int)
    if abs(value) > LARGEST:
        raise Malformed("", "is too large a number")
    return value


def _number(value: object) -> float:
    if type(value) is int:
        return float(_whole(value))
    if type(value) is not float:
        raise _not(value, float)
    if not math.isfinite(value):
        raise Malformed("", "is not a finite number")
    return value


def _not(value: object, kind: Any) -> Malformed:
    return Malformed("", f"is {_NAMES.get(type(value), 'another value')}, not {_NAMES[kind]}")
