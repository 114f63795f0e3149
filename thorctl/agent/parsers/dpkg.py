"""Installed Debian packages, from one dpkg-query: versions of some, or the holds of all."""

from __future__ import annotations

# Formats for `dpkg-query -W -f=…`; one line per package.
FORMAT = "${Package} ${Version} ${db:Status-Status}\\n"
HOLDS_FORMAT = "${binary:Package} ${db:Status-Want} ${db:Status-Status}\\n"


def parse_versions(text: str | None) -> dict[str, str]:
    """Return name → version of the installed packages among FORMAT's lines; removed ones are left out."""
    versions: dict[str, str] = {}
    for line in (text or "").splitlines():
        words = line.split()
        if len(words) == 3 and words[2] == "installed" and words[1][0].isdigit():
            versions[words[0]] = words[1]
    return versions


def parse_holds(text: str | None) -> dict[str, bool] | None:
    """Return name → whether it is held, of the installed packages of HOLDS_FORMAT; None if not read."""
    if text is None:
        return None
    lines = [words for words in map(str.split, text.splitlines()) if len(words) == 3]
    return {name: want == "hold" for name, want, state in lines if state == "installed"}
