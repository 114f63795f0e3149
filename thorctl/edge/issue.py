"""Determine which device needs a new certificate, and why."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cryptography.exceptions import InvalidSignature

from thorctl.edge import authority
from thorctl.errors import ThorError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cryptography import x509

    from thorctl.edge.authority import Pair

SOON = "expires soon"
VAULT = "$ANSIBLE_VAULT;"
DAYS = 397  # long the limit for public authorities; clients accept it
RENEW_BEFORE_DAYS = 60  # enough for a device that is off for a season


@dataclass(frozen=True, slots=True)
class Verdict:
    """The state of a device's certificate.

    Attributes:
        reason: why a new one is needed; None: it is valid.
        expires: its end; None without a readable one.
    """

    reason: str | None
    expires: dt.datetime | None


def judge(
    pair: Pair | None, ca_certificate: str, sans: Sequence[str], now: dt.datetime, renew_before_days: int
) -> Verdict:
    """Evaluate ``pair`` for a device with the names ``sans``.

    A key encrypted by ansible-vault is assumed to match the certificate; edge.yml, which can read it, checks.
    """
    if pair is None:
        return Verdict("none yet", None)
    try:
        certificate = authority.read(pair.certificate)
        owned = pair.private_key.startswith(VAULT) or authority.belongs(certificate, pair.private_key)
    except ThorError as error:
        return Verdict(error.code.removeprefix("edge_").replace("_", " "), None)
    expires = certificate.not_valid_after_utc
    missing = sorted(set(sans) - authority.names_of(certificate))
    reasons = (
        (not owned, "key and certificate differ"),
        (not _signed_by(ca_certificate, certificate), "not signed by this authority"),
        (certificate.not_valid_before_utc > now, "begins in the future"),
        (expires <= now, "expired"),
        (bool(missing), f"not valid for {', '.join(missing)}"),
        (expires - now < dt.timedelta(days=renew_before_days), SOON),
    )
    return Verdict(next((reason for is_so, reason in reasons if is_so), None), expires)


def require_usable(certificate: str, private_key: str, now: dt.datetime) -> None:
    """Reject a certificate that a device cannot serve, before any change on it.

    Raises:
        ThorError: ``edge_certificate_missing``, ``edge_certificate_expired``, ``edge_certificate_mismatch``,
            ``edge_certificate_not_yet_valid``, or as ``authority.read`` and ``authority.belongs``.
    """
    renew = "Issue one with `thorctl edge cert`, or set thor_edge_certificate and thor_edge_private_key."
    if not certificate.strip() or not private_key.strip():
        raise ThorError("edge_certificate_missing", "The device has no certificate and key.", renew)
    leaf = authority.read(certificate)
    if leaf.not_valid_after_utc <= now:
        raise ThorError(
            "edge_certificate_expired",
            f"The certificate ended on {leaf.not_valid_after_utc:%Y-%m-%d}.",
            renew,
        )
    if leaf.not_valid_before_utc > now:
        raise ThorError(
            "edge_certificate_not_yet_valid",
            f"The certificate begins on {leaf.not_valid_before_utc:%Y-%m-%d}, which is in the future.",
            "Check this machine's clock (`timedatectl`). If it is right, the clock was wrong at the issue:"
            " `thorctl edge cert` makes a new certificate.",
        )
    if not authority.belongs(leaf, private_key):
        raise ThorError(
            "edge_certificate_mismatch", "The private key does not belong to the certificate.", renew
        )


def _signed_by(ca_certificate: str, certificate: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(authority.read(ca_certificate))
    except (InvalidSignature, ValueError, TypeError):
        return False
    return True
