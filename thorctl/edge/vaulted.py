"""Encrypt a secret as ansible-vault does, so that no file contains it in clear text."""

from __future__ import annotations

from typing import TYPE_CHECKING

from thorctl.errors import ThorError

if TYPE_CHECKING:
    from pathlib import Path


def encrypted(secret: str, password_file: Path) -> str:
    """Return ``!vault |`` and its lines, as ``ansible-vault encrypt_string`` prints them; not deterministic.

    Raises:
        ThorError: ``vault_password_unreadable``.
    """
    # Ansible's own, imported late: the import takes half a second.
    from ansible.parsing.vault import VaultLib, VaultSecret  # noqa: PLC0415 - see above

    try:
        password = password_file.read_bytes().strip()
    except OSError as error:
        raise ThorError(
            "vault_password_unreadable",
            f"{password_file}: {error.strerror}.",
            "Name the file with the password.",
        ) from error
    if not password:
        raise ThorError(
            "vault_password_unreadable", f"{password_file} is empty.", "Put the vault's password into it."
        )
    vault = VaultLib([("default", VaultSecret(password))])
    lines: str = vault.encrypt(secret).decode()
    return "!vault |\n" + "".join(f"  {line}\n" for line in lines.splitlines())
