"""The result of one check."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Status = Literal["pass", "warn", "fail"]


@dataclass(frozen=True, slots=True)
class Check:
    """What one check found.

    Attributes:
        area: what it is about: machine, project, inventory, devices.
        name: what was looked at.
        status: ``warn`` works, or is only needed for some verbs; ``fail`` must be mended.
        found: what is there.
        remedy: what to do; empty exactly when it passed.
    """

    area: str
    name: str
    status: Status
    found: str
    remedy: str = ""
