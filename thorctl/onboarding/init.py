"""Create the operator's project: its files, which of them are missing, and their writing."""

from __future__ import annotations

import re
from dataclasses import dataclass
from importlib import resources
from typing import TYPE_CHECKING

from thorctl import project, shipped
from thorctl.errors import ThorError
from thorctl.release import device_class, profile

if TYPE_CHECKING:
    from collections.abc import Mapping
    from importlib.resources.abc import Traversable
    from pathlib import Path

NAME = "fleet"  # of the project's own profile
EXTENDS = "qwable-v1-nvfp4a16-upstream"  # the recommended one
NEXT = ("thorctl doctor --devices", f"thorctl lock {NAME}", "ansible-playbook site.yml")
# File of the template -> path in the project, where they differ.
_RENAMED = {"gitignore": ".gitignore", "deploy/profiles/profile.yml": f"deploy/profiles/{NAME}.yml"}
_TOLERATED = frozenset({".git"})  # in a folder that is to become a project
# Settings of the shipped ansible.cfg that name folders of a checkout.
_OF_A_CHECKOUT = re.compile(r"^(?:roles_path|library|\w+_plugins) = .*\n", re.MULTILINE)
_INVENTORY = re.compile(r"^#[^\n]*\ninventory = .*\n", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Plan:
    """The actions of ``thorctl init``.

    Attributes:
        folder: the project's.
        write: path in the project -> text.
        kept: existing files, which are not changed.
    """

    folder: Path
    write: Mapping[str, str]
    kept: tuple[str, ...]


def files(extends: str) -> dict[str, str]:
    """Return path in the project -> text of each initial file of a project.

    Args:
        extends: the shipped profile that the project's own extends.

    Raises:
        ThorError: ``profile_unknown``.
    """
    deploy = shipped.folder("deploy")
    base = profile.load(deploy, extends)
    kind = device_class.load(deploy, base.device_classes[0])
    values = {"__NAME__": NAME, "__EXTENDS__": base.name, "__DEVICE_CLASS__": kind.name}
    found = {"ansible.cfg": _ansible_config()}
    for path, text in _template(resources.files("thorctl.onboarding") / "template").items():
        filled = text
        for word, value in values.items():
            filled = filled.replace(word, value)
        found[_RENAMED.get(path, path)] = filled
    return dict(sorted(found.items()))


def _template(folder: Traversable, below: str = "") -> dict[str, str]:
    found: dict[str, str] = {}
    for entry in folder.iterdir():
        path = f"{below}{entry.name}"
        if entry.is_dir():
            found |= _template(entry, f"{path}/")
        else:
            found[path] = entry.read_text(encoding="utf-8")
    return found


def _ansible_config() -> str:
    """Return the shipped ``ansible.cfg`` with the project's inventory and without a checkout's folders."""
    text = (shipped.playbooks() / "ansible.cfg").read_text(encoding="utf-8")
    return _OF_A_CHECKOUT.sub("", _INVENTORY.sub("inventory = inventory\n", text))


def plan(folder: Path, extends: str) -> Plan:
    """Return the files that ``folder`` lacks. Existing files are kept, whatever their content.

    Raises:
        ThorError: ``folder_not_empty``, ``folder_unusable``, ``profile_unknown``.
    """
    wanted = files(extends)
    if folder.exists() and not folder.is_dir():
        raise ThorError("folder_unusable", f"{folder} is not a folder.", "Name a new or empty folder.")
    if not project.is_project(folder):
        _refuse_foreign(folder, wanted)
    kept = tuple(path for path in wanted if (folder / path).exists())
    return Plan(folder, {path: text for path, text in wanted.items() if path not in kept}, kept)


def _refuse_foreign(folder: Path, wanted: Mapping[str, str]) -> None:
    """Reject a folder with files that are not a project's."""
    known = {path.partition("/")[0] for path in wanted} | _TOLERATED
    foreign = (
        sorted(entry.name for entry in folder.iterdir() if entry.name not in known) if folder.is_dir() else []
    )
    if foreign:
        named = ", ".join(foreign[:3])
        more = f" and {len(foreign) - 3} more" if len(foreign) > 3 else ""
        raise ThorError(
            "folder_not_empty",
            f"{folder} is not empty and not a project: it has {named}{more}.",
            "Name a new or empty folder, or a project whose missing files are to be written.",
        )


def write(plan: Plan) -> None:
    """Write the missing files; no existing one is changed.

    Raises:
        ThorError: ``folder_unusable``.
    """
    for path, text in plan.write.items():
        file = plan.folder / path
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            with file.open("x", encoding="utf-8") as opened:
                opened.write(text)
        except FileExistsError:
            continue  # another process was first
        except OSError as error:
            raise ThorError(
                "folder_unusable",
                f"{file} cannot be written: {error.strerror or error}.",
                "Correct the folder's owner, mode or disk, then run the same command again.",
            ) from error
