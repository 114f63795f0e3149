"""Desired against actual, in words. Pure: what the agent compared, and the release that is wanted here."""

from __future__ import annotations

import re
from typing import Any

from pydantic import BaseModel, ConfigDict

from thorctl.ui.format import NOTHING

NAMED = 3  # of a list of packages; --json has all of them
_HASH = re.compile(r"(sha256:[0-9a-f]{12})[0-9a-f]{52}")


class Item(BaseModel):
    """One thing that was compared. ``same`` None: unknown; False with ``found`` None: it is not there.

    ``note``: why a difference is intended.
    """

    model_config = ConfigDict(extra="ignore", strict=True)

    what: str
    scope: str = "release"
    wanted: Any = None
    found: Any = None
    same: bool | None = False  # an older agent tells only what differs
    note: str | None = None

    @property
    def lacking(self) -> list[str] | None:
        """Of a list, what is wanted and not found; None if it is no list or unknown."""
        if not (isinstance(self.wanted, list) and isinstance(self.found, list)):
            return None
        return [str(one) for one in self.wanted if one not in self.found]


def words(item: Item) -> str:
    """What is wrong with it, or that nobody knows."""
    if item.same is None:
        return f"{item.what} unknown"
    if item.lacking is not None:
        return f"{item.what}: not {_named(item.lacking)}"
    if item.found is None:
        return f"{item.what} is missing"
    if item.wanted is None:
        return f"{item.what} should not be there"
    if _HASH.fullmatch(str(item.wanted)) and _HASH.fullmatch(str(item.found)):
        return f"{item.what} was changed"
    return f"{item.what} is {short(item.found)}, not {short(item.wanted)}"


def count(items: list[Item] | None) -> str:
    """``none``, ``2``, ``1 unknown``, ``2, 1 unknown``; a dash if the device could not say."""
    if items is None:
        return NOTHING
    differ = sum(item.same is False for item in items)
    unknown = sum(item.same is None for item in items)
    parts = [str(differ)] if differ else []
    parts += [f"{unknown} unknown"] if unknown else []
    return ", ".join(parts) or "none"


def shown(item: Item) -> tuple[str, str]:
    """How ``wanted`` and ``found`` stand in a table: cut hashes are whole where they would look the same."""
    pair = desired(item), actual(item)
    if item.same is False and pair[0] == pair[1]:
        return str(item.wanted), str(item.found)
    return pair


def desired(item: Item) -> str:
    """How ``wanted`` stands in a table."""
    if isinstance(item.wanted, list):
        # Not read: the patterns that were asked for; read: the packages that they mean.
        return ", ".join(map(str, item.wanted)) if item.same is None else f"{len(item.wanted)}"
    return NOTHING if item.wanted is None else short(item.wanted)


def actual(item: Item) -> str:
    """How ``found`` stands in a table."""
    if item.same is None:
        return "unknown"
    if item.lacking is not None:
        lacking = f", not {', '.join(item.lacking)}" if item.lacking else ""
        return f"{len(item.found)}{lacking}"
    return "absent" if item.found is None else short(item.found)


def short(value: object) -> str:
    """A text whose hashes end after 12 digits."""
    return _HASH.sub(r"\1", str(value))


def _named(names: list[str]) -> str:
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more
