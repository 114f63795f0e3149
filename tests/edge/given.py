"""A certificate as somebody else's authority gives it."""

from __future__ import annotations

import datetime as dt
import ipaddress

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa

Signer = tuple[x509.Name, rsa.RSAPrivateKey]


def given_chain() -> tuple[str, str, str]:
    """Root, then leaf and intermediate in one text, then the leaf's key: all PEM."""
    root, middle, leaf = (_named(name) for name in ("Root", "Intermediate", "thor-01"))
    certificates = [_signed(root, root, 1), _signed(middle, root, 0), _signed(leaf, middle, None)]
    root_pem, middle_pem, leaf_pem = (
        one.public_bytes(serialization.Encoding.PEM).decode() for one in certificates
    )
    key = leaf[1].private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.TraditionalOpenSSL,
        serialization.NoEncryption(),
    )
    return root_pem, leaf_pem + middle_pem, key.decode()


def _named(name: str) -> Signer:
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    return subject, rsa.generate_private_key(public_exponent=65537, key_size=2048)


def _signed(whose: Signer, by: Signer, below: int | None) -> x509.Certificate:
    """``below``: how many authorities may follow; None for a server."""
    now = dt.datetime.now(dt.UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(whose[0])
        .issuer_name(by[0])
        .public_key(whose[1].public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(days=30))
        .add_extension(x509.BasicConstraints(below is not None, below), critical=True)
    )
    if below is None:
        address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
        builder = builder.add_extension(x509.SubjectAlternativeName([address]), critical=False)
    return builder.sign(by[1], hashes.SHA256())
