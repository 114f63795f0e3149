"""The door: who gets what on 127.0.0.1, before and while an engine is there."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from tests.edge.edge_process import ALICE, DEPLOY, PATIENCE_SECONDS, Door, read_all
from tests.edge.upstream import Upstream
from thorctl.edge.render import render_door
from thorctl.edge.settings import checked_door
from thorctl.errors import ThorError
from thorctl.sim.ports import free_port

if TYPE_CHECKING:
    from pathlib import Path

    import httpx

POST = "/v1/chat/completions"
SERVED = (
    ("GET", "/health"),
    ("GET", "/v1/models"),
    ("POST", POST),
    ("POST", "/v1/completions"),
    ("POST", "/v1/responses"),
    ("POST", "/v1/messages"),
    ("POST", "/v1/messages/count_tokens"),
)
# All that vLLM serves without asking for its key, and spellings of it.
REFUSED = (
    "/invocations",
    "/tokenize",
    "/detokenize",
    "/metrics",
    "/inference/v1/generate",
    "/v1/load_lora_adapter",
    "/v1/models/../../tokenize",
    "/v1/models/..%2f..%2ftokenize",
    "//tokenize",
    "/v1//models",
    "/v1/models/",
    "/%76%31/models",
    "/docs",
    "/",
    "/_edge/503",
)


def code(answer: httpx.Response) -> str:
    return str(answer.json()["error"]["code"])


def test_open_serves_each_listed_path_without_a_key(door: Door, upstream: Upstream) -> None:
    with door.client() as client:
        for method, path in SERVED:
            assert client.request(method, path).json() == {"path": path}
    assert [(seen.method, seen.target) for seen in upstream.requests] == list(SERVED)


@pytest.mark.parametrize("path", REFUSED)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_what_is_not_listed_never_reaches_the_engine(
    door: Door, upstream: Upstream, method: str, path: str
) -> None:
    answer = door.raw(f"{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
    assert answer.split()[1] in (b"404", b"405", b"400")
    assert upstream.requests == []


def test_metrics_are_a_setting(door: Door) -> None:
    with door.client() as client:
        assert client.get("/metrics").status_code == 404
        door.reload(metrics=True)
        assert client.get("/metrics").json() == {"path": "/metrics"}


def test_keyed_asks_for_a_key(door: Door, upstream: Upstream) -> None:
    door.reload(mode="keyed", keys={"alice": ALICE})
    with door.client() as client:
        assert (client.post(POST, json={}).status_code, client.get("/health").status_code) == (401, 200)
    with door.client("x" * 40) as client:
        assert client.post(POST, json={}).status_code == 401
    with door.client(ALICE) as client:
        assert client.post(POST, json={}).status_code == 200
    assert [seen.target for seen in upstream.requests] == ["/health", POST]
    assert [line["key"] for line in door.access_log(4)] == ["", "", "", "alice"]


def test_keyed_metrics_take_a_metrics_key_only(door: Door) -> None:
    reader = "r" * 40
    door.reload(mode="keyed", keys={"alice": ALICE}, metrics=True, metrics_keys={"prometheus": reader})
    for key, status in ((None, 401), (ALICE, 401), (reader, 200)):
        with door.client(key) as client:
            assert client.get("/metrics").status_code == status
    with door.client(reader) as client:
        assert client.get("/v1/models").status_code == 401


def test_keyed_without_a_key_is_refused() -> None:
    with pytest.raises(ThorError) as caught:
        checked_door({"mode": "keyed", "keys": {}})
    assert caught.value.code == "edge_keys_missing"


@pytest.mark.parametrize(
    "wrong", [{"mode": "opened"}, {"port": 80}, {"body_bytes": 1}, {"metrics": "perhaps"}]
)
def test_a_wrong_setting_is_named(wrong: dict[str, object]) -> None:
    with pytest.raises(ThorError) as caught:
        checked_door(wrong)
    assert f"thor_door_{next(iter(wrong))}" in caught.value.message


def test_the_engine_s_own_key_is_added(door: Door, upstream: Upstream) -> None:
    door.reload(engine_key="the-engine-s")
    with door.client("whatever-a-library-sends") as client:
        client.post(POST, json={})
    assert upstream.requests[0].headers["Authorization"] == "Bearer the-engine-s"


class TestEngineAway:
    """503 in JSON, with the door already there."""

    @pytest.fixture
    def engine(self, folder: Path) -> Path:
        return folder / "other.sock"

    @pytest.fixture
    def early(self, folder: Path, engine: Path) -> Door:
        return Door(folder, {"port": free_port()}, engine)

    def asked(self, door: Door) -> None:
        try:
            door.start()
            with door.client() as client:
                for method, path in SERVED:
                    answer = client.request(method, path)
                    assert (answer.status_code, code(answer)) == (503, "engine_not_ready")
                    assert answer.headers["Retry-After"] == "10"
        finally:
            door.stop()

    def test_no_socket(self, early: Door) -> None:
        self.asked(early)

    def test_no_directory(self, early: Door, folder: Path) -> None:
        early.engine = folder / "main" / "engine.sock"
        self.asked(early)

    def test_a_directory_of_another_s(self, early: Door, folder: Path) -> None:
        """Not a member of thor-api: the socket cannot be reached."""
        (folder / "main").mkdir(mode=0o700)
        early.engine = folder / "main" / "engine.sock"
        with Upstream(early.engine):
            self.asked(early)

    def test_a_socket_left_by_a_killed_engine(self, early: Door, engine: Path) -> None:
        with socket.socket(socket.AF_UNIX) as dead:
            dead.bind(str(engine))
            dead.listen()
        engine.chmod(0o666)
        self.asked(early)

    def test_an_engine_that_loads_has_bound_but_not_listened(self, early: Door, engine: Path) -> None:
        with socket.socket(socket.AF_UNIX) as loading:
            loading.bind(str(engine))
            engine.chmod(0o666)
            self.asked(early)

    def test_an_engine_that_closes_without_an_answer(self, early: Door, engine: Path) -> None:
        program = (
            "import socket, sys; s = socket.socket(socket.AF_UNIX); s.bind(sys.argv[1]); s.listen()\n"
            "while True: s.accept()[0].close()"
        )
        with subprocess.Popen([sys.executable, "-c", program, str(engine)]) as process:
            deadline = time.monotonic() + PATIENCE_SECONDS
            while not engine.exists():
                assert time.monotonic() < deadline
                time.sleep(0.02)
            engine.chmod(0o666)
            try:
                self.asked(early)
            finally:
                process.kill()


def test_an_engine_that_comes_back_is_served_at_once(door: Door, upstream: Upstream) -> None:
    upstream.socket.rename(upstream.socket.with_name("away"))
    with door.client() as client:
        assert client.get("/health").status_code == 503
        upstream.socket.with_name("away").rename(upstream.socket)
        assert client.get("/health").status_code == 200


def listen(one: socket.socket, address: str, port: int) -> None:
    one.bind((address, port))
    one.listen()


@pytest.mark.parametrize("address", ["127.0.0.1", "0.0.0.0"])  # noqa: S104 - as a squatter would
def test_nobody_takes_the_port_while_the_door_runs(door: Door, address: str) -> None:
    for option in (socket.SO_REUSEADDR, socket.SO_REUSEPORT):
        with socket.socket() as squatter:
            squatter.setsockopt(socket.SOL_SOCKET, option, 1)
            with pytest.raises(OSError, match="in use"):
                listen(squatter, address, door.settings["port"])


def test_only_the_loopback_is_listened_on() -> None:
    configuration = render_door(checked_door({"port": 8123}), DEPLOY).files["nginx.conf"]
    listens = [line.strip() for line in configuration.splitlines() if line.strip().startswith("listen ")]
    assert listens == [
        "listen 127.0.0.1:8123 default_server;",
        "listen unix:/run/thor-door/generation.sock;",
    ]


def test_half_a_body_never_reaches_the_engine(door: Door, upstream: Upstream) -> None:
    door.reload(client_seconds=1)
    head = f"POST {POST} HTTP/1.1\r\nHost: x\r\nContent-Length: 99\r\n\r\n{{".encode()
    answer = door.raw(head)
    assert answer == b"" or answer.startswith(b"HTTP/1.1 408 ")
    assert upstream.requests == []


def test_a_body_over_the_limit_is_413(door: Door, upstream: Upstream) -> None:
    with door.client() as client:
        answer = client.post(POST, content=b"x" * (64 * 1024 + 1))
    assert (answer.status_code, code(answer)) == (413, "request_too_large")
    assert upstream.requests == []


def test_a_websocket_is_not_opened(door: Door, upstream: Upstream) -> None:
    head = b"GET /v1/models HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade, close\r\n"
    answer = door.raw(head + b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZQ==\r\n\r\n")
    assert b" 101 " not in answer
    assert [seen.headers.get("Upgrade") for seen in upstream.requests] in ([], [None])


HEAD = b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\n"
HIDDEN = b"POST /tokenize HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n"


@pytest.mark.parametrize(
    "request_bytes",
    [
        HEAD + b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + HIDDEN,
        HEAD + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n" + HIDDEN,
        HEAD + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n" + HIDDEN,
        HEAD + b"Content-Length: 0\r\nContent-Length: 55\r\n\r\n" + HIDDEN,
        HEAD + b"Content-Length: +0\r\n\r\n" + HIDDEN,
        HEAD + b"Content-Length : 0\r\n\r\n" + HIDDEN,
        HEAD + b"Content-Length: 55\r\n\r\n" + HIDDEN,
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + HIDDEN,
        HEAD + b"X: y\rPOST /tokenize HTTP/1.1\r\nContent-Length: 0\r\n\r\n",
        b"GET /v1/models HTTP/1.1\r\nHost: x\r\nContent-Length: 55\r\n\r\n" + HIDDEN,
        b"GET /v1/models?x=%0d%0aPOST%20/tokenize HTTP/1.1\r\nHost: x\r\n\r\n" + HIDDEN,
        b"GET /v1/models HTTP/0.9\r\n\r\n" + HIDDEN,
        b"GET http://engine/tokenize HTTP/1.1\r\nHost: x\r\n\r\n",
    ],
)
def test_a_hidden_request_never_reaches_the_engine(
    door: Door, upstream: Upstream, request_bytes: bytes
) -> None:
    door.reload(client_seconds=1)
    with door.connection() as plain:
        plain.settimeout(5)
        plain.sendall(request_bytes)
        plain.shutdown(socket.SHUT_WR)
        read_all(plain)
    assert {seen.target for seen in upstream.requests} <= {POST, "/v1/models"}


def test_a_stream_arrives_piece_by_piece(door: Door, upstream: Upstream) -> None:
    with door.client() as client, client.stream("POST", POST, json={"stream": True}) as stream:
        arriving = stream.iter_text()
        for number in range(10):
            upstream.pieces.put(str(number))
            assert next(arriving) == f"data: {number}\n\n"
        upstream.pieces.put(None)
        assert list(arriving) == []
