"""A way to the engine of a device: it listens on the device's loopback only, so we come through SSH.

The tunnel ends in a Unix socket inside a private folder: on a shared controller nobody else can use it.
"""

from __future__ import annotations

import json
import shlex
import tempfile
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import asyncssh
import httpx

from thorctl.errors import ThorError
from thorctl.ssh import CONNECT_TIMEOUT, connect
from thorctl.transport import agent_command, as_root, ask

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from thorctl.fleet import Device

RELEASES = "/var/lib/thor/releases"
SILENCE_SECONDS = 120.0  # the longest wait for the next byte: a first token behind a long prompt


@dataclass(frozen=True, slots=True)
class Engine:
    """An open way to one device's engine.

    Attributes:
        client: speaks HTTP to it; paths are relative, such as ``/v1/models``.
        model: the name it serves.
        release: what the device says it runs.
    """

    device: str
    client: httpx.AsyncClient
    model: str
    release: str


@asynccontextmanager
async def open_engine(
    device: Device, *, api_key: str | None = None, connect_timeout: float = CONNECT_TIMEOUT
) -> AsyncIterator[Engine]:
    """Opens a way to the engine; asks the agent first which model it serves, and on which port.

    Raises:
        ThorError: as ``ssh.connect``; ``engine_not_ready``, ``tunnel_refused``, ``release_unreadable``, or
            what the agent says.
    """
    async with connect(device, connect_timeout) as connection:
        status = await _status(connection, device.name)
        engine, release = status.get("engine") or {}, status.get("release")
        if not engine.get("ready") or not release:
            raise _not_ready(device.name, f"its engine is {engine.get('unit') or 'not running'}, not ready")
        profile = await _profile(connection, device.name, str(release))
        port, names = profile["serve"]["port"], profile["serve"]["served-model-name"]
        await _probe(connection, device.name, port)
        with tempfile.TemporaryDirectory(prefix="thorctl-") as folder:  # mode 0700
            path = f"{folder}/engine"
            async with await connection.forward_local_path_to_port(path, "127.0.0.1", port):
                headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
                async with httpx.AsyncClient(
                    transport=httpx.AsyncHTTPTransport(uds=path),
                    base_url="http://engine",
                    headers=headers,
                    trust_env=False,  # no proxy between us and a socket
                    timeout=httpx.Timeout(connect_timeout, read=SILENCE_SECONDS),
                ) as client:
                    yield Engine(device.name, client, engine.get("model") or names[0], str(release))


async def _status(connection: asyncssh.SSHClientConnection, device: str) -> dict[str, Any]:
    command = agent_command(connection.get_extra_info("username"), "status", ())
    answer = await ask(connection, device, "status", command)
    if answer.error:
        problem = answer.error
        raise ThorError(problem.code, problem.message, problem.remedy, device=device)
    return answer.data


async def _profile(connection: asyncssh.SSHClientConnection, device: str, release: str) -> dict[str, Any]:
    """The profile of the release that the device runs; the one here may have moved on."""
    path = f"{RELEASES}/{release}/release.json"
    user = connection.get_extra_info("username")
    shown = await connection.run(as_root(user, ("cat", path)), errors="replace")
    try:
        profile: dict[str, Any] = json.loads(str(shown.stdout))["profile"]
        if isinstance(profile["serve"]["port"], int) and profile["serve"]["served-model-name"]:
            return profile
    except (ValueError, KeyError, TypeError):
        pass
    said = str(shown.stderr).strip() or "it holds no profile with a port and a model name"
    raise ThorError(
        "release_unreadable",
        f"{shlex.quote(path)} cannot be used: {said}.",
        f"Stage it again: cd playbooks && ansible-playbook site.yml --limit {device}.",
        device=device,
    )


async def _probe(connection: asyncssh.SSHClientConnection, device: str, port: int) -> None:
    """Tells an engine that does not listen from an sshd that forbids forwarding."""
    try:
        _, writer = await connection.open_connection("127.0.0.1", port)
        writer.close()
    except asyncssh.ChannelOpenError as error:
        if error.code == asyncssh.OPEN_ADMINISTRATIVELY_PROHIBITED:
            raise ThorError(
                "tunnel_refused",
                f"sshd on the device forbids forwarding to port {port}.",
                "Allow it in sshd_config: AllowTcpForwarding local, PermitOpen 127.0.0.1:*.",
                device=device,
            ) from None
        raise _not_ready(device, f"nothing listens on its port {port}") from None


def _not_ready(device: str, why: str) -> ThorError:
    return ThorError(
        "engine_not_ready",
        f"{device} cannot answer: {why}.",
        f"See why: thorctl logs {device} --engine; thorctl status {device}.",
        device=device,
    )
