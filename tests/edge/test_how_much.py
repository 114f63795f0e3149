"""How much is let through: sizes, rates, patience; and what is said when the engine is not there."""

from __future__ import annotations

import socket
import threading
from typing import TYPE_CHECKING

import httpx
import pytest

from tests.edge.edge_process import ALICE, BOB, read_all

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.edge.edge_process import Edge
    from tests.edge.upstream import Upstream

POST = "/v1/chat/completions"
KEY = f"Authorization: Bearer {ALICE}\r\n".encode()
LIMIT = 64 * 1024  # bytes; of the fixture


def code(answer: httpx.Response) -> str:
    return str(answer.json()["error"]["code"])


def test_the_largest_body_and_one_byte_more(edge: Edge, upstream: Upstream) -> None:
    with edge.client() as client:
        assert client.post(POST, content=b"x" * LIMIT).status_code == 200
        answer = client.post(POST, content=b"x" * (LIMIT + 1))
    assert (answer.status_code, code(answer)) == (413, "request_too_large")
    assert [len(seen.body) for seen in upstream.requests] == [LIMIT]


def test_a_body_of_unknown_length_is_measured_too(edge: Edge, upstream: Upstream) -> None:
    def pieces() -> Iterator[bytes]:
        for _ in range(LIMIT // 1024 + 1):
            yield b"x" * 1024

    with edge.client() as client:
        answer = client.post(POST, content=pieces())
    assert (answer.status_code, code(answer)) == (413, "request_too_large")
    assert upstream.requests == []


def test_a_body_is_not_read_before_the_key(edge: Edge) -> None:
    head = b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: 60000\r\n\r\n"
    with edge.connection() as tls:
        tls.sendall(head)
        assert tls.recv(65536).startswith(b"HTTP/1.1 401 ")


def test_a_prompt_never_touches_the_disk(edge: Edge) -> None:
    with edge.client() as client:
        assert client.post(POST, content=b"x" * LIMIT).status_code == 200
    assert list((edge.folder / "body").rglob("*")) == []
    # The counter in a temporary file's name goes on: none was ever made.
    assert "a client request body is buffered" not in (edge.folder / "stderr").read_text()


@pytest.mark.parametrize(
    "begun",
    [
        b"POST /v1/chat/completions HT",
        b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\n" + KEY,
        b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\n" + KEY + b"Content-Length: 99\r\n\r\n{",
        b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\n"
        + KEY
        + b"Transfer-Encoding: chunked\r\n\r\n5\r\n{",
    ],
)
def test_a_slow_client_is_let_go(edge: Edge, upstream: Upstream, begun: bytes) -> None:
    edge.reload(client_seconds=1)
    with edge.connection() as tls:
        tls.sendall(begun)
        answer = read_all(tls)  # returns: the edge hangs up
    assert answer == b"" or answer.startswith(b"HTTP/1.1 408 ")
    assert upstream.requests == []
    with edge.client() as client:
        assert client.get("/v1/models").status_code == 200


def test_requests_per_minute_are_counted_by_key(edge: Edge) -> None:
    edge.reload(requests_per_minute=1, burst=2)
    with edge.client(ALICE) as client:
        answers = [client.get("/v1/models") for _ in range(5)]
        assert [answer.status_code for answer in answers] == [200, 200, 200, 429, 429]
        assert (answers[-1].headers["Retry-After"], code(answers[-1])) == ("5", "rate_limit_exceeded")
        assert client.get("/health").status_code == 200
    with edge.client(BOB) as client:
        assert client.get("/v1/models").status_code == 200
    with edge.client(None) as client:
        assert [client.get("/v1/models").status_code for _ in range(5)] == [401] * 5


def test_requests_at_once_are_counted_by_key(edge: Edge, upstream: Upstream) -> None:
    edge.reload(concurrent=1)
    with edge.client() as client, client.stream("POST", POST, json={"stream": True}) as stream:
        arriving = stream.iter_text()  # kept: a generator that is let go ends the request
        upstream.pieces.put("one")
        assert next(arriving) == "data: one\n\n"
        with edge.client() as second:
            assert second.get("/v1/models").status_code == 429
        with edge.client(BOB) as other:
            assert other.get("/v1/models").status_code == 200
        upstream.pieces.put(None)
        assert list(arriving) == []


def test_an_address_has_so_many_requests(edge: Edge, upstream: Upstream) -> None:
    edge.reload(connections_per_address=1)
    with edge.client() as client, client.stream("POST", POST, json={"stream": True}) as stream:
        arriving = stream.iter_text()  # kept: a generator that is let go ends the request
        upstream.pieces.put("one")
        assert next(arriving) == "data: one\n\n"
        with edge.client(BOB) as other:
            assert other.get("/v1/models").status_code == 429
        upstream.pieces.put(None)
        assert list(arriving) == []


def test_the_engine_is_down(edge: Edge) -> None:
    edge.engine = edge.folder / "no-engine.sock"
    edge.reload()
    with edge.client() as client:
        for path in ("/v1/models", "/health"):
            answer = client.get(path)
            assert (answer.status_code, code(answer)) == (503, "engine_not_ready")
            assert answer.headers["Retry-After"] == "10"


def test_the_engine_is_silent(edge: Edge) -> None:
    edge.engine = edge.folder / "silent.sock"
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(str(edge.engine))
        edge.engine.chmod(0o666)
        silent.listen()
        edge.reload(engine_seconds=1)
        with edge.client() as client:
            answer = client.post(POST, json={})
    assert (answer.status_code, code(answer)) == (504, "engine_timeout")


def test_a_stream_that_falls_silent_is_seen_to_be_broken(edge: Edge, upstream: Upstream) -> None:
    edge.reload(engine_seconds=1)
    upstream.pieces.put("one")
    with edge.client() as client, pytest.raises(httpx.RemoteProtocolError, match="incomplete"):
        client.post(POST, json={"stream": True})


def test_the_engine_s_own_errors_pass(edge: Edge, upstream: Upstream) -> None:
    with edge.client() as client:
        answer = client.request("POST", POST, content=b"{}", headers={"Expect": "100-continue"})
    assert answer.status_code == 200
    assert answer.json() == {"path": POST}


def test_a_stream_arrives_piece_by_piece(edge: Edge, upstream: Upstream) -> None:
    """Each piece is there before the next one is sent: nothing is held back, not even one byte's worth."""
    with edge.client() as client, client.stream("POST", POST, json={"stream": True}) as stream:
        arriving = stream.iter_text()
        for number in range(20):
            upstream.pieces.put(str(number))
            assert next(arriving) == f"data: {number}\n\n"
        upstream.pieces.put(None)
        assert list(arriving) == []


def test_a_client_that_leaves_frees_the_engine(edge: Edge, upstream: Upstream) -> None:
    gone = threading.Event()
    with edge.client() as client, client.stream("POST", POST, json={"stream": True}) as stream:
        arriving = stream.iter_text()  # kept: a generator that is let go ends the request
        upstream.pieces.put("one")
        assert next(arriving) == "data: one\n\n"

    def feed() -> None:
        while not gone.wait(0.02):
            upstream.pieces.put("more")

    feeder = threading.Thread(target=feed)
    feeder.start()
    try:
        (line,) = edge.access_log(1)
    finally:
        gone.set()
        feeder.join()
    assert (line["status"], line["key"]) == (200, "alice")
