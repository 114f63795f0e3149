"""Write dataclasses as JSON data. ``decode`` reads them."""

from __future__ import annotations

from typing import Any


def encode(value: object) -> Any:
    """Return ``value`` as JSON data: dataclasses as objects, tuples as lists.

    A trailing underscore, as of ``from_``, is not part of a field's name.
    """
    if value is None or isinstance(value, (str, int, float)):
        return value
    if isinstance(value, dict):
        return {name: encode(one) for name, one in value.items()}
    if isinstance(value, (tuple, list)):
        return [encode(one) for one in value]
    names = type(value).__dataclass_fields__  # type: ignore[attr-defined]  # TypeError of others is a fault of ours
    return {name.removesuffix("_"): encode(getattr(value, name)) for name in names}
