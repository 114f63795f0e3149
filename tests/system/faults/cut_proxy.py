"""A TCP proxy in front of a simulation's registry or hub, which stops after so many bytes."""

from __future__ import annotations

import select
import socket
import threading
from contextlib import suppress

_CHUNK = 65536


class CutProxy:
    """Listens on ``host`` and passes on to ``upstream``; devices are led to it by their own packet filter.

    Attributes:
        port: where it listens.
        reached: set once the budget is used up; from then on nothing flows until ``go_on`` or ``cut``.
    """

    def __init__(self, host: str, upstream: tuple[str, int], budget: int) -> None:
        self.upstream = upstream
        self.left = budget
        self.reached = threading.Event()
        self._flows = threading.Event()
        self._flows.set()
        self._cut = False
        self._pairs: list[socket.socket] = []
        self._lock = threading.Lock()
        self._listener = socket.create_server((host, 0), backlog=64)
        self.port = int(self._listener.getsockname()[1])
        threading.Thread(target=self._accept, daemon=True).start()

    def go_on(self) -> None:
        """Without a limit from now on."""
        self.left = 2**62
        self._flows.set()

    def cut(self) -> None:
        """Every connection is broken, and so is each new one."""
        self._cut = True
        self._flows.set()
        for one in list(self._pairs):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def heal(self) -> None:
        """New connections are passed on again, without a limit."""
        self._cut = False
        self.go_on()

    def close(self) -> None:
        """Ends everything."""
        self.cut()
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            if self._cut:
                client.close()
                continue
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with suppress(OSError), client, socket.create_connection(self.upstream, timeout=60) as server:
            self._pairs += [client, server]
            while not self._cut:
                ready, _, _ = select.select([client, server], [], [], 1)
                for one in ready:
                    data = one.recv(_CHUNK)
                    if not data:
                        return
                    if one is server:
                        self._count(len(data))
                        client.sendall(data)
                    else:
                        server.sendall(data)

    def _count(self, size: int) -> None:
        with self._lock:
            self.left -= size
            if self.left <= 0 and not self.reached.is_set():
                self._flows.clear()
                self.reached.set()
        self._flows.wait()
