"""Connections of one address, whatever it sends on them, do not keep another address from being served."""

from __future__ import annotations

import resource
import select
import socket
import ssl
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING

import httpx
import pytest

from tests.edge.edge_process import ALICE, PATIENCE_SECONDS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.edge.edge_process import Edge

ATTACKER, OTHER = "127.0.0.2", "127.0.0.3"
MANY = 3000
ADMITTED = 128  # twice the default of connections_per_address
HELLO = bytes.fromhex("160301020001")  # a ClientHello begins, of 512 bytes


@pytest.fixture(autouse=True)
def _descriptors() -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 16384), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def flood(edge: Edge, stack: ExitStack, begun: bytes) -> list[socket.socket]:
    """Open ``MANY`` connections of one address and send ``begun`` on each."""
    opened = []
    for _ in range(MANY):
        one = socket.create_connection(("127.0.0.1", edge.settings["port"]), 10, (ATTACKER, 0))
        opened.append(stack.enter_context(one))
        if begun:
            with_reset_ignored(one, begun)
    return opened


def with_reset_ignored(one: socket.socket, words: bytes) -> None:
    try:
        one.sendall(words)
    except OSError:
        return  # closed by the edge already


def is_closed(one: socket.socket) -> bool:
    return not still_open([one])


def still_open(connections: list[socket.socket]) -> int:
    """How many the edge has not closed."""
    poll = select.poll()
    for one in connections:
        poll.register(one, select.POLLIN | select.POLLHUP)
    return len(connections) - len(poll.poll(0))


def other(edge: Edge, key: str | None = ALICE) -> httpx.Client:
    """A client at another address."""
    transport = httpx.HTTPTransport(verify=edge.verifying(), local_address=OTHER)
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    return httpx.Client(base_url=edge.url, transport=transport, headers=headers, timeout=5)


def served(edge: Edge) -> float:
    """Seconds until another address has its answer."""
    began = time.monotonic()
    with other(edge) as client:
        assert client.get("/v1/models").status_code == 200
    return time.monotonic() - began


@pytest.mark.parametrize("begun", [b"", b"\x16", HELLO], ids=["silent", "one byte", "half a ClientHello"])
def test_3000_half_open_connections_shut_nobody_out(edge: Edge, begun: bytes) -> None:
    with ExitStack() as stack:
        opened = flood(edge, stack, begun)
        assert served(edge) < 5
        assert still_open(opened) <= ADMITTED


def test_what_is_half_open_is_closed_in_time(edge: Edge) -> None:
    edge.reload(client_seconds=1)
    with ExitStack() as stack:
        opened = flood(edge, stack, HELLO)
        deadline = time.monotonic() + PATIENCE_SECONDS
        while still_open(opened):
            assert time.monotonic() < deadline
            time.sleep(0.1)


def test_a_slow_handshake_is_limited_as_a_whole(edge: Edge) -> None:
    """A byte now and then does not prolong it."""
    edge.reload(client_seconds=2)
    with socket.create_connection(("127.0.0.1", edge.settings["port"])) as one:
        one.sendall(HELLO)
        began = time.monotonic()
        while not is_closed(one):
            assert time.monotonic() - began < 10
            with_reset_ignored(one, b"\x01")
            time.sleep(0.2)


def tls(edge: Edge, stack: ExitStack) -> ssl.SSLSocket | None:
    """A connection of the attacker's with TLS; None if the edge closed it."""
    plain = socket.create_connection(("127.0.0.1", edge.settings["port"]), 10, (ATTACKER, 0))
    try:
        one = edge.verifying().wrap_socket(plain, server_hostname="127.0.0.1")
    except OSError:
        plain.close()
        return None
    return stack.enter_context(one)


@pytest.mark.parametrize(
    "begun",
    [b"GET /v1/mod", b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n"],
    ids=["slow headers", "idle after a request"],
)
def test_connections_with_tls_are_counted_too(edge: Edge, begun: bytes) -> None:
    with ExitStack() as stack:
        opened = []
        for _ in range(ADMITTED + 20):
            one = tls(edge, stack)
            if one is not None:
                one.sendall(begun)
                opened.append(one)
        assert len(opened) == ADMITTED
        assert served(edge) < 5


def test_a_closed_connection_makes_room(edge: Edge) -> None:
    with ExitStack() as stack:
        while tls(edge, stack):
            pass
    deadline = time.monotonic() + PATIENCE_SECONDS
    with ExitStack() as stack:
        while not tls(edge, stack):
            assert time.monotonic() < deadline


def test_a_health_flood_is_limited_by_address(edge: Edge) -> None:
    edge.reload(requests_per_minute=1, burst=2)
    with edge.client(None) as client:
        answers = [client.get("/health") for _ in range(5)]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429, 429]
    assert answers[-1].headers["Retry-After"] == "5"
    with other(edge, None) as client:
        assert client.get("/health").status_code == 200


def test_the_log_has_the_client_s_address(edge: Edge) -> None:
    with other(edge) as client:
        client.get("/v1/models")
    (line,) = edge.access_log(1)
    assert line["address"] == OTHER


def test_a_client_cannot_state_its_own_address(edge: Edge) -> None:
    with socket.create_connection(("127.0.0.1", edge.settings["port"])) as plain:
        plain.sendall(b"PROXY TCP4 127.0.0.3 127.0.0.1 1 443\r\n")
        with pytest.raises(ssl.SSLError):
            edge.verifying().wrap_socket(plain, server_hostname="127.0.0.1")
