"""Who is let through: no key, a wrong one, one in another case, and where keys may stand."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.edge.edge_process import ALICE, BOB
from thorctl.edge.keys import new_key

if TYPE_CHECKING:
    from tests.edge.edge_process import Edge
    from tests.edge.upstream import Upstream


@pytest.mark.parametrize(
    "headers",
    [
        {"Authorization": f"Bearer {ALICE}"},
        {"Authorization": f"bearer {ALICE}"},  # the scheme has no case, RFC 9110
        {"Authorization": f"Bearer {BOB}"},
        {"x-api-key": ALICE},
        {"X-Api-Key": BOB, "Authorization": "Bearer nobody"},
    ],
)
def test_a_key_opens(edge: Edge, upstream: Upstream, headers: dict[str, str]) -> None:
    with edge.client(None, **headers) as client:
        answer = client.get("/v1/models")
    assert (answer.status_code, answer.json()) == (200, {"path": "/v1/models"})


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": f"Bearer {new_key()}"},
        {"Authorization": f"Bearer {ALICE.upper()}"},
        {"Authorization": f"Bearer {ALICE[:-1]}{ALICE[-1].upper() if ALICE[-1].isalpha() else 'A'}"},
        {"x-api-key": ALICE.swapcase()},
        {"Authorization": f"Bearer {ALICE[:-1]}"},
        {"Authorization": f"Bearer {ALICE}x"},
        {"Authorization": f"Bearer {ALICE} {BOB}"},
        {"Authorization": f"Bearer {ALICE},{BOB}"},
        {"Authorization": ALICE},
        {"Authorization": f"Basic {ALICE}"},
        {"Authorization": "Bearer"},
        {"x-api-key": ""},
        {"Cookie": f"Authorization=Bearer {ALICE}"},
        {"Authorization": "Bearer default"},  # a word of nginx's map
        {"Authorization": "Bearer alice"},  # the key's name
        {"x_api_key": ALICE},
        {"Proxy-Authorization": f"Bearer {ALICE}"},
    ],
)
def test_nothing_else_does(edge: Edge, upstream: Upstream, headers: dict[str, str]) -> None:
    with edge.client(None, **headers) as client:
        for answer in (client.get("/v1/models"), client.post("/v1/chat/completions", json={})):
            assert answer.status_code == 401
            assert answer.headers["WWW-Authenticate"] == 'Bearer realm="thor"'
            assert answer.headers["Content-Type"] == "application/json"
            error = answer.json()["error"]
            assert (error["code"], error["type"]) == ("invalid_api_key", "authentication_error")
    assert upstream.requests == []


def test_a_key_in_the_query_is_none(edge: Edge, upstream: Upstream) -> None:
    with edge.client(None) as client:
        assert client.get(f"/v1/models?api_key={ALICE}&key={ALICE}").status_code == 401
    assert upstream.requests == []


def test_health_needs_none(edge: Edge) -> None:
    with edge.client(None) as client:
        assert client.get("/health").status_code == 200


def test_the_engine_is_not_told_who_asks(edge: Edge, upstream: Upstream) -> None:
    with edge.client(ALICE, Cookie="a=b", **{"X-Secret": "s", "anthropic-version": "2023-06-01"}) as client:
        client.post("/v1/messages?beta=true", json={"model": "m"})
    (seen,) = upstream.requests
    assert seen.target == "/v1/messages"
    assert {name.lower() for name in seen.headers} == {
        "host",
        "connection",
        "content-length",
        "content-type",
        "accept",
        "x-request-id",
    }
    assert seen.headers["Content-Type"] == "application/json"
    assert seen.body == b'{"model":"m"}'


def test_the_engine_s_own_key_is_put_in_its_place(edge: Edge, upstream: Upstream) -> None:
    edge.reload(engine_key="Engine.Key~1+/=")
    with edge.client() as client:
        assert client.get("/v1/models").status_code == 200
    assert upstream.requests[0].headers["Authorization"] == "Bearer Engine.Key~1+/="


def test_metrics_have_readers_of_their_own(edge: Edge, upstream: Upstream) -> None:
    reader = new_key()
    with edge.client() as client:
        assert client.get("/metrics").status_code == 404
    edge.reload(metrics_keys={"prometheus": reader})
    with edge.client(reader) as client:
        assert client.get("/metrics").status_code == 200
        assert client.get("/v1/models").status_code == 401
    with edge.client() as client:
        assert client.get("/metrics").status_code == 401
    edge.reload(metrics_keys={}, metrics_addresses=("192.0.2.0/24",))
    with edge.client(None) as client:
        assert client.get("/metrics").status_code == 401
    edge.reload(metrics_addresses=("192.0.2.0/24", "127.0.0.1"))
    with edge.client(None) as client:
        assert client.get("/metrics").status_code == 200
        assert client.get("/v1/models").status_code == 401
    assert {request.target for request in upstream.requests} == {"/metrics"}


def test_the_log_has_names_and_no_key(edge: Edge) -> None:
    other = new_key()
    with edge.client() as client:
        client.get(f"/v1/models?api_key={ALICE}")
        client.get(f"/{ALICE}/{other}", headers={"Referer": ALICE, "User-Agent": ALICE})
    with edge.client(other) as client:
        client.request("".join(filter(str.isalpha, other)).upper(), "/v1/models")
    with edge.client(None, **{"x-api-key": BOB}) as client:
        client.get("/v1/models")
    with edge.client(f"{ALICE}{'x' * 40_000}") as client:
        assert client.get("/v1/models").status_code == 431
    log = edge.access_log(5)
    assert [(line["key"], line["method"], line["path"], line["status"]) for line in log[:4]] == [
        ("alice", "GET", "/v1/models", 200),
        ("alice", "GET", "other", 404),
        ("", "other", "/v1/models", 405),
        ("bob", "GET", "/v1/models", 200),
    ]
    written = "".join(
        path.read_text() for path in edge.folder.iterdir() if path.name in ("log", "stderr")
    ).lower()
    assert ALICE not in written
    assert BOB not in written
    assert other not in written
    assert "".join(filter(str.isalpha, other)) not in written
