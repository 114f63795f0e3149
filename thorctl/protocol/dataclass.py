"""Frozen dataclasses whose methods are shared by all classes.

``dataclasses`` compiles the methods of each class, which takes 0.6 ms per class at every start of the agent,
whose archive has no cache for them. These classes are dataclasses for ``dataclasses`` and mypy, and take a
tenth. Their ``__init__`` is slower, so they are not for thousands of instances.
"""

from __future__ import annotations

from dataclasses import MISSING, FrozenInstanceError
from dataclasses import dataclass as _dataclass
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from dataclasses import dataclass
else:

    def dataclass(*, frozen, kw_only=False):
        """As ``dataclasses.dataclass``, of frozen classes only."""
        if not frozen:
            raise TypeError("of frozen classes only")

        def made(kind):
            for name, method in _METHODS.items():
                setattr(kind, name, method)
            return _dataclass(init=False, repr=False, eq=False, kw_only=kw_only)(kind)

        return made


__all__ = ["dataclass"]


def _init(self: Any, *values: object, **named: object) -> None:
    name = type(self).__name__
    places = self.__match_args__
    if len(values) > len(places):
        raise TypeError(f"{name} takes {len(places)} positional arguments, {len(values)} were given")
    given = dict(zip(places, values, strict=False))
    if twice := given.keys() & named:
        raise TypeError(f"{name} got several values for {', '.join(map(repr, sorted(twice)))}")
    named |= given
    found = {}
    for key, part in self.__dataclass_fields__.items():
        if key in named:
            found[key] = named.pop(key)
        elif part.default_factory is not MISSING:
            found[key] = part.default_factory()
        elif part.default is not MISSING:
            found[key] = part.default
        else:
            raise TypeError(f"{name} lacks the argument {key!r}")
    if named:
        raise TypeError(f"{name} has no argument {', '.join(map(repr, named))}")
    self.__dict__.update(found)


def _values(self: Any) -> tuple[object, ...]:
    return tuple(self.__dict__[key] for key in self.__dataclass_fields__)


def _repr(self: Any) -> str:
    parts = (f"{key}={self.__dict__[key]!r}" for key in self.__dataclass_fields__)
    return f"{type(self).__qualname__}({', '.join(parts)})"


def _eq(self: Any, other: object) -> bool:
    return _values(self) == _values(other) if type(other) is type(self) else NotImplemented


def _hash(self: Any) -> int:
    return hash(_values(self))


def _frozen(self: Any, name: str, *_: object) -> NoReturn:
    raise FrozenInstanceError(f"cannot assign to field {name!r} of {type(self).__name__}")


_METHODS = {
    "__init__": _init,
    "__repr__": _repr,
    "__eq__": _eq,
    "__hash__": _hash,
    "__setattr__": _frozen,
    "__delattr__": _frozen,
}
