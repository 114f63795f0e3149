"""Format the differences between a device's desired and actual settings."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from thorctl.ui.format import NOTHING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from thorctl.protocol.status import Comparison

NAMED = 3  # of a list of packages; --json has all of them
_HASH = re.compile(r"(sha256:[0-9a-f]{12})[0-9a-f]{52}")


def lacking(item: Comparison) -> list[str] | None:
    """Return the wanted entries of a list that are missing; None if it is not a list or unknown."""
    if not (isinstance(item.wanted, list) and isinstance(item.found, list)):
        return None
    return [str(one) for one in item.wanted if one not in item.found]


def words(item: Comparison) -> str:
    """Describe the difference, or that it is unknown."""
    if item.same is None:
        return f"{item.what} unknown"
    missing = lacking(item)
    if missing is not None:
        return f"{item.what}: not {_named(missing)}"
    if item.found is None:
        return f"{item.what} is missing"
    if item.wanted is None:
        return f"{item.what} should not exist"
    if _HASH.fullmatch(str(item.wanted)) and _HASH.fullmatch(str(item.found)):
        return f"{item.what} was changed"
    return f"{item.what} is {short(item.found)}, not {short(item.wanted)}"


def count(items: Sequence[Comparison] | None) -> str:
    """Format ``none``, ``2``, ``1 unknown``, ``2, 1 unknown``; a dash without data."""
    if items is None:
        return NOTHING
    differ = sum(item.same is False for item in items)
    unknown = sum(item.same is None for item in items)
    parts = [str(differ)] if differ else []
    parts += [f"{unknown} unknown"] if unknown else []
    return ", ".join(parts) or "none"


def shown(item: Comparison) -> tuple[str, str]:
    """Return ``wanted`` and ``found`` for a table: hashes are cut unless they would look equal."""
    pair = desired(item), actual(item)
    if item.same is False and pair[0] == pair[1]:
        return str(item.wanted), str(item.found)
    return pair


def desired(item: Comparison) -> str:
    """Return ``wanted`` for a table."""
    if isinstance(item.wanted, list):
        # Unread: the patterns of the roles; read: the packages that match them.
        return ", ".join(map(str, item.wanted)) if item.same is None else f"{len(item.wanted)}"
    return NOTHING if item.wanted is None else short(item.wanted)


def actual(item: Comparison) -> str:
    """Return ``found`` for a table."""
    if item.same is None:
        return "unknown"
    missing = lacking(item)
    if missing is not None and isinstance(item.found, list):
        words = f", not {', '.join(missing)}" if missing else ""
        return f"{len(item.found)}{words}"
    return "absent" if item.found is None else short(item.found)


def short(value: object) -> str:
    """Return a text with hashes cut to 12 digits."""
    return _HASH.sub(r"\1", str(value))


def _named(names: list[str]) -> str:
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more
