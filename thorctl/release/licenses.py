"""Licences of checkpoints: normalized names, and which licences have to be accepted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from thorctl.errors import ThorError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

# These require attribution at most. All others, known or not, have to be read by a person.
PERMISSIVE = frozenset(
    {"0bsd", "apache-2.0", "bsd-2-clause", "bsd-3-clause", "bsl-1.0", "cc-by-4.0", "cc0-1.0"}
    | {"isc", "mit", "unlicense", "zlib"}
)
# The most overlooked condition, by the beginning of the name.
ASKS = {
    "agpl-": "offering it over a network requires publishing its source",
    "gpl-": "distribution requires publishing its source",
    "cc-by-nc": "no commercial use",
}
_SUFFIXES = ("-only", "-or-later", "+")


def normal(name: str) -> str:
    """Return one spelling for SPDX's and the hub's: ``AGPL-3.0-only`` and ``agpl-3.0`` are ``agpl-3.0``."""
    word = "-".join(name.lower().split())
    for suffix in _SUFFIXES:
        word = word.removesuffix(suffix)
    return word


def same(one: str, other: str) -> bool:
    """Return whether two names are of one licence."""
    return normal(one) == normal(other)


def must_be_accepted(name: str) -> bool:
    """Return whether an operator has to accept the licence."""
    return normal(name) not in PERMISSIVE


def of_card(metadata: Mapping[str, object] | None) -> str | None:
    """Return the licence in a model card's metadata; None if it has none.

    ``other`` is the hub's name for an unlisted one, whose name is then in ``license_name``.
    """
    found = (metadata or {}).get("license")
    names = found if isinstance(found, list) else [found]
    words = [str(name).strip() for name in names if name]
    if words == ["other"]:
        words = [str((metadata or {}).get("license_name") or "other").strip()]
    return " AND ".join(words) or None


def require_agreement(profile: str, license_: str, hub: str | None) -> None:
    """Reject a profile whose licence differs from the model card's; a card without one is ignored.

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
    """Return the acceptance to record: the licence, or what was accepted before; None if not required.

    What was accepted before may be another licence; `require_acceptance` checks it.

    Args:
        license_: the checkpoint's.
        before: the record of an earlier lock.
        words: the licences that the operator accepts now.

    Raises:
        ThorError: ``usage``: another licence than the checkpoint's is accepted.
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
    """Reject a licence that was not accepted, or another one than the accepted.

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
    """Format the licence, whether it was accepted if required, and the model card's licence, in one line."""
    state = f", {'accepted' if accepted else 'not accepted yet'}" if must_be_accepted(license_) else ""
    return f"{license_}{state}; the model card has {hub or 'none'}"


def described(license_: str) -> str:
    """Return the name and its most overlooked condition."""
    asks = next((text for start, text in ASKS.items() if normal(license_).startswith(start)), None)
    return f"{license_} ({asks})" if asks else license_
