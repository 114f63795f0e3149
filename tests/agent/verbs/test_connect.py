"""connect: one object, then the engine's bytes; it ends with the engine, or with whoever reads."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.doubles.answers import engine_socket

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def root() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="dev-") as folder:
        engine_socket(Path(folder)).parent.mkdir(parents=True)
        yield Path(folder)


@pytest.fixture
def server(root: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX) as one:
        one.bind(str(engine_socket(root)))
        one.listen()
        one.settimeout(20)
        yield one


def start(root: Path) -> subprocess.Popen[bytes]:
    words = [sys.executable, "-m", "thorctl.agent", "--root", str(root), "connect"]
    return subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE)


def test_object_first_then_bytes_and_a_half_close(root: Path, server: socket.socket) -> None:
    """The engine answers only after it has seen the end of what was sent."""
    sent = bytes(range(256)) * 4096

    def answer() -> None:
        theirs, _ = server.accept()
        with theirs, theirs.makefile("rb") as stream:
            theirs.sendall(stream.read()[::-1])

    thread = threading.Thread(target=answer)
    thread.start()
    with start(root) as relay:
        out, _ = relay.communicate(sent, timeout=60)
    thread.join()
    first, _, rest = out.partition(b"\n")
    begun = json.loads(first)
    assert (begun["ok"], begun["verb"]) == (True, "connect")
    assert rest == sent[::-1]
    assert relay.returncode == 0


def test_a_piece_is_relayed_before_the_next(root: Path, server: socket.socket) -> None:
    with start(root) as relay:
        assert relay.stdin
        assert relay.stdout
        theirs, _ = server.accept()
        relay.stdout.readline()
        for piece in (b"a", b"bc"):
            theirs.sendall(piece)
            assert relay.stdout.read(len(piece)) == piece
            relay.stdin.write(piece)
            relay.stdin.flush()
            assert theirs.recv(10) == piece
        theirs.close()
        assert relay.wait(20) == 0


def test_reader_gone_relay_ends_and_engine_sees_it(root: Path, server: socket.socket) -> None:
    with start(root) as relay:
        assert relay.stdin
        assert relay.stdout
        theirs, _ = server.accept()
        relay.stdout.readline()
        relay.stdout.close()  # standard input stays open: only the reader is gone
        assert relay.wait(20) == 0
        assert theirs.recv(10) == b""
        theirs.close()


def test_engine_killed_is_one_readable_object(root: Path, server: socket.socket) -> None:
    server.close()  # the file stays, as after SIGKILL
    with start(root) as relay:
        out, _ = relay.communicate(b"GET / HTTP/1.1\r\n\r\n", timeout=60)
    answer = json.loads(out)
    assert (answer["ok"], answer["error"]["code"]) == (False, "engine_not_ready")
    assert "Connection refused" in answer["error"]["message"]
    assert relay.returncode == 1


def test_a_symlink_of_the_engines_is_not_followed(root: Path) -> None:
    with socket.socket(socket.AF_UNIX) as docker:
        docker.bind(str(root / "docker.sock"))
        docker.listen()
        engine_socket(root).symlink_to(root / "docker.sock")
        with start(root) as relay:
            out, _ = relay.communicate(b"", timeout=60)
    assert json.loads(out)["error"]["code"] == "engine_not_ready"
