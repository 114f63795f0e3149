"""Validate Ansible's settings of edge and door, and render their files."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

from thorctl import project
from thorctl.edge.issue import require_usable
from thorctl.edge.render import render, render_door
from thorctl.edge.settings import checked, checked_door
from thorctl.errors import ThorError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from thorctl.edge.settings import Settings


def files(raw: Mapping[str, Any], deploy: str | None = None) -> dict[str, Any]:
    """Return ``{"generation": …, "files": {name: content}}`` for the module ``thor_edge``.

    ``deploy``: as of the lookup ``thor_release``.
    """
    rendered = render(settings(raw), project.deploy(deploy))
    return {"generation": rendered.generation, "files": rendered.files}


def problem(raw: Mapping[str, Any], deploy: str | None = None) -> str:
    """Return the error of settings or templates; '' if there is none. It contains no secret."""
    try:
        files(raw, deploy)
    except ThorError as error:
        return f"{error.code}: {error.message} — {error.remedy}"
    return ""


def door_files(raw: Mapping[str, Any], deploy: str | None = None) -> dict[str, Any]:
    """Return ``{"generation": …, "files": {name: content}}`` of a door that is not closed."""
    rendered = render_door(checked_door(plain(raw)), project.deploy(deploy))
    return {"generation": rendered.generation, "files": rendered.files}


def door_problem(raw: Mapping[str, Any], deploy: str | None = None) -> str:
    """Return the error of settings or templates; '' if there is none. It contains no secret."""
    try:
        if checked_door(plain(raw)).mode != "closed":
            door_files(raw, deploy)
    except ThorError as error:
        return f"{error.code}: {error.message} — {error.remedy}"
    return ""


def settings(raw: Mapping[str, Any]) -> Settings:
    """Return validated settings with a presently valid certificate.

    Raises:
        ThorError: as ``edge.settings.checked`` and ``edge.issue.require_usable``.
    """
    values = plain(raw)
    found = checked(
        {"certificate": "", "private_key": "", **{k: v for k, v in values.items() if v is not None}}
    )
    require_usable(found.certificate, found.private_key.get_secret_value(), dt.datetime.now(dt.UTC))
    return found


def plain(value: Any) -> Any:
    """Return Ansible's lazy and tagged values as Python's own, since pydantic would read templates."""
    if isinstance(value, dict):
        return {str(key): plain(value[key]) for key in value}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return str(value) if isinstance(value, str) else value
