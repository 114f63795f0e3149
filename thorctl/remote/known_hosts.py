"""Verify host keys by known_hosts, and explain rejected ones. Keys are never added."""

from __future__ import annotations

import contextlib
import functools
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import asyncssh
from asyncssh.public_key import get_default_certificate_algs, get_default_public_key_algs

from thorctl.errors import ThorError

if TYPE_CHECKING:
    from pathlib import Path

    from thorctl.remote.endpoint import Endpoint

_LINE = re.compile(r"\s*(@\S+\s+)?(\S+)(\s.*)$")


@dataclass(slots=True)
class Trust:
    """The keys recorded for one host.

    Attributes:
        device: the device's name, for errors.
        host, port: the key's name in known_hosts; without a port the bare name, as with HostKeyAlias.
        address: host and port for ssh-keyscan.
        files: the searched files; the first one is named in remedies.
        keys, authorities, revoked: the files' entries for this host.
        offered: the host's key, if it is not trusted.
    """

    device: str
    host: str
    port: int | None
    address: tuple[str, int]
    files: tuple[Path, ...]
    keys: list[asyncssh.SSHKey] = field(default_factory=list)
    authorities: list[asyncssh.SSHKey] = field(default_factory=list)
    revoked: list[asyncssh.SSHKey] = field(default_factory=list)
    offered: list[asyncssh.SSHKey] = field(default_factory=list)

    @classmethod
    def of(cls, device: str, endpoint: Endpoint) -> Trust:
        """Return the keys for an endpoint, as ``read``."""
        address = (endpoint.host, endpoint.port)
        return cls.read(device, endpoint.key_name, endpoint.key_port, address, endpoint.known_hosts)

    @classmethod
    def read(
        cls, device: str, host: str, port: int | None, address: tuple[str, int], files: tuple[Path, ...]
    ) -> Trust:
        """Look the host up in ``files``; a missing file has no keys.

        Raises:
            ThorError: ``known_hosts_unreadable``.
        """
        trust = cls(device, host, port, address, files)
        for name in [trust.name, *([host] if trust.name != host else [])]:
            for file in files:
                try:
                    keys, authorities, revoked, *_ = _read(file).match(name, "", None)
                except (OSError, ValueError) as error:
                    raise ThorError(
                        "known_hosts_unreadable",
                        f"The known_hosts file cannot be read: {error}.",
                        f"Correct {file}, then check with `ssh-keygen -l -f {file}`.",
                        device=device,
                    ) from None
                trust.keys += keys
                trust.authorities += authorities
                trust.revoked += revoked
            if trust.has_entry:  # ssh looks for the name without its port only if this finds none
                break
        return trust

    @property
    def has_entry(self) -> bool:
        """Whether a key is recorded for this host."""
        return bool(self.keys or self.authorities)

    @property
    def algorithms(self) -> list[str]:
        """The kinds of host key to request: recorded ones first, then any, to detect a changed key."""
        recorded = [name for key in self.keys for name in key.sig_algorithms]
        certified = get_default_certificate_algs() if self.authorities else []
        names = [*certified, *recorded, *get_default_public_key_algs()]
        return [name.decode() for name in dict.fromkeys(names)]

    @property
    def name(self) -> str:
        """The host in known_hosts' notation."""
        return self.host if self.port in {None, asyncssh.DEFAULT_PORT} else f"[{self.host}]:{self.port}"

    @property
    def _scan(self) -> str:
        """The command that appends the host's present key, renamed for an alias."""
        host, port = self.address
        rename = "" if self.port is not None else f" | sed 's/^[^ ]*/{self.name}/'"
        return f"ssh-keyscan -p {port} {host}{rename} >> {self.files[0]}"

    def error(self, why: str) -> ThorError:
        """Return the error for a rejected host key."""
        if any(key in self.revoked for key in self.offered) or "revoked" in why.lower():
            return self._revoked(why)
        return self._mismatch(why) if self.has_entry else self._unknown()

    def _revoked(self, why: str) -> ThorError:
        return ThorError(
            "host_key_mismatch",
            f"{self.name} showed a key that known_hosts marks as @revoked: {self._fingerprint or why}.",
            "Give the device a new host key (`ssh-keygen -A` on it) and record that one. Remove the "
            "@revoked line only if the key was never lost.",
            device=self.device,
        )

    @property
    def _fingerprint(self) -> str:
        return self.offered[0].get_fingerprint() if self.offered else ""

    def _mismatch(self, why: str) -> ThorError:
        shown = f"it showed {self._fingerprint}" if self._fingerprint else why
        return ThorError(
            "host_key_mismatch",
            f"{self.name} has another host key than {self.files[0]} records: {shown}. It was "
            "reinstalled, or another machine answers.",
            "Read the fingerprint on the device's own console: `ssh-keygen -lf "
            "/etc/ssh/ssh_host_ed25519_key.pub`. Only if it is the same: `ssh-keygen -R "
            f"'{self.name}' -f {self.files[0]}`, then `{self._scan}`.",
            device=self.device,
        )

    def _unknown(self) -> ThorError:
        shown = f" It showed {self._fingerprint}." if self._fingerprint else ""
        return ThorError(
            "host_key_unknown",
            f"No key of {self.name} is recorded in {self.files[0]}.{shown}",
            "Read the fingerprint on the device's own console: `ssh-keygen -lf "
            f"/etc/ssh/ssh_host_ed25519_key.pub`. If it is the same: `{self._scan}`.",
            device=self.device,
        )


def _read(file: Path) -> asyncssh.SSHKnownHosts:
    """Return a file's content; parsed once for a fleet.

    Raises:
        OSError, ValueError: it cannot be used.
    """
    try:
        found = file.stat()
    except (FileNotFoundError, NotADirectoryError):
        return asyncssh.SSHKnownHosts()
    return _parse(file, (found.st_dev, found.st_ino, found.st_mtime_ns, found.st_size))


@functools.lru_cache(maxsize=16)
def _parse(file: Path, identity: tuple[int, ...]) -> asyncssh.SSHKnownHosts:  # noqa: ARG001 - of the cache's key
    """Parse a file as ssh does: invalid lines are skipped, names are compared in lower case."""
    known = asyncssh.SSHKnownHosts()
    for line in file.read_text(errors="replace").splitlines():
        parts = _LINE.match(line)
        if parts is None or parts[2].startswith("#"):
            continue
        marker, names, key = parts.groups(default="")
        if marker.strip() not in {"", "@cert-authority", "@revoked"}:
            raise ValueError(f"Invalid known hosts marker: {marker.strip()[1:]}")
        with contextlib.suppress(ValueError):
            known.load(f"{marker}{names if names.startswith('|') else names.lower()}{key}")
    return known


class Witness(asyncssh.SSHClient):
    """Record the key that a host offers; trust none that is not on file."""

    def __init__(self, trust: Trust) -> None:
        self._trust = trust

    def validate_host_public_key(self, host: str, addr: str, port: int, key: asyncssh.SSHKey) -> bool:  # noqa: ARG002
        """Record a key that is not on file; return False."""
        self._trust.offered.append(key)
        return False
