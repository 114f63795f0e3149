"""Packages that only some verbs need: a wheel without them says which extra brings them."""

from __future__ import annotations

from thorctl.errors import ThorError

# Package -> the extra of pyproject.toml that brings it.
EXTRAS = {"numpy": "checkpoint", "ml_dtypes": "checkpoint"}


def missing(error: ModuleNotFoundError, verb: str) -> ThorError | None:
    """The error for a verb whose extra is not installed; None where ``error`` is about another package."""
    package = (error.name or "").partition(".")[0]
    extra = EXTRAS.get(package)
    if extra is None:
        return None
    return ThorError(
        "extra_missing",
        f"`thorctl {verb}` needs the Python package {package}, which is not installed.",
        f"Install the extra: `pip install 'thorctl[{extra}]'`.",
    )
