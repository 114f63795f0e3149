"""Effective settings of systemd's programs: a file and its drop-ins, the alphabetically last one first."""

from __future__ import annotations

from typing import TYPE_CHECKING

from thorctl.protocol.dataclass import dataclass

if TYPE_CHECKING:
    from pathlib import Path

# In order of precedence: a file replaces those of its name in later directories (journald.conf(5)).
_PLACES = ("etc/systemd", "run/systemd", "usr/local/lib/systemd", "usr/lib/systemd")


@dataclass(frozen=True)
class Setting:
    """A value in effect, and the file that has it."""

    value: str
    path: str


def effective(root: Path, name: str) -> dict[str, Setting]:
    """Return the settings of `name`, such as 'journald.conf', whatever their section; '' resets one.

    Raises:
        OSError: one of the files cannot be read.
    """
    main = next((path for place in _PLACES if (path := root / place / name).exists()), None)
    drop_ins: dict[str, Path] = {}
    for place in reversed(_PLACES):
        drop_ins |= {path.name: path for path in (root / place / f"{name}.d").glob("*.conf")}
    found: dict[str, Setting] = {}
    for path in [*filter(None, [main]), *(drop_ins[one] for one in sorted(drop_ins))]:
        for line in path.read_text(errors="replace").splitlines():
            key, equals, value = line.strip().partition("=")
            if equals and not key.startswith(("#", ";")):
                found[key.strip()] = Setting(value.strip(), f"/{path.relative_to(root)}")
    return {key: setting for key, setting in found.items() if setting.value}
