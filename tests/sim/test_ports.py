"""Ports of servers do not come from the range of outgoing connections."""

import socket
from pathlib import Path

from thorctl.sim.ports import can_bind, free_port

RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")


def test_ports_lie_below_the_range_of_outgoing_connections_and_differ() -> None:
    ports = [free_port() for _ in range(200)]
    assert len(set(ports)) == 200
    assert max(ports) < int(RANGE.read_text().split()[0])


def test_port_in_use_cannot_be_bound() -> None:
    with socket.create_server(("127.0.0.1", free_port())) as server:
        port = server.getsockname()[1]
        assert not can_bind(port, "127.0.0.1")
        assert not can_bind(port, "")
    assert can_bind(port, "127.0.0.1")
