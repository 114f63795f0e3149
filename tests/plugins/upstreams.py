"""A real container registry and a hub of static files behind a real nginx."""

from __future__ import annotations

import subprocess
import time
from typing import TYPE_CHECKING

import httpx
import pytest

from tests.support.hub_files import NGINX, HubFiles
from tests.support.images import RegistryProcess
from thorctl.sim.ports import free_port

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


def wait_for(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    """Returns once ``url`` answers anything; fails with the log if the process ends first."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if process.poll() is not None:
            break
        try:
            httpx.get(url, trust_env=False)
        except httpx.TransportError:
            time.sleep(0.05)
        else:
            return
    process.kill()
    raise AssertionError(f"{process.args!r} does not answer: {log.read_text()}")


@pytest.fixture
def start_registry(tmp_path: Path) -> Iterator[Callable[..., RegistryProcess]]:
    """Starts docker-registry (distribution) with its storage in a folder of its own."""
    running: list[subprocess.Popen[bytes]] = []

    def start(auth: str = "") -> RegistryProcess:
        port = free_port()
        folder = tmp_path / f"registry-{port}"
        folder.mkdir()
        config = folder / "config.yml"
        config.write_text(
            f"version: 0.1\nstorage: {{filesystem: {{rootdirectory: {folder}/data}}}}\n"
            f"http: {{addr: '127.0.0.1:{port}'}}\n{auth}"
        )
        log = folder / "log"
        with log.open("wb") as out:
            running.append(
                subprocess.Popen(["docker-registry", "serve", str(config)], stdout=out, stderr=out)
            )
        url = f"http://127.0.0.1:{port}"
        wait_for(f"{url}/v2/", running[-1], log)
        return RegistryProcess(url, folder / "data")

    yield start
    for process in running:
        process.terminate()
        process.wait(20)


@pytest.fixture
def registry(start_registry: Callable[..., RegistryProcess]) -> RegistryProcess:
    """An empty registry that anybody may read."""
    return start_registry()


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[HubFiles]:
    """An empty hub in the layout that huggingface_hub expects."""
    port = free_port()
    files = HubFiles(f"http://127.0.0.1:{port}", tmp_path / "hub")
    config, log = tmp_path / "nginx.conf", tmp_path / "nginx.log"
    config.write_text(NGINX.format(folder=tmp_path, port=port))
    command = ["nginx", "-p", str(tmp_path), "-c", str(config), "-e", str(log)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wait_for(files.url, process, log)
    yield files
    process.terminate()
    process.wait(20)
