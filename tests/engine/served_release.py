"""The real vLLM in a container, started with the files of a rendered release as a device starts it."""

from __future__ import annotations

import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx

from tests.support.documents import release_of
from thorctl.sim import images
from thorctl.sim.ports import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator

    from docker import DockerClient
    from docker.models.containers import Container

    from thorctl.release.document import Release

ROOT = Path(__file__).resolve().parents[2]
MODEL = ROOT / "images" / "tiny-qwable" / "model"
DEPLOY = ROOT / "deploy"
PROFILE = "tiny-qwable"
READY_TIMEOUT = 600.0  # seconds; half a minute on two idle cores


def lay_out(release: Release, folder: Path) -> Path:
    """Writes the release's files as the agent does."""
    folder.mkdir()
    for name, file in release.files.items():
        (folder / name).write_text(file.content, encoding="utf-8")
    return folder


def engine_image(docker: DockerClient) -> str:
    """The engine's image, built if it is not there."""
    return images.ensure(docker, "cpu-vllm", lambda *_: None).name


def confined(release_folder: Path, cache: Path) -> dict[str, Any]:
    """How thor-engine.service confines the container, in the words of Docker's Python library."""
    mounts = {
        MODEL: ("/models/checkpoint", "ro"),
        release_folder: ("/etc/thor-engine", "ro"),
        cache: ("/cache", "rw"),
    }
    lines = (release_folder / "engine.env").read_text(encoding="utf-8").splitlines()
    return {
        "detach": True,
        "network_mode": "host",
        "read_only": True,
        "cap_drop": ["ALL"],
        "security_opt": ["no-new-privileges"],
        "shm_size": "1g",
        "tmpfs": {"/tmp": "rw,exec,nosuid,nodev,mode=1777,size=2g"},  # noqa: S108 - the container's own
        "volumes": {str(source): {"bind": target, "mode": mode} for source, (target, mode) in mounts.items()},
        "environment": [line for line in lines if line and not line.startswith("#")],
    }


@contextmanager
def serving(docker: DockerClient, folder: Path) -> Iterator[str]:
    """Serves the profile's release with the committed model; gives the server's address."""
    cache = folder / "cache"
    cache.mkdir()
    files = lay_out(release_of(DEPLOY, PROFILE), folder / "release")
    port = free_port()
    container = docker.containers.run(
        engine_image(docker),
        # Not the release's: a port in the place of the socket, for clients outside. What comes last wins.
        ["--config", "/etc/thor-engine/serve.yaml", "--uds", "", "--host", "127.0.0.1", "--port", str(port)],
        **confined(files, cache),
    )
    try:
        address = f"http://127.0.0.1:{port}"
        _wait(container, address)
        yield address
    finally:
        container.remove(force=True)


def _wait(container: Container, address: str) -> None:
    end = time.monotonic() + READY_TIMEOUT
    while time.monotonic() < end:
        container.reload()
        if container.status != "running":
            raise AssertionError(f"vLLM ended: {_log(container)}")
        try:
            if httpx.get(f"{address}/health", timeout=5).status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(1)
    raise AssertionError(f"not ready after {READY_TIMEOUT:.0f} s: {_log(container)}")


def _log(container: Container) -> str:
    return bytes(container.logs(tail=60)).decode(errors="replace")
