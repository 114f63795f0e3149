"""What a client can make nginx keep in memory is bounded: the engine shares that memory."""

from __future__ import annotations

import ssl
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from pydantic import SecretStr

from tests.edge.edge_process import ALICE, PATIENCE_SECONDS
from thorctl.edge.settings import MIB, DoorSettings, Settings

if TYPE_CHECKING:
    import socket

    from tests.edge.edge_process import Door, Edge, Nginx
    from tests.edge.upstream import Upstream

POST = "/v1/chat/completions"
ADMITTED, SENT = 16, 64


def resident_bytes(one: Nginx) -> int:
    """Memory of the workers."""
    texts = [Path(f"/proc/{pid}/smaps_rollup").read_text() for pid in one.workers()]
    return sum(int(text.split("Private_Dirty:")[1].split()[0]) * 1024 for text in texts)


def begun(one: Nginx, stack: ExitStack, plain: socket.socket, method: str, size: int) -> socket.socket:
    """A request whose body lacks its last byte."""
    head = f"{method} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {ALICE}\r\nContent-Length: {size}\r\n\r\n"
    stack.enter_context(plain)
    try:
        plain.sendall(head.encode() + b"x" * (size - 1))
    except OSError:  # refused already
        assert one.workers()
    return plain


def statuses(opened: list[socket.socket]) -> list[bytes]:
    """Of the answers that are there."""
    found = []
    for one in opened:
        one.setblocking(False)
        try:
            found.append(one.recv(4096).split()[1])
        except (BlockingIOError, ssl.SSLWantReadError):
            continue
        except (OSError, IndexError):
            found.append(b"closed")
    return found


@pytest.fixture(params=["open", "keyed", "edge"])
def server(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Door | Edge:
    """An edge or a door that keeps 16 bodies of 1 MiB."""
    for model in (DoorSettings, Settings):
        monkeypatch.setattr(model, "bodies_bytes", ADMITTED * MIB)
    one: Door | Edge = request.getfixturevalue("edge" if request.param == "edge" else "door")
    limits = {"body_bytes": MIB, "requests_per_minute": 60_000, "burst": 1000, "concurrent": 1000}
    if request.param == "keyed":
        one.reload(mode="keyed", keys={"alice": ALICE}, **limits)
    elif request.param == "edge":
        one.reload(connections_per_address=1000, **limits)
    else:
        one.reload(**limits)
    return one


def test_bodies_of_all_clients_together_are_bounded(server: Door | Edge, upstream: Upstream) -> None:
    with server.client(ALICE) as client:
        assert client.get("/v1/models").status_code == 200
    before = resident_bytes(server)
    with ExitStack() as stack:
        opened = [begun(server, stack, server.connection(), f"POST {POST}", MIB) for _ in range(SENT)]
        time.sleep(0.5)  # what was sent last is read
        grown = resident_bytes(server) - before
        refused = statuses(opened)
    assert len(refused) == SENT - ADMITTED
    assert set(refused) <= {b"429", b"closed"}
    assert grown < (ADMITTED + 8) * MIB
    assert [seen.target for seen in upstream.requests] == ["/v1/models"]
    deadline = time.monotonic() + PATIENCE_SECONDS
    with server.client(ALICE) as client:
        while client.post(POST, content=b"x" * MIB).status_code != 200:
            assert time.monotonic() < deadline


@pytest.mark.parametrize("path", ["/health", "/v1/models"])
def test_a_get_has_no_body(server: Door | Edge, upstream: Upstream, path: str) -> None:
    """``/health`` is answered without a key."""
    with server.client(ALICE) as client:
        assert client.request("GET", path, content=b"x" * 1024).status_code == 200
        assert client.request("GET", path, content=b"x" * 1025).status_code == 413
        pieces = (b"x" * 512 for _ in range(3))
        assert client.request("GET", path, content=pieces).status_code == 413
        assert client.get(path).status_code == 200
    assert max(len(seen.body) for seen in upstream.requests) <= 1024


def test_health_is_answered_while_all_bodies_are_taken(server: Door | Edge) -> None:
    with ExitStack() as stack:
        for _ in range(ADMITTED):
            begun(server, stack, server.connection(), f"POST {POST}", MIB)
        with server.client(ALICE) as client:
            assert client.get("/health").status_code == 200


@pytest.mark.parametrize(("body", "door", "edge"), [(64, 8, 16), (4, 128, 256), (1, 512, 512)])
def test_the_larger_a_body_may_be_the_fewer_are_kept(body: int, door: int, edge: int) -> None:
    assert DoorSettings(body_bytes=body * MIB).requests_at_once == door
    given = Settings.model_construct(certificate="", private_key=SecretStr(""), body_bytes=body * MIB)
    assert given.requests_at_once == edge
