"""Ansible's host patterns, as in ``--limit``; tests compare each form with Ansible itself."""

from __future__ import annotations

import re
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from thorctl.errors import ThorError
from thorctl.ui.nearest import nearest

if TYPE_CHECKING:
    from collections.abc import Mapping

_SUBSCRIPT = re.compile(r"(.+)\[(?:(-?\d+)|(\d+)[:-](\d*))\]")
# Separated by commas, or by colons outside [1:3].
_SEPARATOR = re.compile(r",|:(?![^\[]*\])")


def matching(pattern: str, groups: Mapping[str, list[str]], universe: str) -> list[str]:
    """Return hosts of the group ``universe`` that ``pattern`` selects, in the inventory's order.

    As in Ansible, inclusions come first, then ``&`` (intersection), then ``!`` (exclusion).

    Raises:
        ThorError: ``device_unknown`` if a term or the whole selects nothing, ``pattern_invalid``.
    """
    terms = [term.strip() for term in _SEPARATOR.split(pattern) if term.strip()]
    every = groups[universe]
    included = [term for term in terms if term[0] not in "!&"] or ["all"]
    chosen = {name for term in included for name in select(term, groups, every)}
    for term in terms:
        if term[0] == "&":
            chosen &= set(select(term[1:], groups, every))
    for term in terms:
        if term[0] == "!":
            chosen -= set(select(term[1:], groups, every))
    if not chosen:
        raise ThorError(
            "device_unknown",
            f"{pattern!r} selects no device.",
            f"Name one of: {shortened(every)}.",
        )
    return [name for name in every if name in chosen]


def select(term: str, groups: Mapping[str, list[str]], every: list[str]) -> list[str]:
    """Return the hosts of one term without ``!``, ``&``: host, group, glob, ``~regex`` or ``group[0:2]``."""
    if term in {"all", "*"}:
        return every
    expression, first, last = term, None, None
    subscript = None if term.startswith("~") else _SUBSCRIPT.fullmatch(term)
    if subscript:
        expression = subscript[1]
        first, last = _bounds(subscript)
    try:
        regex = re.compile(expression[1:]) if expression.startswith("~") else None
    except re.error as error:
        raise ThorError(
            "pattern_invalid", f"{term!r}: {error}.", "Correct the regular expression after ~."
        ) from error

    def fits(name: str) -> bool:
        return bool(regex.match(name)) if regex else fnmatchcase(name, expression)

    in_groups = {name for group, hosts in groups.items() if fits(group) for name in hosts}
    found = [name for name in every if fits(name) or name in in_groups]
    if not found:
        raise _unknown(term, groups, every)
    return found[first:last] if subscript else found


def _bounds(subscript: re.Match[str]) -> tuple[int, int | None]:
    """Return the first and the past-the-end index; Ansible's ranges include their end."""
    if subscript[2]:
        index = int(subscript[2])
        return index, index + 1 or None
    return int(subscript[3]), int(subscript[4]) + 1 if subscript[4] else None


def _unknown(term: str, groups: Mapping[str, list[str]], every: list[str]) -> ThorError:
    # Suggest a device for a device: neither a group of the whole fleet, nor one of several names that are
    # equally similar (thor-01, thor-02, … for thor-99). The user's own groups come second.
    smaller = [group for group, hosts in groups.items() if 0 < len({*every} & {*hosts}) < len(every)]
    guess = nearest(term, every) or nearest(term, smaller)
    hint = f" Did you mean {guess!r}?" if guess else ""
    return ThorError(
        "device_unknown",
        f"No device and no group is called {term!r}.{hint}",
        f"Name a device ({shortened(every)}) or a group ({shortened(sorted(set(groups) - {'ungrouped'}))}).",
    )


def shortened(names: list[str], most: int = 12) -> str:
    """Format the first names, and the number of the others."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
