"""This host's proxies and certificate authorities, for builds only."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

# The more deliberate choice first; then the system's bundle of Debian and Ubuntu.
BUNDLE_VARIABLES = ("SSL_CERT_FILE", "PIP_CERT", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
SYSTEM_BUNDLE = Path("/etc/ssl/certs/ca-certificates.crt")
PROXY_VARIABLES = (
    "http_proxy",
    "https_proxy",
    "no_proxy",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
    "all_proxy",
)


def ca_bundle(environment: Mapping[str, str] | None = None, system: Path = SYSTEM_BUNDLE) -> bytes | None:
    """Return the certificates that this host trusts (PEM), or None without a bundle."""
    env = os.environ if environment is None else environment
    chosen = [Path(env[name]) for name in BUNDLE_VARIABLES if env.get(name)]
    for path in [*chosen, system]:
        if path.is_file():
            return path.read_bytes()
    return None


def proxies(environment: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the proxy variables that are set here."""
    env = os.environ if environment is None else environment
    return {name: env[name] for name in PROXY_VARIABLES if env.get(name)}
