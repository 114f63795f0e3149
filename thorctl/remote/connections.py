"""One SSH connection per device, shared by all calls of a process and closed when idle."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from thorctl.remote.ssh import CONNECT_TIMEOUT, connect

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import asyncssh

    from thorctl.inventory.devices import Device

LOGINS = 50  # concurrent; a hundred would exceed their time limit on two processors
OPEN = 200  # connections in use; each takes a descriptor, of which a process has 1,024 by default
IDLE_SECONDS = 20.0  # above the time between two steps of a device


@dataclass(eq=False)
class _Open:
    """A connection, and the context that closes it."""

    connection: asyncssh.SSHClientConnection
    stack: AsyncExitStack
    users: int = 0
    closing: asyncio.TimerHandle | None = None


@dataclass
class Connections:
    """The connections of one event loop. ``close`` closes the remaining ones."""

    idle_seconds: float = IDLE_SECONDS
    connect_timeout: float = CONNECT_TIMEOUT
    _open: dict[str, _Open] = field(default_factory=dict)
    _locks: dict[str, asyncio.Lock] = field(default_factory=dict)
    _logins: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(LOGINS))
    _uses: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(OPEN))
    _ends: set[asyncio.Task[None]] = field(default_factory=set)

    @asynccontextmanager
    async def to(self, device: Device) -> AsyncIterator[asyncssh.SSHClientConnection]:
        """Yield the device's connection, opened if there is none.

        Raises:
            ThorError: as ``ssh.connect``.
        """
        async with self._uses:
            async with self._locks.setdefault(device.name, asyncio.Lock()):
                one = self._open.get(device.name)
                if one is None or one.connection.is_closed():
                    one = self._open[device.name] = await self._login(device)
                one.users += 1
                if one.closing:
                    one.closing.cancel()
            try:
                yield one.connection
            finally:
                one.users -= 1
                if one.users == 0 and self._open.get(device.name) is one:
                    loop = asyncio.get_running_loop()
                    one.closing = loop.call_later(self.idle_seconds, self._end, device.name, one)

    def discard(self, device: Device) -> None:
        """Forget the device's connection, which failed or is silent."""
        one = self._open.pop(device.name, None)
        if one is not None:
            one.connection.abort()
            self._end(device.name, one)

    async def close(self) -> None:
        """Close all."""
        for name, one in list(self._open.items()):
            self._end(name, one)
        await asyncio.gather(*self._ends, return_exceptions=True)

    async def _login(self, device: Device) -> _Open:
        stack = AsyncExitStack()
        async with self._logins:
            connection = await stack.enter_async_context(connect(device, self.connect_timeout))
        return _Open(connection, stack)

    def _end(self, name: str, one: _Open) -> None:
        if self._open.get(name) is one:
            del self._open[name]
        if one.closing:
            one.closing.cancel()
        task = asyncio.get_running_loop().create_task(one.stack.aclose())
        self._ends.add(task)
        task.add_done_callback(self._ends.discard)
