"""The host's own apt settings, for fetching Debian packages; nothing of them stays in an image."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

UNSTABLE = "sid"
DEFAULT_MIRROR = "http://deb.debian.org/debian"
KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
MIRROR_VARIABLE = "THORCTL_DEBIAN_MIRROR"  # both are for hosts whose sources name no Debian mirror
SECURITY_MIRROR_VARIABLE = "THORCTL_DEBIAN_SECURITY_MIRROR"

# What decides how a file is reached and how old an index may be. Nothing that weakens signatures.
_PASSED_ON = re.compile(
    r"^Acquire::(?:(?:http|https)::(?:Proxy(?:::\S+)?|Verify-Peer|Verify-Host|Timeout|User-Agent|Pipeline-Depth)"
    r"|Check-Valid-Until|Check-Date|Max-FutureTime|Retries|ForceIPv4|ForceIPv6) \"(?P<value>[^\"]*)\";$"
)


@dataclass(frozen=True, slots=True)
class Mirrors:
    """Base addresses of the Debian archive and of its security archive; None: not known here."""

    main: str | None
    security: str | None

    def sources(self, suite: str, keyring: str = KEYRING) -> list[str]:
        """One-line apt sources of a release; none without an archive: then mmdebstrap takes its own."""
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
        """``sources`` and those of unstable, of Debian's own archive where no other is known."""
        known = Mirrors(self.main or DEFAULT_MIRROR, self.security)
        return [*known.sources(suite, keyring), f"deb [signed-by={keyring}] {known.main} {UNSTABLE} main"]


def mirrors(sources: str, environment: dict[str, str] | None = None) -> Mirrors:
    """The Debian mirrors that apt sources (either format) name.

    An Ubuntu host names none: its archive has another path.
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
    """Lines of ``apt-config dump`` that a build needs to reach the mirrors as the host does."""
    found = (_PASSED_ON.match(line.strip()) for line in apt_config_dump.splitlines())
    return [match[0] for match in found if match and match["value"]]


def read_sources(etc: Path = Path("/etc/apt")) -> str:
    """The text of all of the host's active apt source files; empty where apt is not there."""
    files = [etc / "sources.list", *sorted((etc / "sources.list.d").glob("*.list"))]
    files += sorted((etc / "sources.list.d").glob("*.sources"))
    return "\n".join(file.read_text(errors="replace") for file in files if file.is_file())
