"""The folder with the authority and the devices' certificates; its keys are readable by their owner only.

ca.crt                  installed on clients
ca.key                  signs; used by `thorctl edge cert` only
devices/<name>.crt .key installed on the device by thor_edge
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from thorctl.edge.authority import Pair
from thorctl.errors import ThorError
from thorctl.files import atomic

if TYPE_CHECKING:
    from pathlib import Path

KEY_MODE, FOLDER_MODE = 0o600, 0o700


@dataclass(frozen=True, slots=True)
class Pki:
    """A folder of that layout, which need not exist yet."""

    folder: Path

    @property
    def ca_certificate(self) -> Path:
        """The certificate that clients verify with."""
        return self.folder / "ca.crt"

    @classmethod
    def beside(cls, inventory: Path) -> Pki:
        """Return the one beside the inventory's folder, which the role thor_edge uses too."""
        path = inventory.absolute()
        folder = path if path.is_dir() else path.parent
        return cls(folder.parent / "pki")

    def root(self) -> str | None:
        """Return the authority's certificate; None if there is none.

        Raises:
            ThorError: ``edge_pki_unreadable``.
        """
        found = self._read(self.ca_certificate, self.ca_certificate)
        return found.certificate if found else None

    def authority(self) -> Pair:
        """Return the authority.

        Raises:
            ThorError: ``edge_ca_missing``.
        """
        found = self._read(self.ca_certificate, self.folder / "ca.key")
        if found is None:
            raise ThorError(
                "edge_ca_missing",
                f"{self.folder} has no ca.crt and ca.key.",
                "Make an authority with `thorctl edge ca init`, or name its folder with --pki.",
            )
        return found

    def create_authority(self, pair: Pair) -> None:
        """Store a new authority; never replace an existing one.

        Raises:
            ThorError: ``edge_ca_exists``, ``edge_pki_unwritable``.
        """
        for path in (self.ca_certificate, self.folder / "ca.key"):
            if path.exists():
                raise ThorError(
                    "edge_ca_exists",
                    f"{path} exists already, and clients trust it.",
                    "Use it (`thorctl edge cert`), or create another one in another folder with --pki DIR.",
                )
        self._write(self.folder / ".gitignore", "# Never commit keys.\n*\n!ca.crt\n", 0o644)
        self._write(self.folder / "ca.key", pair.private_key, KEY_MODE)
        self._write(self.ca_certificate, pair.certificate, 0o644)

    def device(self, name: str) -> Pair | None:
        """Return a device's certificate and key; None unless both exist."""
        return self._read(*self._paths(name))

    def keep(self, name: str, pair: Pair) -> None:
        """Replace a device's certificate and key."""
        certificate, key = self._paths(name)
        self._write(key, pair.private_key, KEY_MODE)
        self._write(certificate, pair.certificate, 0o644)

    def _paths(self, name: str) -> tuple[Path, Path]:
        folder = self.folder / "devices"
        return folder / f"{name}.crt", folder / f"{name}.key"

    def _read(self, certificate: Path, key: Path) -> Pair | None:
        try:
            return Pair(certificate.read_text(encoding="ascii"), key.read_text(encoding="ascii"))
        except FileNotFoundError:
            return None
        except (OSError, UnicodeDecodeError) as error:
            raise ThorError(
                "edge_pki_unreadable",
                f"{self.folder}: {error}.",
                "Correct owner and mode of the folder and its files.",
            ) from error

    def _write(self, path: Path, text: str, mode: int) -> None:
        """Write atomically, at no time with more permissions than ``mode``."""
        try:
            path.parent.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
            atomic.write(path, text, mode)
        except OSError as error:
            raise ThorError(
                "edge_pki_unwritable",
                f"{path} cannot be written: {error.strerror}.",
                "Correct its owner or mode, or name another folder with --pki.",
            ) from error
