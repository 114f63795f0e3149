"""/etc/nv_boot_control.conf: the board as flashed, which distinguishes a T5000 from a T4000."""

from __future__ import annotations

import re

_TNSPEC = re.compile(r"^TNSPEC\s+(\S+)\s*$", re.MULTILINE)
_COMPATIBLE = re.compile(r"^COMPATIBLE_SPEC\s+(\S+)\s*$", re.MULTILINE)


def parse_tnspec(text: str | None) -> str | None:
    """Return the TNSPEC word, else COMPATIBLE_SPEC, such as '3834-0008-400-G.5-…-jetson-agx-thor-devkit-'."""
    found = _TNSPEC.search(text or "") or _COMPATIBLE.search(text or "")
    return found.group(1) if found else None


def module_of(tnspec: str | None) -> str | None:
    """Return 'T4000' or 'T5000'; None if it names neither (as NVIDIA's detect_jetson.sh)."""
    spec = (tnspec or "").lower()
    if "t4000" in spec:
        return "T4000"
    return "T5000" if "jetson-agx-thor-devkit" in spec else None
