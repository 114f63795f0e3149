"""The context of every verb: the project, the inventory, the console."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from thorctl.project import ansible_config

if TYPE_CHECKING:
    from pathlib import Path

    from thorctl.ui.console import Console


@dataclass(frozen=True, slots=True)
class Context:
    """Set once, in ``main``: the output format, the project, the inventory, the console for messages."""

    project: Path
    json: bool
    quiet: bool
    messages: Console  # stderr: progress and remarks; stdout is for the data
    inventory: Path | None = None

    @property
    def deploy(self) -> Path:
        """The folder with device_classes, profiles, locks and templates."""
        return self.project / "deploy"

    @property
    def ansible_config(self) -> Path:
        """The ``ansible.cfg`` of the project."""
        return ansible_config(self.project)


pass_context = click.make_pass_decorator(Context)
