"""Only the engine's own container is taken for the engine, on a socket and on a port."""

from __future__ import annotations

import dataclasses
import os
import socket
import tempfile
import tracemalloc
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.device_double import make_context, make_release
from tests.support.doubles import hostile_http
from tests.support.doubles.engine import Engine
from thorctl.agent.core.docker_api import DockerApi
from thorctl.agent.engine import client as engine_client
from thorctl.agent.engine import endpoint
from thorctl.agent.engine.client import EngineClient
from thorctl.agent.release.document import SOCKET_LAYOUT, Release
from thorctl.protocol.paths import ENGINE_SOCKET

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.support.doubles.hostile_http import Hostile
    from thorctl.agent.core.context import Context

ENGINE, OTHER = 4711, 4712


class OneContainer(DockerApi):
    """A Docker engine that runs the engine's container; its first process is ``ENGINE``."""

    def container(self, name: str) -> dict[str, Any]:
        return {"Id": name, "State": {"Pid": ENGINE}}


@pytest.fixture
def ctx() -> Iterator[Context]:
    with tempfile.TemporaryDirectory(prefix="dev-") as folder:  # a socket's path holds 107 bytes
        made = dataclasses.replace(make_context(Path(folder)), docker=OneContainer("/nowhere"))
        made.paths.at(ENGINE_SOCKET).parent.mkdir(parents=True)
        process(made, "self", "pid:[1]")
        process(made, ENGINE, "pid:[2]")
        yield made


def process(ctx: Context, pid: int | str, namespace: str) -> None:
    place = ctx.paths.at(f"/proc/{pid}/ns")
    place.mkdir(parents=True)
    (place / "pid").symlink_to(namespace)


def release(layout: int, port: int = 8000) -> Release:
    document = make_release(profile={"serve": {"served-model-name": ["tiny"], "port": port}}).document
    return Release({**document, "schema": layout})


def on_socket(ctx: Context) -> Engine:
    return Engine("tiny", socket=ctx.paths.at(ENGINE_SOCKET))


def healthy(ctx: Context, of: Release) -> bool:
    return EngineClient(endpoint.dial(ctx, of)).healthy()


def test_the_containers_process_on_the_socket_is_the_engine(ctx: Context) -> None:
    process(ctx, os.getpid(), "pid:[2]")
    with on_socket(ctx):
        client = EngineClient(endpoint.dial(ctx, release(SOCKET_LAYOUT)))
        assert client.healthy()
        assert client.models() == ["tiny"]
        reply = client.chat(
            {"messages": [{"role": "user", "content": "Hello"}]}, silence_seconds=5, total_seconds=5
        )
        assert (reply.error, reply.ended) == (None, True)


@pytest.mark.parametrize("namespace", ["pid:[1]", "pid:[3]"], ids=["the host's", "another container's"])
def test_another_process_on_the_socket_is_not_the_engine(ctx: Context, namespace: str) -> None:
    process(ctx, os.getpid(), namespace)
    with on_socket(ctx):
        assert not healthy(ctx, release(SOCKET_LAYOUT))


def test_a_link_to_another_socket_is_not_the_engine(ctx: Context) -> None:
    process(ctx, os.getpid(), "pid:[2]")
    path = ctx.paths.at(ENGINE_SOCKET)
    with Engine("tiny", socket=path.with_name("docker.sock")) as other:
        path.symlink_to("docker.sock")
        assert not healthy(ctx, release(SOCKET_LAYOUT))
        assert other.requests == []


def test_who_closes_the_port_once_connected_is_not_the_engine(ctx: Context) -> None:
    """A local user listens while the engine starts, accepts, and closes the port before anybody looks."""
    with Engine("tiny") as impostor:
        listening(ctx, 99, impostor.port + 1, OTHER)
        assert not healthy(ctx, release(1, impostor.port))
        assert impostor.requests == []


def listening(ctx: Context, inode: int, port: int, pid: int) -> None:
    table = ctx.paths.at("/proc/net/tcp")
    table.parent.mkdir(parents=True)
    table.write_text(
        f"header\n 0: 0100007F:{port:04X} 00000000:0000 0A 0:0 0:0 0 0 0 {inode} 1\n", encoding="ascii"
    )
    holds = ctx.paths.at(f"/proc/{pid}/fd")
    holds.mkdir(parents=True)
    (holds / "3").symlink_to(f"socket:[{inode}]")


@pytest.mark.parametrize(("pid", "is_engine"), [(ENGINE, True), (OTHER, False)])
def test_a_squatter_on_the_port_is_not_the_engine(ctx: Context, pid: int, *, is_engine: bool) -> None:
    if pid == OTHER:
        process(ctx, OTHER, "pid:[1]")
    with Engine("tiny") as engine:
        listening(ctx, 99, engine.port, pid)
        assert healthy(ctx, release(1, engine.port)) is is_engine


@pytest.mark.parametrize("behaviour", [hostile_http.dripping_headers, hostile_http.dripping_body])
def test_an_engine_that_drips_is_given_up(
    behaviour: Callable[[Hostile, socket.socket], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever waits for it may hold the device's lock, a rollback for one: then nobody could leave it."""
    monkeypatch.setattr(engine_client, "_PROBE_TOTAL_SECONDS", 0.3)
    with hostile_http.running(behaviour) as server:
        place = "127.0.0.1", int(server.url.rpartition(":")[2])
        client = EngineClient(lambda seconds: socket.create_connection(place, seconds))
        assert not client.healthy()
        assert client.models() is None
        assert client.text("/metrics") is None
        assert client.chat({}, silence_seconds=60, total_seconds=0.3).error == "not finished after 0.3 s"
        assert client.cancel({}, pieces=1, silence_seconds=0.3) == "silent for 0.3 s"


@pytest.mark.parametrize(
    "piece", [b"data: x\n", b": \n", b'data: {"choices": [{"delta": {"content": "x"}}]}\n\n']
)
def test_an_answer_without_end_is_given_up(piece: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """The agent is root's and has no memory limit of its own."""
    monkeypatch.setattr(engine_client, "STREAM_BYTES", 100_000)

    def behaviour(server: Hostile, client: socket.socket) -> None:
        hostile_http.send(server, client, hostile_http.answer("Connection: close"))
        while not server.stopped.is_set():
            hostile_http.send(server, client, piece * 100)

    with hostile_http.running(behaviour) as server:
        place = "127.0.0.1", int(server.url.rpartition(":")[2])
        client = EngineClient(lambda seconds: socket.create_connection(place, seconds))
        tracemalloc.start()
        try:
            reply = client.chat({}, silence_seconds=60, total_seconds=120)
            cancelled = client.cancel({}, pieces=10**9, silence_seconds=120)
            assert tracemalloc.get_traced_memory()[1] < 4_000_000
        finally:
            tracemalloc.stop()
    assert reply.error == cancelled == "the connection broke: the answer has more than 100000 bytes"


def test_a_peer_is_told_by_its_pid() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        assert endpoint.peer_pid(ours) == os.getpid()
