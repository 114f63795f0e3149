"""Device-tree properties: NUL-terminated strings under /sys/firmware/devicetree/base.

/proc/device-tree is a link to that directory, and cannot exist in a container.
"""

from __future__ import annotations


def parse_strings(raw: bytes | None) -> list[str] | None:
    """Return a string-list property such as `compatible`; None if unread, empty or not text."""
    if not raw:
        return None
    try:
        words = [word.decode("utf-8") for word in raw.rstrip(b"\0\n").split(b"\0")]
    except UnicodeDecodeError:
        return None
    return words if all(words) else None


def parse_string(raw: bytes | None) -> str | None:
    """Return a single-string property such as `model`; None if unread or if it has several strings."""
    words = parse_strings(raw)
    return words[0] if words is not None and len(words) == 1 else None


def soc_of(compatible: list[str] | None) -> str | None:
    """Return the SoC of a `compatible` list, such as 'tegra264', the only entry common to all boards."""
    for entry in compatible or []:
        vendor, _, part = entry.partition(",")
        if vendor == "nvidia" and part.startswith("tegra") and part[5:].isdigit():
            return part
    return None
