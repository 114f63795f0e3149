"""What servers, devices and files from outside can make the controller hold: no more than its limits."""

from __future__ import annotations

import gzip
import time
import tracemalloc
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from tests.support.doubles import hostile_http
from tests.support.doubles.hostile_http import Hostile, running
from thorctl.checkpoint.source import Hub
from thorctl.errors import ThorError
from thorctl.files import limits
from thorctl.registry import client as registry
from thorctl.registry import hub
from thorctl.registry.client import Registry
from thorctl.release.profile import Checkpoint

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Iterator
    from pathlib import Path

MIB = 1 << 20
PEAK = 48 * MIB  # of memory, for a limit of 8 MiB in pieces and once joined
CHECKPOINT = Checkpoint(repository="team/model", revision="main", endpoint="http://hub.example.test")
TOO_LARGE = [hostile_http.gzip_bomb, hostile_http.endless_chunks, hostile_http.endless_redirect]
SLOW = [hostile_http.dripping_headers, hostile_http.dripping_body]
NAMES = lambda one: one.__name__  # noqa: E731 - ids


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Limits that a test can wait for."""
    monkeypatch.setattr(registry, "LIMIT", replace(registry.LIMIT, seconds=1.5))
    monkeypatch.setattr(hub, "LIMIT", limits.Limit(8 * MIB, 1.5, "hub"))


@contextmanager
def frugal(server: Hostile) -> Iterator[None]:
    tracemalloc.start()
    began = time.monotonic()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < PEAK
    finally:
        tracemalloc.stop()
    assert server.sent < 64 * MIB
    assert time.monotonic() - began < 20


def manifest(server: Hostile) -> None:
    with Registry("registry.example.test", server.url) as client:
        client.manifest("team/engine", "1.0", ("application/json",))


def token(server: Hostile) -> None:
    def challenge(_: Hostile, client: socket.socket) -> None:
        client.sendall(
            b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\nConnection: close\r\n"
            b'WWW-Authenticate: Bearer realm="' + server.url.encode() + b'/token"\r\n\r\n'
        )

    with running(challenge) as asking, Registry("registry.example.test", asking.url) as client:
        client.manifest("team/engine", "1.0", ("application/json",))


def resolved(server: Hostile) -> None:
    hub.resolve(CHECKPOINT, server.url)


READERS = [manifest, token, resolved]


@pytest.mark.parametrize("behaviour", TOO_LARGE, ids=NAMES)
@pytest.mark.parametrize("reader", READERS, ids=NAMES)
def test_an_answer_that_is_too_large_is_given_up(
    reader: Callable[[Hostile], None], behaviour: Callable[[Hostile, socket.socket], None]
) -> None:
    with running(behaviour) as server, frugal(server), pytest.raises(ThorError) as caught:
        reader(server)
    assert caught.value.code == ("hub_invalid" if reader is resolved else "registry_invalid")
    assert f"larger than {8 * MIB} bytes" in caught.value.message
    assert server.url in caught.value.message


@pytest.mark.parametrize("behaviour", SLOW, ids=NAMES)
@pytest.mark.parametrize("reader", [manifest, resolved], ids=NAMES)
def test_an_answer_that_drips_ends_in_time(
    reader: Callable[[Hostile], None], behaviour: Callable[[Hostile, socket.socket], None]
) -> None:
    with running(behaviour) as server, frugal(server), pytest.raises(ThorError) as caught:
        reader(server)
    assert caught.value.code == ("hub_too_slow" if reader is resolved else "registry_too_slow")
    assert "within 1.5 s" in caught.value.message


@pytest.mark.parametrize("reader", READERS, ids=NAMES)
def test_headers_without_end_are_given_up(reader: Callable[[Hostile], None]) -> None:
    with running(hostile_http.endless_headers) as server, frugal(server), pytest.raises(ThorError) as caught:
        reader(server)
    assert caught.value.code == ("hub_unreachable" if reader is resolved else "registry_unreachable")


@pytest.mark.parametrize("behaviour", [hostile_http.zstd, hostile_http.no_gzip], ids=NAMES)
def test_an_encoding_nobody_asked_for_is_refused(
    behaviour: Callable[[Hostile, socket.socket], None],
) -> None:
    with running(behaviour) as server, pytest.raises(ThorError) as caught:
        manifest(server)
    assert caught.value.code == "registry_invalid"


def test_gzip_within_the_limit_is_read() -> None:
    packed = gzip.compress(b'{"schemaVersion": 2}')

    def behaviour(_: Hostile, client: socket.socket) -> None:
        head = hostile_http.answer("Content-Encoding: gzip", f"Content-Length: {len(packed)}")
        client.sendall(head + packed)

    with running(behaviour) as server, Registry("registry.example.test", server.url) as client:
        found = client.manifest("team/engine", "1.0", ("application/json",))
    assert found is not None
    assert found.body == b'{"schemaVersion": 2}'


@pytest.mark.parametrize("behaviour", [hostile_http.gzip_bomb, hostile_http.endless_chunks], ids=NAMES)
def test_a_range_is_as_long_as_it_was_asked_for(
    monkeypatch: pytest.MonkeyPatch, behaviour: Callable[[Hostile, socket.socket], None]
) -> None:
    """The listing is good; then the same hub sends more than the range."""
    monkeypatch.setattr(hostile_http, "answer", partial)
    source = Hub.__new__(Hub)
    with running(behaviour) as server, frugal(server):
        opened(source, server)
        with pytest.raises(ThorError) as caught:
            source.read("model.safetensors", 0, 1000)
    assert caught.value.code == "hub_invalid"
    assert "larger than 1000 bytes" in caught.value.message


def partial(*headers: str) -> bytes:
    return "\r\n".join(["HTTP/1.1 206 Partial Content", *headers, "", ""]).encode()


def opened(source: Hub, server: Hostile) -> None:
    """A `Hub` past its listing."""
    import httpx

    source.name, source.commit = "team/model", "a" * 40
    source._checkpoint, source._endpoint = CHECKPOINT, server.url
    source._client = httpx.Client(follow_redirects=True)
    source._watch = limits.watch(source._client, httpx, hub.LIMIT)


def test_a_login_page_is_no_hub() -> None:
    def behaviour(_: Hostile, client: socket.socket) -> None:
        client.sendall(hostile_http.answer("Content-Length: 6") + b"<html>")

    with running(behaviour) as server, pytest.raises(ThorError) as caught:
        resolved(server)
    assert caught.value.code == "hub_invalid"


def test_a_file_that_is_too_large_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "release.json"
    with path.open("wb") as file:
        file.truncate(1 << 40)  # sparse
    with pytest.raises(ThorError) as caught:
        limits.read_text(path)
    assert caught.value.code == "file_too_large"


def test_of_a_large_log_the_end_is_read(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"a" * 5000 + b"the end")
    assert limits.read_tail(path, 7) == "… [5000 bytes before]\nthe end"
    assert limits.read_tail(path) == "a" * 5000 + "the end"
