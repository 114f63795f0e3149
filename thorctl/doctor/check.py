"""The result of one check."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Status = Literal["pass", "warn", "fail"]


@dataclass(frozen=True, slots=True)
class Check:
    """The result of one check.

    Attributes:
        area: its subject: machine, project, inventory, devices.
        name: the checked item.
        status: ``warn`` works, or is needed for some verbs only; ``fail`` must be fixed.
        found: the observation.
        remedy: the remedy; empty exactly if it passed.
    """

    area: str
    name: str
    status: Status
    found: str
    remedy: str = ""
