"""One verified SSH connection to a device; every way it can fail is a ThorError with its own code.

Reads ``~/.ssh/config`` as ssh does, since Ansible's ssh reads it too, but never weakens verification for it:
the trusted keys are always named explicitly.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import asyncssh

from thorctl.errors import ThorError
from thorctl.ssh_options import SshOptions, parse_ssh_options, split_hop
from thorctl.ssh_trust import USER_KNOWN_HOSTS, Trust, Witness

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from thorctl.fleet import Device

CONNECT_TIMEOUT = 10.0  # seconds, TCP to logged in; Ansible's own default
KEEPALIVE_SECONDS = 15  # a dead link is noticed after three of them without an answer


@asynccontextmanager
async def connect(
    device: Device, connect_timeout: float = CONNECT_TIMEOUT
) -> AsyncIterator[asyncssh.SSHClientConnection]:
    """A connection to ``device``, closed on leaving.

    Raises:
        ThorError: ``device_unreachable``, ``host_key_mismatch``, ``host_key_unknown``, ``auth_failed``,
            ``key_unreadable``, ``known_hosts_unreadable``, ``ssh_options_invalid``.
    """
    options = _options(device)
    async with contextlib.AsyncExitStack() as stack:
        tunnel: asyncssh.SSHClientConnection | None = None
        for hop in options.jump:
            tunnel = await stack.enter_async_context(_hop(device, options, hop, tunnel, connect_timeout))
        files = _known_hosts(device, options)
        trust = Trust.read(device.name, options.host_key_alias or device.host, device.port, files)
        arguments: dict[str, Any] = {"tunnel": tunnel} if tunnel else {}
        if options.proxy_command and not tunnel:
            arguments["proxy_command"] = options.proxy_command
        if options.host_key_alias:
            arguments["host_key_alias"] = options.host_key_alias
        if device.user:
            arguments["username"] = device.user
        where = f"{device.host}:{device.port}"
        arguments |= {"host": device.host, "port": device.port, **_keys(device)}
        yield await stack.enter_async_context(_open(trust, where, connect_timeout, arguments))


def _options(device: Device) -> SshOptions:
    try:
        return parse_ssh_options(device.ssh_args)
    except ValueError as error:
        raise ThorError(
            "ssh_options_invalid",
            f"ansible_ssh_common_args cannot be read: {error}.",
            "Correct it in the inventory; `ansible-inventory --host` shows what a device gets.",
            device=device.name,
        ) from None


def _known_hosts(device: Device, options: SshOptions) -> tuple[Path, ...]:
    named = (device.known_hosts,) if device.known_hosts else tuple(map(Path, options.known_hosts))
    return named or USER_KNOWN_HOSTS


@asynccontextmanager
async def _hop(
    device: Device,
    options: SshOptions,
    hop: str,
    tunnel: asyncssh.SSHClientConnection | None,
    connect_timeout: float,
) -> AsyncIterator[asyncssh.SSHClientConnection]:
    """A connection to a jump host, verified against the same files as the device and the user's own."""
    try:
        user, host, port = split_hop(hop)
    except ValueError:
        raise ThorError(
            "ssh_options_invalid",
            f"The jump host {hop!r} cannot be read.",
            "Write it as [user@]host[:port] in ansible_ssh_common_args.",
            device=device.name,
        ) from None
    trust = Trust.read(device.name, host, port, (*_known_hosts(device, options), *USER_KNOWN_HOSTS))
    arguments: dict[str, Any] = {"host": host, "port": port, **_keys(device)}
    if user:
        arguments["username"] = user
    if tunnel:
        arguments["tunnel"] = tunnel
    async with _open(trust, f"the jump host {host}:{port}", connect_timeout, arguments) as connection:
        yield connection


def _keys(device: Device) -> dict[str, Any]:
    """The named key, with the agent's help for that one only; without a name what ssh would try."""
    if device.key is None:
        return {}
    key = device.key.expanduser()
    try:
        key.read_bytes()
    except OSError as error:
        raise ThorError(
            "key_unreadable",
            f"The SSH key {key} cannot be read: {error.strerror}.",
            "Correct ansible_ssh_private_key_file in the inventory, or the file's owner and mode.",
            device=device.name,
        ) from None
    public = key.with_name(key.name + ".pub")
    agent = {"agent_identities": [str(public)]} if public.exists() else {"agent_path": None}
    return {"client_keys": [str(key)], "ignore_encrypted": True, **agent}


@asynccontextmanager
async def _open(
    trust: Trust, where: str, connect_timeout: float, arguments: dict[str, Any]
) -> AsyncIterator[asyncssh.SSHClientConnection]:
    try:
        connection = await asyncio.wait_for(
            asyncssh.connect(
                known_hosts=trust.keys,
                server_host_key_algs=trust.algorithms,
                client_factory=lambda: Witness(trust),
                preferred_auth="publickey",
                x509_trusted_certs=None,
                # Whatever ~/.ssh/config says: root of a device could use what is forwarded.
                agent_forwarding=False,
                x11_forwarding=False,
                keepalive_interval=KEEPALIVE_SECONDS,
                **arguments,
            ),
            connect_timeout,
        )
    except Exception as error:
        raise _explain(error, trust, where, connect_timeout, arguments) from error
    async with connection:
        yield connection


def _explain(
    error: Exception, trust: Trust, where: str, connect_timeout: float, arguments: dict[str, Any]
) -> ThorError:
    """The ThorError that a failed connection is."""
    device = trust.device
    if isinstance(error, asyncssh.HostKeyNotVerifiable):
        return trust.error(str(error))
    if isinstance(error, asyncssh.PermissionDenied):
        user = arguments.get("username", "you")
        key = (arguments.get("client_keys") or ["no named key"])[0]
        return ThorError(
            "auth_failed",
            f"{where} does not let {user} in with {key}.",
            "Add the public key to that user's authorized_keys, or correct ansible_user and "
            "ansible_ssh_private_key_file; a key with a passphrase must be in the agent: ssh-add.",
            device=device,
        )
    if isinstance(error, asyncssh.KeyImportError):
        return ThorError(
            "key_unreadable",
            f"The SSH key cannot be used: {error}",
            "Name a private key in OpenSSH format in ansible_ssh_private_key_file.",
            device=device,
        )
    if isinstance(error, asyncssh.ConfigParseError):
        return ThorError(
            "ssh_options_invalid", f"~/.ssh/config: {error}", "Correct that line.", device=device
        )
    reason = f"no answer within {connect_timeout:g} s" if isinstance(error, TimeoutError) else _reason(error)
    return ThorError(
        "device_unreachable",
        f"{where} cannot be reached: {reason}.",
        "Check that it is powered and on the network; thorctl doctor --devices tries each device.",
        device=device,
    )


def _reason(error: Exception) -> str:
    if isinstance(error, OSError) and error.errno and error.errno > 0:
        return os.strerror(error.errno).lower()
    if isinstance(error, OSError) and error.strerror:  # a name that does not resolve
        return error.strerror.rstrip(".")
    return str(error).rstrip(".") or type(error).__name__
