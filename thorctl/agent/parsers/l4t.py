"""/etc/nv_tegra_release: the Jetson Linux (L4T) release, and the JetPack of it."""

from __future__ import annotations

import re

from thorctl.protocol.facts import L4t

_FIRST_LINE = re.compile(r"# R(\d+) \(release\), REVISION: (\d+)\.(\d+)(?:, |\s*$)")

# jetson_stats jtop/core/jetson_variables.py. 39.1 is left out: the sources disagree on it.
_JETPACK = {
    "38.2.0": "7.0",
    "38.2.1": "7.0",
    "38.2.2": "7.0",
    "38.4.0": "7.1",
    "39.0.0": "7.2",
    "39.2.0": "7.2",
    "39.2.1": "7.2.1",
    "39.2.2": "7.2",  # no public source names its maintenance release of 7.2
}


def parse_nv_tegra_release(text: str | None) -> L4t | None:
    """Return the release named by the first line; the lines after it list library checksums.

    BOARD is ignored: it is 'generic' on every Thor.
    """
    lines = (text or "").splitlines()
    found = _FIRST_LINE.match(lines[0]) if lines else None
    if found is None:
        return None
    major, minor, patch = (int(part) for part in found.groups())
    return L4t(f"{major}.{minor}.{patch}", f"{major}.{minor}", lines[0].strip())


def jetpack_of(revision_full: str | None) -> str | None:
    """Return the JetPack version of an L4T revision such as '38.4.0'; None if the table has none."""
    return _JETPACK.get(revision_full or "")


def version_tuple(text: str | None) -> tuple[int, ...] | None:
    """Return '38.4' as (38, 4) for comparison; None if any part is not a plain number."""
    parts = (text or "").strip().split(".")
    if not all(part.isascii() and part.isdigit() for part in parts):
        return None
    return tuple(int(part) for part in parts)
