"""The fleet's certificate authority, and one certificate per device: keys and PEM in, PEM out."""

from __future__ import annotations

import datetime as dt
import ipaddress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from thorctl.errors import ThorError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes

# Devices without a clock battery may start with a time slightly in the past.
BACKDATED = dt.timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Pair:
    """A certificate and its private key, both PEM."""

    certificate: str
    private_key: str = field(repr=False)


def new_authority(
    name: str,
    now: dt.datetime,
    days: int,
    passphrase: bytes | None = None,
    permitted: Sequence[str] = (),
) -> Pair:
    """Return a root that may sign server certificates and no further authorities (ECDSA P-256).

    ``permitted``: the DNS domains, addresses and networks (CIDR) that it may sign for; empty: any.

    Raises:
        ThorError: ``edge_permit_invalid``.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    builder = (
        _builder(subject, subject, key.public_key(), now, days)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
    )
    if permitted:
        builder = builder.add_extension(_constraints(permitted), critical=True)
    return Pair(_pem(builder.sign(key, hashes.SHA256())), _private_pem(key, passphrase))


def is_locked(private_key: str) -> bool:
    """Return whether a private key of ours (PKCS #8, PEM) has a passphrase."""
    return "BEGIN ENCRYPTED PRIVATE KEY" in private_key


def new_certificate(
    authority: Pair,
    name: str,
    sans: Sequence[str],
    *,
    now: dt.datetime,
    days: int,
    passphrase: bytes | None = None,
) -> Pair:
    """Return a server certificate for ``sans`` (names and addresses); it never outlives the authority.

    Raises:
        ThorError: ``edge_ca_unreadable`` (wrong passphrase), ``edge_ca_expired``, ``edge_ca_not_yet_valid``,
            ``edge_san_invalid``, ``edge_san_not_permitted``.
    """
    root = read(authority.certificate)
    signer = _private_key(authority.private_key, passphrase)
    if root.not_valid_after_utc <= now:
        raise ThorError(
            "edge_ca_expired",
            f"The authority's certificate ended on {root.not_valid_after_utc:%Y-%m-%d}.",
            "Make a new one with `thorctl edge ca init --pki NEWDIR`, and install its ca.crt on the "
            "clients first.",
        )
    if root.not_valid_before_utc > now:
        raise ThorError(
            "edge_ca_not_yet_valid",
            f"The authority's certificate begins on {root.not_valid_before_utc:%Y-%m-%d}, in the future.",
            "Check this machine's clock (`timedatectl`): certificates signed now would end too early.",
        )
    for san in sans:
        _require_permitted(root, san)
    key = ec.generate_private_key(ec.SECP256R1())
    # The common name is informational, the SANs count. X.509 limits it to 64 characters.
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name[:64])])
    days = min(days, (root.not_valid_after_utc - now).days)
    certificate = (
        _builder(subject, root.subject, key.public_key(), now, days)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectAlternativeName([general_name(san) for san in sans]), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False
        )
        .sign(signer, hashes.SHA256())
    )
    return Pair(_pem(certificate), _private_pem(key, None))


def _constraints(permitted: Sequence[str]) -> x509.NameConstraints:
    """Return constraints to ``permitted``; a kind (names, addresses) without an entry is excluded."""
    allowed: list[x509.GeneralName] = []
    for text in permitted:
        try:
            allowed.append(x509.IPAddress(ipaddress.ip_network(text)))
            continue
        except ValueError:
            pass
        try:
            allowed.append(x509.DNSName(text.removeprefix(".")))
        except ValueError as error:
            raise ThorError(
                "edge_permit_invalid",
                f"{text!r} is neither a DNS domain in ASCII nor an address or network.",
                "Give a domain or a network, such as `--permit fleet.example.com --permit 10.0.0.0/8`.",
            ) from error
    kinds = {type(one) for one in allowed}
    nothing: list[x509.GeneralName] = []
    if x509.IPAddress not in kinds:
        nothing += [x509.IPAddress(ipaddress.ip_network(text)) for text in ("0.0.0.0/0", "::/0")]
    if x509.DNSName not in kinds:
        nothing.append(x509.DNSName(""))
    return x509.NameConstraints(allowed, nothing or None)


def _require_permitted(root: x509.Certificate, san: str) -> None:
    try:
        found = root.extensions.get_extension_for_class(x509.NameConstraints).value
    except x509.ExtensionNotFound:
        return
    name = general_name(san)
    if not any(_covers(one, name) for one in found.permitted_subtrees or ()):
        raise ThorError(
            "edge_san_not_permitted",
            f"The authority may not sign for {san!r}.",
            "Remove the name (ansible_host, thor_edge_names, --san), or make an authority that "
            "permits it: `thorctl edge ca init --pki NEWDIR --permit NAME`.",
        )


def _covers(permitted: x509.GeneralName, name: x509.GeneralName) -> bool:
    if isinstance(permitted, x509.DNSName) and isinstance(name, x509.DNSName):
        return f".{name.value.lower()}".endswith(f".{permitted.value.lower()}")
    if isinstance(permitted, x509.IPAddress) and isinstance(name, x509.IPAddress):
        return name.value in permitted.value  # type: ignore[operator]  # a network holds addresses
    return False


def general_name(text: str) -> x509.GeneralName:
    """Return an address as an address, anything else as a DNS name."""
    try:
        return x509.IPAddress(ipaddress.ip_address(text))
    except ValueError:
        pass
    try:
        return x509.DNSName(text)
    except ValueError as error:
        raise ThorError(
            "edge_san_invalid",
            f"{text!r} is neither an address nor a name in ASCII.",
            "Correct ansible_host or thor_edge_names.",
        ) from error


def read(pem: str) -> x509.Certificate:
    """Return the first certificate of a chain.

    Raises:
        ThorError: ``edge_certificate_unreadable``.
    """
    try:
        return x509.load_pem_x509_certificates(pem.encode())[0]
    except ValueError as error:
        raise ThorError(
            "edge_certificate_unreadable",
            "The certificate is not PEM (-----BEGIN CERTIFICATE-----).",
            "Give the chain as PEM, the server's own certificate first.",
        ) from error


def names_of(certificate: x509.Certificate) -> frozenset[str]:
    """Return its SANs as text; empty if it has none."""
    try:
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return frozenset()
    addresses = (str(address) for address in found.get_values_for_type(x509.IPAddress))
    return frozenset([*found.get_values_for_type(x509.DNSName), *addresses])


def belongs(certificate: x509.Certificate, private_key: str) -> bool:
    """Return whether the private key is this certificate's.

    Raises:
        ThorError: ``edge_private_key_unreadable``.
    """
    try:
        key = serialization.load_pem_private_key(private_key.encode(), None)
    except (ValueError, TypeError) as error:
        raise ThorError(
            "edge_private_key_unreadable",
            "The private key is not PEM, or has a passphrase, which nginx cannot ask for.",
            "Give it as PEM without a passphrase; protect it with ansible-vault.",
        ) from error
    return _public_bytes(key.public_key()) == _public_bytes(certificate.public_key())


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, now: dt.datetime, days: int
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - BACKDATED)
        .not_valid_after(now + dt.timedelta(days=days))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _private_key(pem: str, passphrase: bytes | None) -> ec.EllipticCurvePrivateKey:
    try:
        key = serialization.load_pem_private_key(pem.encode(), passphrase)
    except (ValueError, TypeError) as error:
        raise ThorError(
            "edge_ca_unreadable",
            "The authority's key cannot be read: it is damaged, or the passphrase is missing or wrong.",
            "Name the file that holds the passphrase: --passphrase-file FILE.",
        ) from error
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise ThorError(
            "edge_ca_unreadable",
            "The authority's key is not an ECDSA key.",
            "Make one: `thorctl edge ca init`.",
        )
    return key


def _pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


def _private_pem(key: ec.EllipticCurvePrivateKey, passphrase: bytes | None) -> str:
    locked = serialization.BestAvailableEncryption(passphrase) if passphrase else serialization.NoEncryption()
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, locked).decode()


def _public_bytes(key: PublicKeyTypes) -> bytes:
    return key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
