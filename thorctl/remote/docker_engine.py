"""Find the Docker engine: DOCKER_HOST, the default socket, then that of ``scripts/engine``."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import docker
from docker.errors import DockerException

from thorctl.errors import ThorError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from docker import DockerClient

DEFAULT_SOCKET = "unix:///var/run/docker.sock"
OWN_SOCKET = "unix:///run/thorctl/docker.sock"
REQUEST_TIMEOUT_SECONDS = 900  # a commit or push of a layer of a few hundred MB answers at its end only
PING_TIMEOUT_SECONDS = 10  # as in scripts/engine


def candidates(environment: Mapping[str, str]) -> Iterator[str]:
    """Yield the addresses to try, in order (docs/reference/interfaces.md, Simulation)."""
    chosen = environment.get("DOCKER_HOST")
    if chosen:
        yield chosen
    yield DEFAULT_SOCKET
    yield OWN_SOCKET


def connect(environment: Mapping[str, str] | None = None) -> DockerClient:
    """Return a client of the first engine that answers.

    Raises:
        ThorError: ``docker_unavailable`` if none does.
    """
    return docker.DockerClient(base_url=find(environment), timeout=REQUEST_TIMEOUT_SECONDS)


def find(environment: Mapping[str, str] | None = None) -> str:
    """Return the address of the first engine that answers, such as ``unix:///var/run/docker.sock``.

    Raises:
        ThorError: ``docker_unavailable`` if none does.
    """
    tried = []
    for address in candidates(os.environ if environment is None else environment):
        tried.append(address)
        if _answers(address):
            return address
    raise ThorError(
        "docker_unavailable",
        f"No Docker engine answers at {', '.join(tried)}.",
        "Start one: `scripts/engine start`.",
    )


def _answers(address: str) -> bool:
    try:
        client = docker.DockerClient(base_url=address, timeout=PING_TIMEOUT_SECONDS)
    except (DockerException, OSError, ValueError, ImportError):  # an address of an unknown form
        return False
    try:
        return bool(client.ping())
    except (DockerException, OSError, ValueError):
        return False
    finally:
        client.close()
