"""The engine's socket through a real sshd: forwarded where the account may open it, else relayed."""

from __future__ import annotations

import asyncio
import tempfile
import time
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from tests.support.doubles.answers import STATUS, answers, engine_socket, serves_socket
from tests.support.doubles.engine import Engine
from tests.support.doubles.sshd import Sshd, running_sshd
from thorctl.errors import ThorError
from thorctl.inventory.devices import Device
from thorctl.remote.tunnel import open_engine

if TYPE_CHECKING:
    from collections.abc import Iterator

GONE_SECONDS = 20.0


@pytest.fixture(scope="module")
def open_sshd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    with running_sshd(tmp_path_factory.mktemp("sshd")) as server:
        yield server


@pytest.fixture(scope="module")
def strict_sshd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    """One that forwards nothing: its account has only sudo."""
    with running_sshd(tmp_path_factory.mktemp("sshd"), extra="DisableForwarding yes") as server:
        yield server


@pytest.fixture
def root() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="dev-") as folder:  # a socket's path holds 107 bytes
        engine_socket(Path(folder)).parent.mkdir(parents=True)
        yield Path(folder)


@pytest.fixture
def engine(root: Path) -> Iterator[Engine]:
    with Engine("tiny-qwable", socket=engine_socket(root)) as double:
        yield double


def device(sshd: Sshd) -> Device:
    return Device("thor-01", "127.0.0.1", sshd.port, sshd.user, sshd.key, sshd.known_hosts)


def asks(stream: bool = True) -> dict[str, Any]:
    return {"model": "tiny-qwable", "messages": [{"role": "user", "content": "Hi"}], "stream": stream}


def relays(root: Path) -> list[str]:
    """The relay processes of this device."""
    found = []
    for one in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = one.read_bytes().split(b"\0")
        except OSError:
            continue
        if str(root).encode() in words and b"connect" in words:
            found.append(one.parent.name)
    return found


def wait_for_no_relay(root: Path) -> None:
    deadline = time.monotonic() + GONE_SECONDS
    while relays(root):
        assert time.monotonic() < deadline, "the relay is still there"
        time.sleep(0.1)


async def test_account_of_thor_api_is_forwarded(open_sshd: Sshd, root: Path, engine: Engine) -> None:
    open_sshd.behave(serves_socket(root))
    async with open_engine(device(open_sshd)) as way:
        assert (await way.client.get("/v1/models")).json()["data"][0]["id"] == way.model == "tiny-qwable"
    assert open_sshd.asked.read_text().endswith(" status")  # no other command: no relay


async def test_account_with_only_sudo_is_relayed(strict_sshd: Sshd, root: Path, engine: Engine) -> None:
    strict_sshd.behave(serves_socket(root))
    async with open_engine(device(strict_sshd)) as way:
        assert (await way.client.get("/v1/models")).json()["data"][0]["id"] == "tiny-qwable"
        answers = await asyncio.gather(*(way.client.post("/v1/chat/completions", json=asks()) for _ in "123"))
        assert all(answer.text.endswith("data: [DONE]\n\n") for answer in answers)
    assert strict_sshd.asked.read_text().endswith("thor-agent connect")
    wait_for_no_relay(root)


async def test_relayed_pieces_come_one_by_one(strict_sshd: Sshd, root: Path, engine: Engine) -> None:
    engine.pace = 0.3
    strict_sshd.behave(serves_socket(root))
    came = []
    async with (
        open_engine(device(strict_sshd)) as way,
        way.client.stream("POST", "/v1/chat/completions", json=asks()) as response,
    ):
        async for _ in response.aiter_raw():
            came.append(time.monotonic())
            if len(came) == 6:
                break
    assert all(later - earlier > 0.1 for earlier, later in pairwise(came))


@pytest.mark.parametrize("mode", ["silent", "never_ends"])
async def test_client_gone_relay_ends(strict_sshd: Sshd, root: Path, engine: Engine, mode: str) -> None:
    engine.mode = mode
    strict_sshd.behave(serves_socket(root))
    async with open_engine(device(strict_sshd)) as way:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(2):
                await way.client.post("/v1/chat/completions", json=asks())
        await asyncio.to_thread(wait_for_no_relay, root)  # while the SSH connection is still open
        engine.mode = "good"
        assert (await way.client.get("/health")).status_code == 200


@pytest.mark.parametrize("kind", ["open", "strict"])
async def test_engine_killed_is_engine_not_ready(
    open_sshd: Sshd, strict_sshd: Sshd, root: Path, kind: str
) -> None:
    sshd = open_sshd if kind == "open" else strict_sshd
    with Engine("tiny-qwable", socket=engine_socket(root)):
        pass
    assert engine_socket(root).is_socket()  # the file stays, as after SIGKILL
    sshd.behave(serves_socket(root))
    with pytest.raises(ThorError, match="Connection refused") as refused:
        async with open_engine(device(sshd)):
            pass
    assert refused.value.code == "engine_not_ready"


async def test_engine_dies_meanwhile_is_a_readable_503(strict_sshd: Sshd, root: Path) -> None:
    strict_sshd.behave(serves_socket(root))
    with Engine("tiny-qwable", socket=engine_socket(root)) as engine:
        async with open_engine(device(strict_sshd)) as way:
            engine.server.shutdown()
            engine.server.server_close()
            answer = await way.client.get("/v1/models")
    assert answer.status_code == httpx.codes.SERVICE_UNAVAILABLE
    assert answer.json()["error"]["type"] == "engine_not_ready"


async def test_agent_without_connect_is_a_readable_error(strict_sshd: Sshd, root: Path) -> None:
    older = {**STATUS, "engine": {**STATUS["engine"], "socket": str(engine_socket(root))}}

    strict_sshd.behave(answers("status", older))  # whatever it is asked
    with pytest.raises(ThorError) as refused:
        async with open_engine(device(strict_sshd)):
            pass
    assert refused.value.code == "agent_garbage"
