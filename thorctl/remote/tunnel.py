"""Connect to a device's engine through SSH.

The engine listens on a Unix socket. SSH forwards it if the login has access; otherwise the agent relays it
(`engine_relay`). A release of layout 1 listens on a TCP port of the device's loopback. On the controller each
connection ends in a Unix socket in a private folder, which other users cannot open.
"""

from __future__ import annotations

import shlex
import tempfile
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import asyncssh
import httpx

from thorctl.errors import ThorError
from thorctl.protocol import foreign_json
from thorctl.protocol.paths import RELEASES
from thorctl.protocol.status import Status
from thorctl.remote import earlier
from thorctl.remote.agent_call import agent_command, as_root, ask, become_of, run_bounded
from thorctl.remote.relay import relayed
from thorctl.remote.ssh import CONNECT_TIMEOUT, connect

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from contextlib import AbstractAsyncContextManager

    from thorctl.inventory.devices import Device

SILENCE_SECONDS = 120.0  # longest wait for the next byte: the first token of a long prompt


@dataclass(frozen=True, slots=True)
class Engine:
    """A connection to one device's engine.

    Attributes:
        client: HTTP client; paths are relative, such as ``/v1/models``.
        model: the served name.
        release: the device's running release.
    """

    device: str
    client: httpx.AsyncClient
    model: str
    release: str


@asynccontextmanager
async def open_engine(
    device: Device, *, api_key: str | None = None, connect_timeout: float = CONNECT_TIMEOUT
) -> AsyncIterator[Engine]:
    """Connect to the engine; ask the agent first for its model and address.

    Raises:
        ThorError: as ``ssh.connect``; ``engine_not_ready``, ``tunnel_refused``, ``release_unreadable``, or
            the agent's own error.
    """
    async with connect(device, connect_timeout) as connection:
        status = await _status(connection, device.name)
        engine, release = status.engine, status.release
        if not engine.ready or not release:
            unit = engine.unit or "not running"
            why = "it is not ready yet" if unit == "active" else f"its unit is {unit}"
            raise _not_ready(device.name, why, stopped=unit == "inactive" and bool(release))
        with tempfile.TemporaryDirectory(prefix="thorctl-") as folder:  # mode 0700
            path = f"{folder}/engine"
            socket, model = engine.socket, engine.model
            way: AbstractAsyncContextManager[object]
            if socket is None:
                profile = await _profile(connection, device.name, release)
                model = model or profile["serve"]["served-model-name"][0]
                way = _by_port(connection, device.name, profile["serve"]["port"], path)
            elif await may_open(connection, socket):
                way = connection.forward_local_path(path, socket)
            else:
                way = relayed(connection, device.name, path)
            async with way:
                # No compression: a small answer must not unpack to a large one.
                headers = {"Accept-Encoding": "identity"}
                headers |= {"Authorization": f"Bearer {api_key}"} if api_key else {}
                async with httpx.AsyncClient(
                    transport=httpx.AsyncHTTPTransport(uds=path),
                    base_url="http://engine",
                    headers=headers,
                    trust_env=False,  # no proxy between us and a socket
                    timeout=httpx.Timeout(connect_timeout, read=SILENCE_SECONDS),
                ) as client:
                    yield Engine(device.name, client, str(model), release)


async def may_open(connection: asyncssh.SSHClientConnection, socket: str) -> bool:
    """Return whether sshd connects the login to the engine's socket now.

    It does not if the account is not a member of thor-api, or not yet in this login, if
    ``AllowStreamLocalForwarding`` is off, or if nothing listens. The agent's relay detects the last case.
    """
    try:
        _, writer = await connection.open_unix_connection(socket)
    except asyncssh.ChannelOpenError:
        return False
    writer.close()
    return True


@asynccontextmanager
async def _by_port(
    connection: asyncssh.SSHClientConnection, device: str, port: int, path: str
) -> AsyncIterator[None]:
    """Forward the Unix socket ``path`` to the engine of a layout 1 release."""
    await _probe(connection, device, port)
    async with connection.forward_local_path_to_port(path, "127.0.0.1", port):
        yield


async def _status(connection: asyncssh.SSHClientConnection, device: str) -> Status:
    command = agent_command(connection.get_extra_info("username"), "status", (), become=become_of(connection))
    answer = await ask(connection, device, "status", command)
    if answer.error:
        problem = answer.error
        raise ThorError(problem.code, problem.message, problem.remedy, device=device)
    return earlier.read(Status, answer.data)  # which it is of, as there is no error


async def _profile(connection: asyncssh.SSHClientConnection, device: str, release: str) -> dict[str, Any]:
    """Return the profile of the device's running release; the local one may be newer."""
    path = f"{RELEASES}/{release}/release.json"
    user = connection.get_extra_info("username")
    _, shown, stderr = await run_bounded(connection, as_root(user, ("cat", path), become_of(connection)))
    try:
        profile: dict[str, Any] = foreign_json.read(shown)["profile"]
        if isinstance(profile["serve"]["port"], int) and profile["serve"]["served-model-name"]:
            return profile
    except (ValueError, KeyError, TypeError):
        pass
    said = stderr.strip() or "it has no profile with a port and a model name"
    raise ThorError(
        "release_unreadable",
        f"{shlex.quote(path)} cannot be used: {said}.",
        f"Stage it again: `cd playbooks && ansible-playbook site.yml --limit {device}`.",
        device=device,
    )


async def _probe(connection: asyncssh.SSHClientConnection, device: str, port: int) -> None:
    """Distinguish an engine that does not listen from an sshd that forbids forwarding."""
    try:
        _, writer = await connection.open_connection("127.0.0.1", port)
        writer.close()
    except asyncssh.ChannelOpenError as error:
        if error.code == asyncssh.OPEN_ADMINISTRATIVELY_PROHIBITED:
            raise ThorError(
                "tunnel_refused",
                f"sshd on the device refuses to forward to port {port}.",
                "Allow it in sshd_config of the device (`AllowTcpForwarding local`, `PermitOpen "
                "127.0.0.1:*`), then reload sshd.",
                device=device,
            ) from None
        raise _not_ready(device, f"nothing listens on its port {port}") from None


def _not_ready(device: str, why: str, *, stopped: bool = False) -> ThorError:
    return ThorError(
        "engine_not_ready",
        f"The engine cannot answer: {why}.",
        f"Start it: `cd playbooks && ansible {device} --become -a 'systemctl start thor-engine'`. If "
        f"it does not start, read `thorctl logs {device} --engine`."
        if stopped
        else (f"Read its log (`thorctl logs {device} --engine`) and its state (`thorctl status {device}`)."),
        device=device,
    )
