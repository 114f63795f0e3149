"""Addresses under which this machine reaches names that only devices can resolve."""

from __future__ import annotations

from urllib.parse import urlsplit

from thorctl.errors import ThorError


def parse(pairs: tuple[str, ...]) -> dict[str, str]:
    """Parse ``NAME[:PORT]=URL`` words to a mapping; raise ThorError ``usage`` for any other form."""
    found = {}
    for pair in pairs:
        name, equals, url = pair.partition("=")
        if not name or not equals or not _is_address(url):
            raise ThorError(
                "usage",
                f"--via {pair!r} is not NAME=URL.",
                "Write it as `--via registry.example:5000=http://10.0.0.5:5000`.",
            )
        found[name] = url.rstrip("/")
    return found


def _is_address(url: str) -> bool:
    """Return whether this is http(s)://HOST[:PORT][/PATH]."""
    try:
        parts = urlsplit(url)
        return parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:  # a port above 65535, an unbalanced bracket
        return False
