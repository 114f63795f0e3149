"""Reach the engine's socket for an SSH account without access to it, by `thor-agent connect` and sudo.

A private Unix socket on the controller accepts HTTP clients; each connection gets its own relay process on
the device, all over one SSH connection.
"""

from __future__ import annotations

import asyncio
import json
import select
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

import asyncssh

from thorctl.errors import ThorError
from thorctl.protocol.verbs import VERBS
from thorctl.remote.agent_call import agent_command, become_of, start
from thorctl.remote.answer import read_answer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

CHUNK_BYTES = 65536
HANGUP_POLL_SECONDS = 0.5  # asyncio does not report a client's close after its sending direction was closed


@asynccontextmanager
async def relayed(connection: asyncssh.SSHClientConnection, device: str, path: str) -> AsyncIterator[None]:
    """Listen on the Unix socket ``path`` and relay each connection to the engine of ``device``.

    Raises:
        ThorError: the agent's error if the engine is unreachable now.
    """
    (await _start(connection, device)).close()
    clients: set[asyncio.Task[None]] = set()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(_serve(connection, device, reader, writer))
        clients.add(task)
        task.add_done_callback(clients.discard)

    server = await asyncio.start_unix_server(accept, path)
    try:
        yield
    finally:
        server.close()
        for task in clients:
            task.cancel()
        await asyncio.gather(*clients, return_exceptions=True)


async def _serve(
    connection: asyncssh.SSHClientConnection,
    device: str,
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
) -> None:
    """Relay one HTTP connection until the engine or the client closes it."""
    try:
        process = await _start(connection, device)
    except ThorError as refused:
        writer.write(_unavailable(refused))
        writer.close()
        return
    tasks = [
        asyncio.ensure_future(_copy(reader, process.stdin)),
        asyncio.ensure_future(_copy(process.stdout, writer)),
        asyncio.ensure_future(_hung_up(writer)),
    ]
    try:
        await asyncio.wait(tasks[1:], return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        process.close()
        writer.close()


async def _start(connection: asyncssh.SSHClientConnection, device: str) -> asyncssh.SSHClientProcess[bytes]:
    """Return a relay process that is connected to the engine.

    Raises:
        ThorError: ``engine_not_ready``, ``device_unreachable``, ``agent_timeout``, or as ``read_answer``.
    """
    command = agent_command(
        connection.get_extra_info("username"), "connect", (), become=become_of(connection)
    )
    try:
        async with asyncio.timeout(VERBS["connect"].seconds):
            process = await start(connection, command, encoding=None)
            try:
                first = (await process.stdout.readline()).decode(errors="replace")
                if read_answer(device, "connect", 0, first, "").ok:
                    return process
                stdout = first + (await process.stdout.read(CHUNK_BYTES)).decode(errors="replace")
                stderr = (await process.stderr.read(CHUNK_BYTES)).decode(errors="replace")
                await process.wait_closed()
            except BaseException:
                process.close()
                raise
    except TimeoutError:
        raise _failed(
            device, "agent_timeout", f"connect was not answered within {VERBS['connect'].seconds:g} s"
        ) from None
    except (asyncssh.Error, OSError) as error:
        raise _failed(
            device, "device_unreachable", f"The connection failed during connect: {error}"
        ) from None
    problem = read_answer(device, "connect", process.exit_status, stdout, stderr).error
    if problem is None:
        raise _failed(device, "agent_garbage", "The agent ended the relay before it began")
    raise ThorError(problem.code, problem.message, problem.remedy, device=device)


async def _copy(
    source: asyncio.StreamReader | asyncssh.SSHReader[bytes],
    target: asyncio.StreamWriter | asyncssh.SSHWriter[bytes],
) -> None:
    with suppress(OSError, asyncssh.Error):
        while piece := await source.read(CHUNK_BYTES):
            target.write(piece)
            await target.drain()
        target.write_eof()


async def _hung_up(writer: asyncio.StreamWriter) -> None:
    """Wait until the client has closed both directions."""
    poll = select.poll()
    poll.register(writer.get_extra_info("socket").fileno(), 0)
    while not poll.poll(0):  # noqa: ASYNC110 - state of the kernel, without an event to await
        await asyncio.sleep(HANGUP_POLL_SECONDS)


def _unavailable(error: ThorError) -> bytes:
    """Return the HTTP answer to a client whose relay could not start."""
    body = json.dumps({"error": {"message": f"{error.message} {error.remedy}", "type": error.code}}).encode()
    head = (
        "HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    )
    return head.encode() + body


def _failed(device: str, code: str, message: str) -> ThorError:
    return ThorError(code, f"{message}.", f"Check the device: `thorctl status {device}`.", device=device)
