"""A client without a network of its own reaches the engine's Unix socket over TCP, and nobody else does."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from thorctl.agent.engine import loopback

if TYPE_CHECKING:
    from collections.abc import Iterator

CLIENT = """
import socket, sys
sys.stdout.write("up\\n"); sys.stdout.flush()
port = int(sys.stdin.readline())
with socket.create_connection(("127.0.0.1", port), 5) as to:
    to.sendall(b"question"); to.shutdown(socket.SHUT_WR)
    print(b"".join(iter(lambda: to.recv(100), b"")).decode())
"""


@pytest.fixture
def isolated() -> Iterator[subprocess.Popen[str]]:
    """A process in a network namespace of its own, with its loopback up."""
    script = f"ip link set lo up && exec {sys.executable} -c '{CLIENT}'"
    words = ["unshare", "--net", "sh", "-c", script]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        if process.stdout.readline() != "up\n":
            pytest.skip("no right to make a network namespace here")
        yield process
        process.kill()


def test_a_port_in_another_network_reaches_the_dialled_socket(isolated: subprocess.Popen[str]) -> None:
    ours, engine = socket.socketpair()
    with loopback.listen_in(Path(f"/proc/{isolated.pid}/ns/net")) as server, engine:
        threading.Thread(target=loopback._accept, args=(server, lambda _: ours), daemon=True).start()
        port = server.getsockname()[1]
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port), 1)
        assert isolated.stdin
        isolated.stdin.write(f"{port}\n")
        isolated.stdin.flush()
        assert engine.recv(100) == b"question"
        assert engine.recv(100) == b""
        engine.sendall(b"answer")
        engine.close()
        assert isolated.stdout
        assert isolated.stdout.readline() == "answer\n"


def test_this_process_stays_in_its_own_network(isolated: subprocess.Popen[str]) -> None:
    before = Path("/proc/self/ns/net").readlink()
    loopback.listen_in(Path(f"/proc/{isolated.pid}/ns/net")).close()
    assert Path("/proc/self/ns/net").readlink() == before


def test_an_ended_container_is_an_error() -> None:
    with pytest.raises(FileNotFoundError):
        loopback.listen_in(Path(f"/proc/{2**22 + os.getpid()}/ns/net"))
