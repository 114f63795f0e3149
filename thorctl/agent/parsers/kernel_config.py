"""The kernel's configuration, from /proc/config.gz or /boot/config-…."""

from __future__ import annotations

import re


def built(text: str | None, option: str) -> bool | None:
    """Return whether ``option`` (without CONFIG_) is built in or a module; None if this is no configuration.

    An absent option is off: the kernel omits what its dependencies forbid.
    """
    if not re.search(r"^CONFIG_\w+=", text or "", re.MULTILINE):
        return None
    return re.search(rf"^CONFIG_{re.escape(option)}=[ym]$", text or "", re.MULTILINE) is not None
