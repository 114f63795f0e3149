"""The addresses to which an operator's own tokens and passwords may be sent."""

from __future__ import annotations

from urllib.parse import urlsplit

_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


def keeps_secrets(url: str) -> bool:
    """Return whether the connection to ``url`` is confidential: TLS, or this machine itself."""
    parts = urlsplit(url)
    return parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in _LOOPBACK)
