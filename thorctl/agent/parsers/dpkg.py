"""Installed Debian packages, from one dpkg-query for several names."""

from __future__ import annotations

# What to hand to `dpkg-query -W -f=…`; one line a package.
FORMAT = "${Package} ${Version} ${db:Status-Status}\\n"


def parse_versions(text: str | None) -> dict[str, str]:
    """Return name → version of the installed packages among FORMAT's lines; removed ones are left out."""
    versions: dict[str, str] = {}
    for line in (text or "").splitlines():
        words = line.split()
        if len(words) == 3 and words[2] == "installed" and words[1][0].isdigit():
            versions[words[0]] = words[1]
    return versions
