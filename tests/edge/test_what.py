"""What is let through: seven paths as they are spelled, each with its method; nothing is smuggled along."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.edge.edge_process import ALICE
from thorctl.edge.routes import ROUTES

if TYPE_CHECKING:
    from tests.edge.edge_process import Edge
    from tests.edge.upstream import Upstream

KEY = f"Authorization: Bearer {ALICE}\r\n".encode()
FORBIDDEN = [
    "/",
    "/invocations",
    "/inference/v1/generate",
    "/tokenize",
    "/detokenize",
    "/metrics",
    "/ping",
    "/version",
    "/load",
    "/docs",
    "/openapi.json",
    "/scale_elastic_ep",
    "/is_scaling_elastic_ep",
    "/v1",
    "/v1/",
    "/v1/embeddings",
    "/v1/chat/completions/render",
    "/v1/chat/completions/batch",
    "/v1/load_lora_adapter",
    "/sleep",
    "/collective_rpc",
    "/_edge/404",
    "/generation",
]
TRICKS = [
    "//v1/models",
    "/v1//models",
    "/v1/models/",
    "/v1/models//",
    "/v1/./models",
    "/x/../v1/models",
    "/v1/models/../../invocations",
    "/v1/models/../models",
    "/v1/models/%2e%2e/%2e%2e/invocations",
    "/v1%2fmodels",
    "/v1%2Fmodels",
    "/%76%31/models",
    "/v1/model%73",
    "/V1/models",
    "/v1/MODELS",
    "/v1/models.",
    "/v1/models..",
    "/v1/models;a=b",
    "/v1/models%00",
    "/v1/models%20",
    "/v1/models%3f",
    "/v1/models%0d%0aX:y",
    "/v1\\models",
    "/v1/models%23",
    "/v1/models/..;/invocations",
    "/health/../metrics",
    "/metrics?/v1/models",
    "*",
]


def status(answer: bytes) -> int:
    """Of a raw answer; 0 where the edge closed without one."""
    return int(answer.split(b" ", 2)[1]) if answer.startswith(b"HTTP/1.1 ") else 0


def test_each_route_reaches_its_own_path(edge: Edge, upstream: Upstream) -> None:
    with edge.client() as client:
        for route in ROUTES:
            assert client.request(route.method, route.path + "?a=b#c").status_code == 200, route
    assert [(seen.method, seen.target) for seen in upstream.requests] == [(r.method, r.path) for r in ROUTES]


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_every_other_path_is_none(edge: Edge, upstream: Upstream, method: str) -> None:
    for target in FORBIDDEN + TRICKS:
        request = f"{method} {target} HTTP/1.1\r\nHost: thor-01\r\nConnection: close\r\nContent-Length: 0\r\n"
        answer = edge.raw(request.encode() + KEY + b"\r\n")
        assert status(answer) in (400, 404), (target, answer)
        assert b'{"type": "error", "error": {' in answer, (target, answer)
    assert upstream.requests == []


def test_a_target_with_a_host_is_judged_by_its_path(edge: Edge, upstream: Upstream) -> None:
    for path, wanted in (("/v1/models", 200), ("/invocations", 404), ("//v1/models", 404)):
        request = f"GET https://elsewhere:1{path} HTTP/1.1\r\nHost: elsewhere:1\r\nConnection: close\r\n"
        assert status(edge.raw(request.encode() + KEY + b"\r\n")) == wanted
    assert [(seen.target, seen.headers["Host"]) for seen in upstream.requests] == [
        ("/v1/models", "127.0.0.1")
    ]


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND"])
def test_a_path_takes_its_method_only(edge: Edge, upstream: Upstream, method: str) -> None:
    with edge.client() as client:
        answer = client.request(method, "/v1/chat/completions")
    assert answer.status_code == 405
    assert answer.headers.get("Allow") == "POST"
    assert upstream.requests == []


# What two servers in a row may understand differently: length and end of a request.
SMUGGLED = b"POST /invocations HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}"
HEAD = b"POST /v1/chat/completions HTTP/1.1\r\nHost: thor-01\r\nContent-Type: application/json\r\n" + KEY


@pytest.mark.parametrize(
    "request_bytes",
    [
        # both lengths
        HEAD + b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + SMUGGLED,
        HEAD + b"Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n" + SMUGGLED,
        # two lengths
        HEAD + b"Content-Length: 0\r\nContent-Length: 80\r\n\r\n" + SMUGGLED,
        HEAD + b"Content-Length: 0, 80\r\n\r\n" + SMUGGLED,
        HEAD + b"Content-Length: +0\r\n\r\n" + SMUGGLED,
        HEAD + b"Content-Length: -1\r\n\r\n" + SMUGGLED,
        # encodings in disguise
        HEAD + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n" + SMUGGLED,
        HEAD + b"Transfer-Encoding: identity, chunked\r\n\r\n0\r\n\r\n" + SMUGGLED,
        HEAD + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n" + SMUGGLED,
        HEAD + b"Transfer-Encoding:\x0bchunked\r\n\r\n0\r\n\r\n" + SMUGGLED,
        # broken chunks
        HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n" + SMUGGLED,
        HEAD + b"Transfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n" + SMUGGLED,
        # an upgrade that would open a tunnel
        HEAD + b"Connection: Upgrade\r\nUpgrade: websocket\r\nContent-Length: 0\r\n\r\n" + SMUGGLED,
        HEAD + b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nContent-Length: 0\r\n\r\n" + SMUGGLED,
        # a folded header, a header without a name
        HEAD + b"X-A: b\r\n Transfer-Encoding: chunked\r\nContent-Length: 0\r\n\r\n" + SMUGGLED,
        HEAD + b": v\r\nContent-Length: 0\r\n\r\n" + SMUGGLED,
    ],
)
def test_nothing_is_smuggled(edge: Edge, upstream: Upstream, request_bytes: bytes) -> None:
    """Whatever the edge makes of the first request, the second is not a part of it and has no key."""
    closing = request_bytes.replace(b"Host: x\r\n", b"Host: x\r\nConnection: close\r\n")
    edge.raw(closing)
    assert [seen.target for seen in upstream.requests if seen.target != "/v1/chat/completions"] == []
    assert len(upstream.requests) <= 1
    assert all(b"invocations" not in seen.body for seen in upstream.requests)
    assert all("Upgrade" not in seen.headers for seen in upstream.requests)


def test_a_pipelined_request_needs_its_own_key(edge: Edge, upstream: Upstream) -> None:
    second = b"GET /v1/models HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    answer = edge.raw(HEAD + b"Content-Length: 2\r\n\r\n{}" + second)
    assert answer.count(b"HTTP/1.1 200 OK") == 1
    assert answer.count(b"HTTP/1.1 401 ") == 1
    assert len(upstream.requests) == 1


def test_a_chunked_body_arrives_whole(edge: Edge, upstream: Upstream) -> None:
    body = b'Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n3\r\n{"a\r\n4\r\n":1}\r\n0\r\n\r\n'
    assert status(edge.raw(HEAD + body)) == 200
    (seen,) = upstream.requests
    assert (seen.body, seen.headers["Content-Length"], seen.headers["Transfer-Encoding"]) == (
        b'{"a":1}',
        "7",
        None,
    )


def test_what_the_engine_says_steers_nobody(edge: Edge, upstream: Upstream) -> None:
    upstream.headers = {"X-Accel-Redirect": "/_edge/401", "X-Accel-Buffering": "yes", "Server": "uvicorn"}
    with edge.client() as client:
        answer = client.get("/v1/models")
    assert (answer.status_code, answer.json()) == (200, {"path": "/v1/models"})
    assert answer.headers["Server"] == "nginx"
