"""The keys that ssh would offer to a host, in ssh's order.

Certificates come first, then the agent's keys that the configuration names, the agent's others, and keys in
files only. An unusable key is skipped, as in ssh; the reason is kept for the error message.
"""

from __future__ import annotations

import contextlib
import functools
import os
import stat
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import asyncssh

from thorctl.remote.effective import home

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from thorctl.remote.endpoint import Endpoint

NOT_IN_AGENT = "it has a passphrase, and the agent does not hold it: ssh-add"
OTHERS = stat.S_IRWXG | stat.S_IRWXO  # ssh rejects a private key with permissions for others


@dataclass(slots=True)
class Offer:
    """The offered keys.

    Attributes:
        keys: in order.
        names: the source of each, for messages.
        unusable: file -> why it was skipped; only files that exist or were configured.
        not_accepted: names of keys whose kind PubkeyAcceptedAlgorithms excludes.
    """

    keys: list[asyncssh.SSHKeyPair] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    unusable: dict[Path, str] = field(default_factory=dict)
    not_accepted: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _File:
    """A private key's file: the key if it is readable, and its public part if known."""

    private: asyncssh.SSHKey | None = None
    public: bytes | None = None
    why_not: str = ""


@asynccontextmanager
async def offered(endpoint: Endpoint) -> AsyncIterator[Offer]:
    """Yield the keys for ``endpoint``; an agent stays connected until the context ends."""
    offer = Offer()
    files = {path: _load(path, _identity(path)) for path in dict.fromkeys(endpoint.identities)}
    offer.unusable = {
        path: file.why_not
        for path, file in files.items()
        if file.why_not and (path.exists() or path.parent != home() / ".ssh")  # ssh's default files
    }
    async with contextlib.AsyncExitStack() as stack:
        held: dict[bytes, asyncssh.SSHKeyPair] = {}
        signers: dict[bytes, asyncssh.SSHKeyPair] = {}
        if endpoint.agent:
            with contextlib.suppress(OSError, ValueError):  # no agent listens there
                agent = await stack.enter_async_context(asyncssh.SSHAgentClient(endpoint.agent))
                held = {pair.public_data: pair for pair in await agent.get_keys()}
                signers = {pair.public_data: pair for pair in await agent.get_keys()}
        _add_certified(offer, endpoint, files, signers)
        named = {file.public for file in files.values() if file.public}
        for mine in (True, False):
            for blob, pair in held.items():
                if (blob in named) is mine and (mine or not endpoint.identities_only):
                    offer.keys.append(pair)
                    offer.names.append(f"{pair.get_comment() or 'a key'} of the agent")
        for path, file in files.items():
            if file.private and file.public not in held:
                offer.keys += asyncssh.load_keypairs([file.private])
                offer.names.append(str(path))
        _drop_unaccepted(offer, endpoint)
        yield offer


def _drop_unaccepted(offer: Offer, endpoint: Endpoint) -> None:
    """Remove keys that PubkeyAcceptedAlgorithms excludes; an ssh that does not report it accepts all."""
    accepted = endpoint.key_algorithms
    if not accepted:
        return
    both = list(zip(offer.keys, offer.names, strict=True))
    kept = [one for one in both if _kinds(one[0].algorithm.decode()) & accepted]
    offer.not_accepted = [name for pair, name in both if (pair, name) not in kept]
    offer.keys, offer.names = [one[0] for one in kept], [one[1] for one in kept]


def _kinds(algorithm: str) -> set[str]:
    """Return the names of a key's kind in a list of algorithms: for an RSA key, those of its signatures."""
    name, at, rest = algorithm.partition("-cert-v01@")
    rsa = {"ssh-rsa", "rsa-sha2-256", "rsa-sha2-512"}
    names = rsa if name in rsa else {name}
    return {f"{one}{at}{rest}" for one in names}


def _add_certified(
    offer: Offer, endpoint: Endpoint, files: dict[Path, _File], signers: dict[bytes, asyncssh.SSHKeyPair]
) -> None:
    """Add certificates of the configuration, and those beside the keys, with any key that signs for them.

    ``signers``: keys of the agent that are not offered themselves: each signs for its certificate.
    """
    beside = [path.with_name(f"{path.name}-cert.pub") for path in files]
    for path in dict.fromkeys((*endpoint.certificates, *beside)):
        try:
            certificate = asyncssh.read_certificate(path)
        except (OSError, ValueError) as error:
            if path in endpoint.certificates:
                offer.unusable[path] = _words(error)
            continue
        blob = certificate.key.public_data
        private = next(
            (file.private for file in files.values() if file.private and file.public == blob), None
        )
        if private:
            offer.keys.append(asyncssh.load_keypairs([(private, certificate)])[0])
        elif blob in signers:
            pair = signers.pop(blob)
            pair.set_certificate(certificate)
            offer.keys.append(pair)
        else:
            offer.unusable[path] = "its private key is neither in a file nor in the agent"
            continue
        offer.names.append(str(path))


def _identity(path: Path) -> tuple[int, ...]:
    """Return a value that changes when a file does."""
    with contextlib.suppress(OSError):
        found = path.stat()
        return (found.st_dev, found.st_ino, found.st_mtime_ns, found.st_size, found.st_mode, found.st_uid)
    return ()


@functools.lru_cache(maxsize=64)
def _load(path: Path, identity: tuple[int, ...]) -> _File:
    """Return the file's key; ``identity`` invalidates the cache after a change."""
    public = None
    for candidate in (path.with_name(f"{path.name}.pub"), path):
        with contextlib.suppress(OSError, ValueError):
            public = asyncssh.read_public_key(candidate).public_data
            break
    if not identity:
        return _File(public=public, why_not="it does not exist")
    if identity[4] & OTHERS and identity[5] == os.getuid():
        return _File(public=public, why_not=f"its mode is {stat.S_IMODE(identity[4]):04o}: chmod 600 {path}")
    try:
        private = asyncssh.read_private_key(path)
    except (OSError, ValueError) as error:
        if str(error).startswith("Passphrase"):
            return _File(public=public, why_not=NOT_IN_AGENT)
        return _File(public=public, why_not="" if public and _is_public(path) else _words(error))
    return _File(private=private, public=private.public_data)


def _is_public(path: Path) -> bool:
    with contextlib.suppress(OSError, ValueError):
        return b"PRIVATE" not in path.read_bytes()
    return False


def _words(error: Exception) -> str:
    return (
        error.strerror.lower()
        if isinstance(error, OSError) and error.strerror
        else str(error).rstrip(".").lower()
    )
