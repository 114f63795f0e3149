"""Whose host keys are trusted, and what to tell a person when one is not. Nothing here ever adds a key."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import asyncssh
from asyncssh.public_key import get_default_certificate_algs, get_default_public_key_algs

from thorctl.errors import ThorError

if TYPE_CHECKING:
    from collections.abc import Sequence

USER_KNOWN_HOSTS = (Path("~/.ssh/known_hosts"), Path("/etc/ssh/ssh_known_hosts"))


@dataclass(slots=True)
class Trust:
    """The keys recorded for one host, read from files once.

    Attributes:
        device: the device's name, for errors.
        host, port: under which the key is filed.
        files: where the keys were looked for; the first one is named in remedies.
        keys: what asyncssh verifies against. Never None: None would accept any key.
        offered: the key the host showed, when it was not a trusted one.
    """

    device: str
    host: str
    port: int
    files: tuple[Path, ...]
    keys: asyncssh.SSHKnownHosts
    offered: list[asyncssh.SSHKey] = field(default_factory=list)

    @classmethod
    def read(cls, device: str, host: str, port: int, files: tuple[Path, ...]) -> Trust:
        """Reads ``files``; a missing one holds no keys.

        Raises:
            ThorError: ``known_hosts_unreadable``.
        """
        files = tuple(file.expanduser() for file in files)
        try:
            text = "\n".join(file.read_text() for file in files if file.exists())
            keys = asyncssh.import_known_hosts(text)
        except (OSError, ValueError) as error:
            raise ThorError(
                "known_hosts_unreadable",
                f"The known_hosts file cannot be used: {error}",
                f"Correct {files[0]}; `ssh-keygen -l -f {files[0]}` lists what it holds.",
                device=device,
            ) from None
        return cls(device, host, port, files, keys)

    @property
    def has_entry(self) -> bool:
        """Whether any key is recorded for this host."""
        return any(self._match())

    @property
    def algorithms(self) -> list[str]:
        """Kinds of host key to ask for: recorded ones first, then any, so that a changed key is seen."""
        host_keys, authorities, *_ = self._match()
        recorded = [name for key in host_keys for name in key.sig_algorithms]
        certified = get_default_certificate_algs() if authorities else []
        names = [*certified, *recorded, *get_default_public_key_algs()]
        return [name.decode() for name in dict.fromkeys(names)]

    def _match(self) -> tuple[Sequence[Any], ...]:
        return self.keys.match(self.host, "", None if self.port == asyncssh.DEFAULT_PORT else self.port)

    @property
    def name(self) -> str:
        """The host as known_hosts writes it."""
        return self.host if self.port == asyncssh.DEFAULT_PORT else f"[{self.host}]:{self.port}"

    def error(self, why: str) -> ThorError:
        """What to raise when the host's key was refused."""
        return self._mismatch(why) if self.has_entry else self._unknown()

    @property
    def _fingerprint(self) -> str:
        return self.offered[0].get_fingerprint() if self.offered else ""

    def _mismatch(self, why: str) -> ThorError:
        shown = f"it showed {self._fingerprint}" if self._fingerprint else why
        return ThorError(
            "host_key_mismatch",
            f"{self.name} is not the host recorded in {self.files[0]}: {shown}. "
            "It was reinstalled, or someone stands in between.",
            "Compare with the device's own console: ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub. Only "
            f"if it is the same: ssh-keygen -R '{self.name}' -f {self.files[0]}, then "
            f"ssh-keyscan -p {self.port} {self.host} >> {self.files[0]}",
            device=self.device,
        )

    def _unknown(self) -> ThorError:
        shown = f" It showed {self._fingerprint}." if self._fingerprint else ""
        return ThorError(
            "host_key_unknown",
            f"No key of {self.name} is recorded in {self.files[0]}.{shown}",
            "Read the fingerprint on the device's own console: ssh-keygen -lf "
            "/etc/ssh/ssh_host_ed25519_key.pub. If it is the same: "
            f"ssh-keyscan -p {self.port} {self.host} >> {self.files[0]}",
            device=self.device,
        )


class Witness(asyncssh.SSHClient):
    """Notes the key that a host offered, and trusts none that is not on file."""

    def __init__(self, trust: Trust) -> None:
        self._trust = trust

    def validate_host_public_key(self, host: str, addr: str, port: int, key: asyncssh.SSHKey) -> bool:  # noqa: ARG002
        """Called for a key that is not on file: always False."""
        self._trust.offered.append(key)
        return False
