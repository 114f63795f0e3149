"""A client of IPv6 is counted by its /64: one host there has 2^64 addresses, and each of them is its own."""

from __future__ import annotations

import ctypes
import datetime as dt
import os
import socket
import ssl
import subprocess
from contextlib import ExitStack
from typing import TYPE_CHECKING

import httpx
import pytest

from tests.edge.edge_process import ALICE, Edge, issue, now
from tests.edge.test_connections import ADMITTED, still_open
from thorctl.edge import authority

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.edge.upstream import Upstream

pytestmark = pytest.mark.skipif(os.getuid() != 0, reason="makes a network namespace")

CLONE_NEWNET = 0x40000000  # linux/sched.h
HOST, PORT = "2001:db8::1", 8443
ATTACKERS, OTHER = "2001:db8:0:bad::", "2001:db8:0:900d::1"
# Bytes that a pattern might trip over: NUL, newline, 0xff.
EDGES = ("0", "a", "ff", "ffff", "a0a:a0a:a0a:a0a", "ffff:ffff:ffff:ffff", "a00", "0:0:0:a", "1:2:3:4")


@pytest.fixture
def network() -> Iterator[None]:
    """A network namespace of this thread, where every address of 2001:db8::/32 is its own."""
    libc = ctypes.CDLL(None, use_errno=True)
    before = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    try:
        if libc.unshare(CLONE_NEWNET):
            pytest.skip(f"no network namespace here: {os.strerror(ctypes.get_errno())}")
        try:
            for words in ("link set lo up", "-6 route add local 2001:db8::/32 dev lo"):
                subprocess.run(["ip", *words.split()], check=True)
            yield
        finally:
            assert libc.setns(before, CLONE_NEWNET) == 0
    finally:
        os.close(before)


@pytest.fixture
def edge(folder: Path, upstream: Upstream, network: None) -> Iterator[Edge]:
    """An edge that listens on IPv6 alone."""
    ca = authority.new_authority("test", now() - dt.timedelta(days=30), 3650)
    settings = {"keys": {"alice": ALICE}, "addresses": ["::"], "port": PORT, "burst": 1000, **issue(ca)}
    one = Edge(folder, settings, upstream.socket, ca=ca)
    try:
        one.start()
        yield one
    finally:
        one.stop()


def connected(address: str) -> socket.socket:
    one = socket.socket(socket.AF_INET6)
    one.setsockopt(socket.IPPROTO_IPV6, 78, 1)  # linux/in6.h: IPV6_FREEBIND
    one.bind((address, 0))
    one.settimeout(10)
    one.connect((HOST, PORT))
    return one


def health(address: str) -> int | None:
    """The status of one request of ``address``; None if the edge closed the connection."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        with connected(address) as plain, context.wrap_socket(plain) as tls:
            tls.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            return int(tls.recv(4096).split()[1])
    except (OSError, IndexError):
        return None


def test_an_attacker_with_a_network_shuts_nobody_out(edge: Edge) -> None:
    """Each connection comes from an address of its own."""
    with ExitStack() as stack:
        opened = [stack.enter_context(connected(f"{ATTACKERS}{number:x}")) for number in range(2100)]
        assert health(OTHER) == 200
        assert still_open(opened) <= ADMITTED


def test_every_address_of_a_network_counts_as_the_same(edge: Edge) -> None:
    edge.reload(connections_per_address=1)
    with ExitStack() as stack:
        for number in (1, 2):
            stack.enter_context(connected(f"{ATTACKERS}{number}"))
        for end in EDGES:
            address = f"2001:db8:0:bad:{end}" if end.count(":") == 3 else f"{ATTACKERS}{end}"
            assert health(address) is None
        assert health(OTHER) == 200


def test_health_is_limited_by_network(edge: Edge) -> None:
    edge.reload(requests_per_minute=1, burst=2)
    assert [health(f"{ATTACKERS}{number}") for number in range(1, 6)] == [200, 200, 200, 429, 429]
    assert health(OTHER) == 200


@pytest.mark.parametrize("network_of", ["2001:db8:0:a0a", "2001:db8:a0a:0", "2001:db8:ffff:ffff"])
def test_networks_of_any_bytes_are_told_apart(edge: Edge, network_of: str) -> None:
    """A newline or NUL in the address ends no pattern."""
    edge.reload(requests_per_minute=1, burst=0)
    assert [health(f"{network_of}::{number}") for number in (1, 2)] == [200, 429]
    assert health(OTHER) == 200


def test_the_log_has_the_whole_address(edge: Edge) -> None:
    assert health(OTHER) == 200
    (line,) = edge.access_log(1)
    assert line["address"] == OTHER


def test_requests_at_once_are_counted_by_network(edge: Edge, upstream: Upstream) -> None:
    edge.reload(connections_per_address=1)
    for address in (f"{ATTACKERS}1", f"{ATTACKERS}2", OTHER):  # httpx binds to nothing else
        subprocess.run(["ip", "addr", "add", f"{address}/128", "dev", "lo", "nodad"], check=True)

    def client(address: str) -> httpx.Client:
        transport = httpx.HTTPTransport(verify=False, local_address=address)
        headers = {"Authorization": f"Bearer {ALICE}"}
        return httpx.Client(base_url=f"https://[{HOST}]:{PORT}", transport=transport, headers=headers)

    with (
        client(f"{ATTACKERS}1") as first,
        first.stream("POST", "/v1/completions", json={"stream": True}) as stream,
    ):
        arriving = stream.iter_text()  # kept: a generator that is let go ends the request
        upstream.pieces.put("one")
        assert next(arriving) == "data: one\n\n"
        with client(f"{ATTACKERS}2") as second, client(OTHER) as third:
            assert second.get("/v1/models").status_code == 429
            assert third.get("/v1/models").status_code == 200
        upstream.pieces.put(None)
        assert list(arriving) == []
