"""Root opens the engine's socket and nothing else that the engine puts in its place."""

from __future__ import annotations

import errno
import os
import socket
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from thorctl.agent.engine.socket import open_socket

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def place() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="sock-") as folder:  # a socket's path holds 107 bytes
        yield Path(folder)


def listener(path: Path) -> socket.socket:
    server = socket.socket(socket.AF_UNIX)
    server.bind(str(path))
    server.listen()
    server.settimeout(0.2)
    return server


def test_a_socket_is_connected(place: Path) -> None:
    with listener(place / "engine.sock") as server, open_socket(place / "engine.sock") as ours:
        theirs, _ = server.accept()
        with theirs:
            ours.sendall(b"hello")
            assert theirs.recv(5) == b"hello"


def test_a_symlink_to_another_socket_is_not_followed(place: Path) -> None:
    (place / "engine.sock").symlink_to(place / "docker.sock")
    with listener(place / "docker.sock") as server:
        with pytest.raises(OSError, match="not a socket") as refused:
            open_socket(place / "engine.sock")
        assert refused.value.errno == errno.ENOTSOCK
        with pytest.raises(TimeoutError):
            server.accept()


def test_a_symlink_in_place_of_the_directory_is_not_followed(place: Path) -> None:
    (place / "other").mkdir()
    (place / "main").symlink_to(place / "other")
    with listener(place / "other" / "engine.sock") as server:
        with pytest.raises(NotADirectoryError):
            open_socket(place / "main" / "engine.sock")
        with pytest.raises(TimeoutError):
            server.accept()


@pytest.mark.parametrize("kind", ["file", "directory", "fifo"])
def test_what_is_no_socket_is_refused_without_a_wait(place: Path, kind: str) -> None:
    path = place / "engine.sock"
    if kind == "file":
        path.touch()
    elif kind == "directory":
        path.mkdir()
    else:
        os.mkfifo(path)
    with pytest.raises(OSError, match="not a socket"):
        open_socket(path)


def test_the_socket_of_a_killed_engine_is_refused(place: Path) -> None:
    listener(place / "engine.sock").close()
    with pytest.raises(ConnectionRefusedError):
        open_socket(place / "engine.sock")


def test_an_absent_socket_is_said(place: Path) -> None:
    with pytest.raises(FileNotFoundError):
        open_socket(place / "engine.sock")
