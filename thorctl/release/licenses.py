"""Licences of checkpoints: one name for each whoever writes it, and which of them somebody has to accept."""

from __future__ import annotations

from typing import TYPE_CHECKING

from thorctl.errors import ThorError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

# These ask for no more than attribution. Every other one, known to us or not, is for a person to read.
PERMISSIVE = frozenset(
    {"0bsd", "apache-2.0", "bsd-2-clause", "bsd-3-clause", "bsl-1.0", "cc-by-4.0", "cc0-1.0"}
    | {"isc", "mit", "unlicense", "zlib"}
)
# What people overlook most, by the beginning of the name.
ASKS = {
    "agpl-": "whoever lets others use it over a network owes them its source",
    "gpl-": "whoever passes it on owes its source",
    "cc-by-nc": "no commercial use",
}
_SUFFIXES = ("-only", "-or-later", "+")


def normal(name: str) -> str:
    """One spelling for SPDX's and the hub's: ``AGPL-3.0-only`` and ``agpl-3.0`` are ``agpl-3.0``."""
    word = "-".join(name.lower().split())
    for suffix in _SUFFIXES:
        word = word.removesuffix(suffix)
    return word


def same(one: str, other: str) -> bool:
    """Whether two names mean one licence."""
    return normal(one) == normal(other)


def must_be_accepted(name: str) -> bool:
    """Whether somebody has to say that they have read it."""
    return normal(name) not in PERMISSIVE


def of_card(metadata: Mapping[str, object] | None) -> str | None:
    """What a model card's metadata says; None where it says nothing.

    ``other`` is the hub's word for one that it has no word for: then ``license_name`` is the name.
    """
    found = (metadata or {}).get("license")
    names = found if isinstance(found, list) else [found]
    words = [str(name).strip() for name in names if name]
    if words == ["other"]:
        words = [str((metadata or {}).get("license_name") or "other").strip()]
    return " AND ".join(words) or None


def require_agreement(profile: str, license_: str, hub: str | None) -> None:
    """Refuses a profile that says another licence than the model card; a card that says none is no answer.

    Raises:
        ThorError: ``license_mismatch``.
    """
    if hub is None or same(license_, hub):
        return
    raise ThorError(
        "license_mismatch",
        f"The licence is {hub} in the model card and {license_} in the profile {profile!r}.",
        f"Read the model card, then correct `license:` in the profile (or its checkpoint.revision) and lock "
        f"again: `thorctl lock {profile}`.",
    )


def acceptance(license_: str, before: str | None, words: Iterable[str]) -> str | None:
    """What to record where it has to be accepted: the licence, or what was accepted before; else None.

    What was accepted before may be another licence; `require_acceptance` judges.

    Args:
        license_: the checkpoint's.
        before: what an earlier lock recorded.
        words: what the person says now.

    Raises:
        ThorError: ``usage``: they accept another licence than the checkpoint's.
    """
    said = list(words)
    for word in said:
        if not same(word, license_):
            raise ThorError(
                "usage",
                f"--accept-license {word}: the checkpoint's licence is {license_}.",
                f"Read that licence; if you accept it, give `--accept-license {license_}`.",
            )
    if not must_be_accepted(license_):
        return None
    return license_ if said else before


def require_acceptance(profile: str, license_: str, accepted: str | None) -> None:
    """Refuses a licence that nobody has accepted, or that is no longer the one that was.

    Raises:
        ThorError: ``license_not_accepted``.
    """
    if not must_be_accepted(license_) or (accepted is not None and same(accepted, license_)):
        return
    raise ThorError(
        "license_not_accepted",
        f"The checkpoint of {profile!r} is under {described(license_)}. "
        + (f"The accepted licence is {accepted}." if accepted else "It has not been accepted yet."),
        f"Read the licence; to accept it, run once: `thorctl lock {profile} --accept-license {license_}`.",
    )


def told(license_: str, hub: str | None, accepted: str | None) -> str:
    """One line: the licence, whether it was accepted where that is needed, and the model card's word."""
    state = f", {'accepted' if accepted else 'not accepted yet'}" if must_be_accepted(license_) else ""
    return f"{license_}{state}; the model card says {hub or 'nothing'}"


def described(license_: str) -> str:
    """The name, and what people overlook most about it."""
    asks = next((text for start, text in ASKS.items() if normal(license_).startswith(start)), None)
    return f"{license_} ({asks})" if asks else license_
