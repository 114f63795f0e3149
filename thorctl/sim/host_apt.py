"""The host's apt settings, for fetching Debian packages; an image contains none of them."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

UNSTABLE = "sid"
DEFAULT_MIRROR = "http://deb.debian.org/debian"
KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
MIRROR_VARIABLE = "THORCTL_DEBIAN_MIRROR"  # both are for hosts whose sources have no Debian mirror
SECURITY_MIRROR_VARIABLE = "THORCTL_DEBIAN_SECURITY_MIRROR"

# Settings of the connection and of an index's age. None that weakens signatures.
_PASSED_ON = re.compile(
    r"^Acquire::(?:(?:http|https)::(?:Proxy(?:::\S+)?|Verify-Peer|Verify-Host|Timeout|User-Agent|Pipeline-Depth)"
    r"|Check-Valid-Until|Check-Date|Max-FutureTime|Retries|ForceIPv4|ForceIPv6) \"(?P<value>[^\"]*)\";$"
)


@dataclass(frozen=True, slots=True)
class Mirrors:
    """Base addresses of the Debian archive and of its security archive; None: unknown."""

    main: str | None
    security: str | None

    def sources(self, suite: str, keyring: str = KEYRING) -> list[str]:
        """Return one-line apt sources of a release; [] without an archive: mmdebstrap then uses its own."""
        if self.main is None:
            return []
        signed = f"[signed-by={keyring}]"
        security = [f"deb {signed} {self.security} {suite}-security main"] if self.security else []
        return [
            f"deb {signed} {self.main} {suite} main",
            f"deb {signed} {self.main} {suite}-updates main",
            *security,
        ]

    def with_unstable(self, suite: str, keyring: str = KEYRING) -> list[str]:
        """Return ``sources`` and those of unstable, by default of Debian's own archive."""
        known = Mirrors(self.main or DEFAULT_MIRROR, self.security)
        return [*known.sources(suite, keyring), f"deb [signed-by={keyring}] {known.main} {UNSTABLE} main"]


def mirrors(sources: str, environment: dict[str, str] | None = None) -> Mirrors:
    """Return the Debian mirrors in apt sources (either format).

    An Ubuntu host has none: its archive has another path.
    """
    chosen = dict(os.environ) if environment is None else environment
    active = "\n".join(line for line in sources.splitlines() if not line.lstrip().startswith("#"))
    main = re.search(r"\bhttps?://\S+?/debian/?(?=\s|$)", active, re.MULTILINE)
    security = re.search(r"\bhttps?://\S+?/debian-security/?(?=\s|$)", active, re.MULTILINE)
    return Mirrors(
        chosen.get(MIRROR_VARIABLE) or (main[0].rstrip("/") if main else None),
        chosen.get(SECURITY_MIRROR_VARIABLE) or (security[0].rstrip("/") if security else None),
    )


def options(apt_config_dump: str) -> list[str]:
    """Return the lines of ``apt-config dump`` that a build needs to reach the mirrors as the host does."""
    found = (_PASSED_ON.match(line.strip()) for line in apt_config_dump.splitlines())
    return [match[0] for match in found if match and match["value"]]


def read_sources(etc: Path = Path("/etc/apt")) -> str:
    """Return the text of all active apt source files of the host; '' without apt."""
    files = [etc / "sources.list", *sorted((etc / "sources.list.d").glob("*.list"))]
    files += sorted((etc / "sources.list.d").glob("*.sources"))
    return "\n".join(file.read_text(errors="replace") for file in files if file.is_file())
