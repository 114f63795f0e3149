"""What every verb gets: where the project is, how to talk to the person."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from thorctl.errors import ThorError

if TYPE_CHECKING:
    from thorctl.ui.console import Console


@dataclass(frozen=True, slots=True)
class Context:
    """Chosen once, in ``main``: the output format, the project, the inventory, the console for messages."""

    project: Path
    json: bool
    quiet: bool
    messages: Console  # stderr: progress and remarks; stdout belongs to the data
    inventory: Path | None = None

    @property
    def deploy(self) -> Path:
        """The folder with device_classes, profiles, locks and templates."""
        return self.project / "deploy"


pass_context = click.make_pass_decorator(Context)


def find_project(start: Path) -> Path:
    """The nearest folder at or above ``start`` with ``deploy/profiles``; else this package's checkout."""
    for folder in (start, *start.parents):
        if (folder / "deploy" / "profiles").is_dir():
            return folder
    checkout = Path(__file__).resolve().parents[2]
    if (checkout / "deploy" / "profiles").is_dir():
        return checkout
    raise ThorError(
        "project_not_found",
        f"No deploy/profiles at or above {start}.",
        "Change to a thorctl checkout, or name one with --project DIR.",
        exit_code=2,
    )


def given_project(folder: Path) -> Path:
    """``folder``, which ``--project`` or THORCTL_PROJECT names.

    Raises:
        ThorError: ``project_not_found``: there is no project in it.
    """
    if (folder / "deploy" / "profiles").is_dir():
        return folder
    raise ThorError(
        "project_not_found",
        f"{folder} is not a project: it has no deploy/profiles.",
        "Name the folder that holds deploy/ and playbooks/ with --project DIR, or leave --project out.",
        exit_code=2,
    )
