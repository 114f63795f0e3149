"""Packages that only some verbs need: the error names the extra that installs them."""

from __future__ import annotations

from thorctl.errors import ThorError

# Package -> its extra in pyproject.toml.
EXTRAS = {"numpy": "checkpoint", "ml_dtypes": "checkpoint"}


def missing(error: ModuleNotFoundError, verb: str) -> ThorError | None:
    """Return the error for a verb without its extra; None if ``error`` is about another package."""
    package = (error.name or "").partition(".")[0]
    extra = EXTRAS.get(package)
    if extra is None:
        return None
    return ThorError(
        "extra_missing",
        f"`thorctl {verb}` needs the Python package {package}, which is not installed.",
        f"Install the extra: `pip install 'thorctl[{extra}]'`.",
    )
