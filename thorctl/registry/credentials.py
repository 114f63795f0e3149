"""Where a person's own tokens and passwords may be sent."""

from __future__ import annotations

from urllib.parse import urlsplit

_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


def keeps_secrets(url: str) -> bool:
    """Whether nobody on the way to ``url`` reads along: TLS, or this very machine."""
    parts = urlsplit(url)
    return parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in _LOOPBACK)
