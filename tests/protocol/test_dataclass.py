"""The shared methods do what those of ``dataclasses`` do."""

from __future__ import annotations

import copy
import dataclasses
import pickle
from dataclasses import FrozenInstanceError, field
from typing import TYPE_CHECKING, Any

import pytest

from thorctl.protocol.dataclass import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True)
class Shared:
    """Of this module."""

    size: int
    name: str = "n"
    parts: tuple[int, ...] = field(default_factory=tuple)


@dataclass(frozen=True, kw_only=True)
class SharedByName:
    """The same, by name only."""

    size: int
    name: str = "n"


@dataclasses.dataclass(frozen=True)
class Own:
    """Of the standard library."""

    size: int
    name: str = "n"
    parts: tuple[int, ...] = field(default_factory=tuple)


@dataclasses.dataclass(frozen=True, kw_only=True)
class OwnByName:
    """The same, by name only."""

    size: int
    name: str = "n"


PAIRS = [(Shared, Own), (SharedByName, OwnByName)]
CALLS: list[tuple[tuple[Any, ...], dict[str, Any]]] = [
    ((1,), {}),
    ((1, "a"), {}),
    ((1, "a", (2,)), {}),
    ((1, "a", (2,), 3), {}),
    ((), {"size": 1}),
    ((), {"name": "a", "size": 1}),
    ((), {"name": "a"}),
    ((1,), {"size": 2}),
    ((1,), {"other": 2}),
    ((), {"size": 1, "other": 2}),
]


def made(kind: Callable[..., Any], values: tuple[Any, ...], named: dict[str, Any]) -> object:
    """The fields of what is made, in their order; or TypeError."""
    try:
        found = kind(*values, **named)
    except TypeError:
        return TypeError
    assert list(vars(found)) == [one.name for one in dataclasses.fields(found)]
    return dataclasses.asdict(found)


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("kinds", PAIRS)
def test_call_makes_or_refuses_the_same(
    kinds: tuple[Callable[..., Any], Callable[..., Any]], call: tuple[tuple[Any, ...], dict[str, Any]]
) -> None:
    shared, own = kinds
    assert made(shared, *call) == made(own, *call)


def test_comparison_hash_and_text_are_the_same() -> None:
    assert Shared(1) == Shared(1, "n") != Shared(2)
    other: object = Own(1)
    assert Shared(1) != other
    assert hash(Shared(1)) == hash(Shared(1)) == hash(Own(1))
    assert repr(Shared(1, "a")) == repr(Own(1, "a")).replace("Own", "Shared")
    assert Shared.__match_args__ == Own.__match_args__
    assert SharedByName.__match_args__ == OwnByName.__match_args__ == ()


def test_instance_is_frozen_and_can_be_copied() -> None:
    one: Any = Shared(1)
    with pytest.raises(FrozenInstanceError):
        one.size = 2
    with pytest.raises(FrozenInstanceError):
        del one.size
    assert dataclasses.replace(one, size=2) == Shared(2)
    assert copy.deepcopy(one) == pickle.loads(pickle.dumps(one)) == one  # noqa: S301 - its own bytes
    assert Shared(1).parts is not None


def test_class_that_is_not_frozen_is_refused() -> None:
    with pytest.raises(TypeError):
        dataclass(frozen=False)
