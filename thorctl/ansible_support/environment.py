"""Start Ansible independently of this process's environment, and explain its errors."""

from __future__ import annotations

import os
import re
import tempfile
from typing import TYPE_CHECKING

from thorctl.errors import ThorError
from thorctl.protocol.plural import form

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

# Ansible requires an installed UTF-8 locale; this one always is.
LOCALE = "C.UTF-8"
# Variables that change Ansible's output or its Python, not the meaning of an inventory or a playbook.
_DROPPED = frozenset(
    {
        *("ANSIBLE_DEBUG", "ANSIBLE_VERBOSITY", "ANSIBLE_FORCE_COLOR", "ANSIBLE_DISPLAY_TRACEBACK"),
        "ANSIBLE_LOG_PATH",
        *("PYTHONWARNINGS", "PYTHONVERBOSE", "PYTHONINSPECT", "PYTHONIOENCODING", "PYTHONOPTIMIZE"),
        *("PYTHONUTF8", "PYTHONDEVMODE", "PYTHONSTARTUP", "PYTHONPROFILEIMPORTTIME", "PYTHONDEBUG"),
    }
)
_VAULT_MARK = b"$ANSIBLE_VAULT;"
_NO_PASSWORD = re.compile(r"no vault secrets found|Decryption failed")
_PASSWORD_FILE = re.compile(
    r"\[ERROR\]: ([^\n]*vault password[^\n]*|[^\n]*password file[^\n]*)", re.IGNORECASE
)
_NO_FOLDER = re.compile(r"Unable to create local directories [^\n]*")
# Its prompt reads the terminal, or an empty standard input.
_NOBODY_ASKED = re.compile(r"EOFError \(ctrl-d\) on prompt for")
_SETTING = re.compile(r"Config '[^'\n]+' from '(?:env: )?([^'\n]+)' has an invalid value[.:]*([^\n]*)")


def clean(environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Return the variables for Ansible: all, except those that prevent its start or change its answer."""
    found = {name: value for name, value in environment.items() if name not in _DROPPED}
    return found | starting(environment)


def starting(environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Return the variables that Ansible needs to start: a locale, a folder for temporary files."""
    found = {"LC_ALL": LOCALE}
    home = environment.get("ANSIBLE_HOME") or environment.get("HOME")
    if home and not os.access(home, os.W_OK) and not environment.get("ANSIBLE_LOCAL_TEMP"):
        # Ansible creates a private folder in it before it reads anything.
        found["ANSIBLE_LOCAL_TEMP"] = tempfile.gettempdir()
    return found


def explain(inventory: Path, stderr: str) -> ThorError | None:
    """Explain an error of Ansible that is not about the inventory's text; None otherwise.

    The codes are ``vault_password_missing``, ``vault_password_wrong``, ``vault_password_unreadable``,
    ``ansible_folder`` and ``ansible_setting``.
    """
    if found := _NO_FOLDER.search(stderr):
        return ThorError(
            "ansible_folder",
            f"Ansible does not start: {found[0].rstrip('.')}.",
            "Correct ANSIBLE_LOCAL_TEMP or ANSIBLE_HOME where it is set; else make HOME writable for you.",
        )
    if found := _SETTING.search(stderr):
        return ThorError(
            "ansible_setting",
            f"Ansible does not start: {found[1]} has an invalid value: {found[2].strip()}.",
            f"Correct {found[1]}, or unset it.",
        )
    if found := _PASSWORD_FILE.search(stderr):
        return ThorError(
            "vault_password_unreadable",
            f"The vault's password cannot be read: {found[1].rstrip('.')}.",
            "Correct ANSIBLE_VAULT_PASSWORD_FILE, or vault_password_file in [defaults] of ansible.cfg.",
        )
    return _vault_refusal(inventory, stderr)


def _vault_refusal(inventory: Path, stderr: str) -> ThorError | None:
    """Explain an error about a missing or wrong vault password; None otherwise."""
    if _NOBODY_ASKED.search(stderr):
        return ThorError(
            "vault_password_missing",
            "Ansible asks for the vault's password (ask_vault_pass, or a vault identity with `@prompt`), and "
            "there is no terminal to ask at.",
            "Run it at a terminal, or name the file that holds the password instead: "
            "ANSIBLE_VAULT_PASSWORD_FILE=FILE with ANSIBLE_ASK_VAULT_PASS=false, or vault_password_file in "
            "[defaults] of ansible.cfg; docs/how-to/secrets.md shows both.",
        )
    if not _NO_PASSWORD.search(stderr):
        return None
    files = vaulted(inventory)
    what = ", ".join(map(str, files[:3])) or f"A file of {inventory}"
    verb = form(len(files) or 1, "is", "are")
    if "no vault secrets found" in stderr:
        return ThorError(
            "vault_password_missing",
            f"{what} {verb} encrypted with ansible-vault, and no password is given.",
            "Name the file that holds the password: ANSIBLE_VAULT_PASSWORD_FILE=FILE in the environment, or "
            "vault_password_file in [defaults] of ansible.cfg; docs/how-to/secrets.md shows both.",
        )
    return ThorError(
        "vault_password_wrong",
        f"{what} {verb} encrypted with ansible-vault, and not all with the password that is given.",
        "Give the password that was used: ANSIBLE_VAULT_PASSWORD_FILE names its file.",
    )


def vaulted(inventory: Path) -> list[Path]:
    """Return the files of variables beside an inventory that are encrypted as a whole."""
    folder = inventory if inventory.is_dir() else inventory.parent
    return sorted(
        file
        for name in ("group_vars", "host_vars")
        for file in (folder / name).rglob("*")
        if file.is_file() and os.access(file, os.R_OK) and _begins(file)
    )


def _begins(file: Path) -> bool:
    with file.open("rb") as opened:
        return opened.read(len(_VAULT_MARK)) == _VAULT_MARK
