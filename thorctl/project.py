"""The operator's project: the folder that holds ``deploy/profiles``."""

from __future__ import annotations

import os
from pathlib import Path

from thorctl import shipped
from thorctl.errors import ThorError

VARIABLE = "THORCTL_PROJECT"  # the project without --project


def is_project(folder: Path) -> bool:
    """Return whether ``folder`` is a project."""
    return (folder / "deploy" / "profiles").is_dir()


def find(start: Path) -> Path:
    """Return the nearest project at or above ``start``; else the checkout of this thorctl.

    Raises:
        ThorError: ``project_not_found``.
    """
    for folder in (start, *start.parents):
        if is_project(folder):
            return folder
    if shipped.is_checkout():
        return shipped.package().parent
    raise ThorError(
        "project_not_found",
        f"There is no project at or above {start}: no folder has deploy/profiles.",
        "Make a project: `thorctl init DIR`. Change to an existing one, or name it with --project DIR.",
    )


def given(folder: Path) -> Path:
    """Return ``folder``, the value of ``--project`` or THORCTL_PROJECT.

    Raises:
        ThorError: ``project_not_found``: it is not a project.
    """
    if is_project(folder):
        return folder
    raise ThorError(
        "project_not_found",
        f"{folder} is not a project: it has no deploy/profiles.",
        "Name the folder that holds deploy/ with --project DIR, leave --project out, or make it a project: "
        f"`thorctl init {folder}`.",
    )


def current() -> Path:
    """Return this process's project: THORCTL_PROJECT, else the nearest above the working directory.

    Raises:
        ThorError: ``project_not_found``.
    """
    named = os.environ.get(VARIABLE)
    return given(Path(named)) if named else find(Path.cwd())


def deploy(named: str | None = None) -> Path:
    """Return the folder with profiles, locks, device classes and templates: the named or the project's.

    Raises:
        ThorError: ``project_not_found``.
    """
    return Path(named) if named else current() / "deploy"


def ansible_config(project: Path) -> Path:
    """Return a project's ``ansible.cfg``: its own, else the shipped one."""
    places = (project, project / "playbooks", shipped.playbooks())
    return next(file for place in places if (file := place / "ansible.cfg").is_file())
