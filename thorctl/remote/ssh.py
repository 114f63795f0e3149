"""One verified SSH connection to a device; every failure is a ThorError with its own code.

It connects as ssh would (``remote.endpoint``) with the keys that ssh would offer, but never weakens the
verification: the trusted keys are passed explicitly, whatever StrictHostKeyChecking is.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import tempfile
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import asyncssh
from asyncssh.encryption import get_encryption_algs
from asyncssh.kex import get_kex_algs
from asyncssh.mac import get_mac_algs

from thorctl.errors import ThorError
from thorctl.remote import other_logins
from thorctl.remote.endpoint import resolve
from thorctl.remote.identities import offered
from thorctl.remote.known_hosts import Trust, Witness

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable

    from thorctl.inventory.devices import Become, Device
    from thorctl.remote.endpoint import Endpoint
    from thorctl.remote.identities import Offer

CONNECT_TIMEOUT = 10.0  # seconds, TCP to logged in; Ansible's own default
KEEPALIVE_SECONDS = 15  # a dead link is detected after three without an answer
BECOME = "thor_become"  # key of a connection's extra info: how to become root
_SUPPORTED: dict[str, Callable[[], Iterable[bytes]]] = {
    "kex_algs": get_kex_algs,
    "encryption_algs": get_encryption_algs,
    "mac_algs": get_mac_algs,
}


@asynccontextmanager
async def connect(
    device: Device, connect_timeout: float = CONNECT_TIMEOUT
) -> AsyncIterator[asyncssh.SSHClientConnection]:
    """Yield a connection to ``device``, closed at the end.

    Raises:
        ThorError: ``device_unreachable``, ``host_key_mismatch``, ``host_key_unknown``, ``auth_failed``,
            ``login_not_followed``, ``key_unreadable``, ``known_hosts_unreadable``; as ``endpoint.resolve``.
    """
    endpoint = await asyncio.to_thread(resolve, device)
    async with _login(device, endpoint, connect_timeout) as connection:
        become: Become | None = None if endpoint.user == "root" else device.become
        connection.set_extra_info(**{BECOME: become})
        yield connection


@asynccontextmanager
async def _login(
    device: Device, endpoint: Endpoint, connect_timeout: float, *, jump: bool = False
) -> AsyncIterator[asyncssh.SSHClientConnection]:
    """Yield a connection to one machine on the way, through those before it."""
    async with contextlib.AsyncExitStack() as stack:
        arguments: dict[str, Any] = {}
        errors: Path | None = None
        if endpoint.via:
            arguments["tunnel"] = await stack.enter_async_context(
                _login(device, endpoint.via, connect_timeout, jump=True)
            )
        elif not endpoint.proxy_command:
            arguments["family"] = endpoint.family
            arguments["local_addr"] = (endpoint.bind_address, 0) if endpoint.bind_address else None
        else:
            errors = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="thorctl-"))) / "stderr"
            arguments["sock"] = await stack.enter_async_context(_proxy(endpoint.proxy_command, errors))
        offer = await stack.enter_async_context(offered(endpoint))
        # The password is the device's and never sent to a jump host.
        password = None if jump else device.password
        logins = [name for name in endpoint.logins if name == "publickey" or password]
        keys = offer.keys if "publickey" in logins else []
        trust = Trust.of(device.name, endpoint)
        arguments |= _algorithms(device, endpoint, trust)
        limit = max(connect_timeout, endpoint.connect_timeout or 0)
        interval, missed = endpoint.keepalive
        try:
            connection = await asyncio.wait_for(
                asyncssh.connect(
                    endpoint.host,
                    endpoint.port,
                    config=None,
                    username=endpoint.user,
                    password=password,
                    client_keys=keys or None,
                    agent_path=None,
                    preferred_auth=logins or ["publickey"],
                    known_hosts=(trust.keys, trust.authorities, trust.revoked),
                    host_key_alias=endpoint.key_name,
                    client_factory=lambda: Witness(trust),
                    x509_trusted_certs=None,
                    # Whatever ~/.ssh/config has: root of a device could use what is forwarded.
                    agent_forwarding=False,
                    x11_forwarding=False,
                    keepalive_interval=interval or KEEPALIVE_SECONDS,
                    keepalive_count_max=missed or 3,
                    **arguments,
                ),
                limit,
            )
        except Exception as error:
            said = _last_line(errors)
            raise _explain(error, trust, endpoint, offer, limit=limit, said=said, jump=jump) from error
        async with connection:
            yield connection


@asynccontextmanager
async def _proxy(command: str, errors: Path) -> AsyncIterator[socket.socket]:
    """Yield a socket to ``command``, run as ssh runs it: by the user's shell, which it replaces.

    asyncssh's own ``proxy_command`` treats the command's stderr as output of the device.
    """
    ours, theirs = socket.socketpair()
    with ours, theirs, errors.open("wb") as stderr:
        process = await asyncio.create_subprocess_exec(
            os.environ.get("SHELL") or "/bin/sh",
            *("-c", f"exec {command}"),
            stdin=theirs.fileno(),
            stdout=theirs.fileno(),
            stderr=stderr,
            start_new_session=True,  # Ctrl-C is handled here
        )
        theirs.close()
        try:
            yield ours
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)
            await process.wait()


def _algorithms(device: Device, endpoint: Endpoint, trust: Trust) -> dict[str, list[str]]:
    """Return the algorithms that ssh would negotiate and asyncssh supports."""
    found = {}
    for argument, names in endpoint.algorithms.items():
        known = _SUPPORTED.get(argument)
        usable = set(trust.algorithms if known is None else (name.decode() for name in known()))
        ours = trust.algorithms if known is None else names
        found[argument] = [name for name in ours if name in usable and name in names]
        if not found[argument]:
            raise ThorError(
                "ssh_option_not_followed",
                f"ssh would use only {', '.join(names)} with {endpoint.alias}, unsupported by thorctl.",
                "Allow another one in the ssh configuration for this host: Ciphers, MACs, KexAlgorithms, "
                "HostKeyAlgorithms.",
                device=device.name,
            )
    return {"server_host_key_algs": trust.algorithms} | found


def _explain(
    error: Exception, trust: Trust, endpoint: Endpoint, offer: Offer, *, limit: float, said: str, jump: bool
) -> ThorError:
    """Return the ThorError for a failed connection."""
    device = trust.device
    where = f"the jump host {endpoint.where}" if jump else endpoint.where
    if isinstance(error, asyncssh.HostKeyNotVerifiable):
        return trust.error(str(error))
    if isinstance(error, asyncssh.PermissionDenied):
        return _denied(device, where, endpoint, offer, jump=jump)
    reason = f"no answer within {limit:g} s" if isinstance(error, TimeoutError) else _reason(error)
    if endpoint.proxy_command and said:
        reason = f"{reason}; its ProxyCommand: {said}"
    remedy = (
        "Try the connection with ssh -v; ProxyCommand must lead to the device's sshd."
        if endpoint.proxy_command
        else ("Check that it is powered and on the network; `thorctl doctor --devices` tries each device.")
    )
    return ThorError("device_unreachable", f"{where} cannot be reached: {reason}.", remedy, device=device)


def _denied(device: str, where: str, endpoint: Endpoint, offer: Offer, *, jump: bool) -> ThorError:
    passed = "; ".join(f"{path}: {why}" for path, why in offer.unusable.items())
    tried = f"Refused: {', '.join(offer.names)}." if offer.names else "No SSH key was found to offer."
    others = other_logins.usable(endpoint)
    ways = [other.way for other in others] or endpoint.not_tried
    more = f" ssh would also try {', '.join(ways)}, thorctl does not." if ways else ""
    if offer.not_accepted:
        more += f" PubkeyAcceptedAlgorithms leaves out {', '.join(offer.not_accepted)}."
    remedy = (
        "Give ssh a key for the jump host: IdentityFile in ~/.ssh/config, or ssh-add. The device's key "
        "(ansible_ssh_private_key_file) is not offered to it, as with ssh."
        if jump
        else "Add the public key to that user's authorized_keys, or correct ansible_user and "
        "ansible_ssh_private_key_file; a key with a passphrase must be in the agent: ssh-add."
    )
    if others:
        return ThorError(
            "login_not_followed",
            f"{where} refused the login of user {endpoint.user}. {tried}{more}",
            " ".join(dict.fromkeys(other.remedy for other in others)),
            device=device,
        )
    if not offer.keys and passed and not offer.not_accepted:
        return ThorError(
            "key_unreadable",
            f"{where}: no usable SSH key for user {endpoint.user}. {passed}.{more}",
            "Correct ansible_ssh_private_key_file in the inventory, or the file's owner and mode."
            if not jump
            else remedy,
            device=device,
        )
    unusable = f" Not used: {passed}." if passed else ""
    if offer.not_accepted and not offer.keys:
        remedy = "Remove PubkeyAcceptedAlgorithms from the ssh configuration, or use a key that it accepts."
    return ThorError(
        "auth_failed",
        f"{where} refused the login of user {endpoint.user}. {tried}{unusable}{more}",
        remedy,
        device=device,
    )


def _last_line(errors: Path | None) -> str:
    with contextlib.suppress(OSError):
        lines = errors.read_text(errors="replace").split("\n") if errors else []
        return next((line.strip() for line in reversed(lines) if line.strip()), "")
    return ""


def _reason(error: Exception) -> str:
    if isinstance(error, OSError) and error.errno and error.errno > 0:
        return os.strerror(error.errno).lower()
    if isinstance(error, OSError) and error.strerror:  # a name that does not resolve
        return error.strerror.rstrip(".")
    return str(error).rstrip(".") or type(error).__name__
