"""Client of Docker's Engine API over its unix socket: only the calls that the agent needs."""

from __future__ import annotations

import copy
import http.client
import json
import os
import re
import socket
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

from thorctl.agent.core.outcome import AgentError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from thorctl.agent.core.clock import Clock

ANSWER_SECONDS = 30.0
WAIT_SECONDS = 180.0  # for Docker to restart or to be upgraded
ENDING_SECONDS = 30.0  # for a container that is being removed
POLL_SECONDS = 1.0
# Concurrent removal or inspection of one container: Docker answers a moment later.
_ENDING = re.compile(
    r"removal of container .* in progress|marked for removal|is being removed", re.IGNORECASE
)
# A daemon that starts or stops, and has no connection to containerd.
_BETWEEN = re.compile(r"containerd|shutting down|connection error|transport is closing|grpc", re.IGNORECASE)
PULL_SILENCE_SECONDS = 600.0  # extracting a 10 GB layer takes minutes without output on some storage drivers


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str, timeout: float) -> None:
        super().__init__("docker", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


class DockerApi:
    """A client of the Docker Engine API. It does not wait for a Docker that restarts; see ``patient``.

    Every method raises ``AgentError``: ``docker_unavailable`` without an answer, ``docker_busy`` if a
    container's removal does not end.
    """

    def __init__(self, socket_path: str) -> None:
        self.socket_path = socket_path
        self._wait_seconds = 0.0
        self._monotonic: Callable[[], float] = time.monotonic
        self._sleep: Callable[[float], None] = time.sleep
        self._told: Callable[[float, str], bool] = lambda *_: True

    def patient(self, clock: Clock, told: Callable[[float, str], bool]) -> DockerApi:
        """Return a client that waits up to ``WAIT_SECONDS`` for an answer.

        ``told`` is called with the seconds so far and the reason; it returns whether to wait on. There is no
        wait for a Docker that accepts a call and does not answer: it hangs.
        """
        other = copy.copy(self)
        other._wait_seconds, other._monotonic, other._sleep = WAIT_SECONDS, clock.monotonic, clock.sleep
        other._told = told
        return other

    def responds(self) -> bool:
        """Return whether Docker answers now; wait for that answer only."""
        try:
            return self._once("GET", "/_ping", None)[0] == http.client.OK
        except AgentError:
            return False

    def wait(self) -> None:
        """Return once Docker answers."""
        self._call("GET", "/_ping", None)

    def get(self, path: str, query: Mapping[str, str] | None = None) -> Any | None:
        """GET a JSON document; None on 404."""
        status, body = self._call("GET", path, query)
        if status == http.client.NOT_FOUND:
            return None
        return self._checked(status, body, path)

    def delete(self, path: str, query: Mapping[str, str] | None = None) -> bool:
        """DELETE; return False on 404."""
        status, body = self._call("DELETE", path, query)
        if status == http.client.NOT_FOUND:
            return False
        self._checked(status, body, path)
        return True

    def image(self, reference: str) -> dict[str, Any] | None:
        """Return ``docker image inspect`` of ``repository@sha256:…``; None if absent."""
        found: dict[str, Any] | None = self.get(f"/images/{quote(reference, safe='/:@')}/json")
        return found

    def delete_image(self, reference: str) -> bool:
        """Delete an image by ``repository@sha256:…``; return False if it is absent or a container uses it."""
        path = f"/images/{quote(reference, safe='/:@')}"
        status, body = self._call("DELETE", path, None)
        if status in (http.client.NOT_FOUND, http.client.CONFLICT):
            return False
        self._checked(status, body, path)
        return True

    def tag_image(self, reference: str, repository: str, tag: str) -> bool:
        """Add the name ``repository:tag`` to an image; return False if Docker refuses."""
        path = f"/images/{quote(reference, safe='/:@')}/tag"
        status, _ = self._call("POST", path, {"repo": repository, "tag": tag})
        return status == http.client.CREATED

    def run_container(self, name: str, config: Mapping[str, Any]) -> str | None:
        """Create and start a container, unless it exists; return None if it runs, else Docker's error."""
        status, body = self._call("POST", "/containers/create", {"name": name}, config)
        if status not in (http.client.CREATED, http.client.CONFLICT):
            return _message(body)
        status, body = self._call("POST", f"/containers/{quote(name)}/start", None)
        return None if status in (http.client.NO_CONTENT, http.client.NOT_MODIFIED) else _message(body)

    def remove_container(self, name: str) -> bool:
        """Remove a container, running or not, and its unnamed volumes; return False if there is none."""
        return self.delete(f"/containers/{quote(name)}", {"force": "true", "v": "true"})

    def container(self, name: str) -> dict[str, Any] | None:
        """Return ``docker inspect`` of a container; None if absent."""
        found: dict[str, Any] | None = self.get(f"/containers/{quote(name)}/json")
        return found

    def info(self) -> dict[str, Any]:
        """Return ``docker info``."""
        found: dict[str, Any] = self.get("/info") or {}
        return found

    def pull(self, repository: str, digest: str, headers: Mapping[str, str]) -> Iterator[dict[str, Any]]:
        """Pull by digest; yield Docker's progress objects (an ``error`` key ends the pull).

        Args:
            repository: ``host:port/name`` without tag.
            digest: ``sha256:…``.
            headers: extra request headers, such as ``X-Registry-Auth``.
        """
        query = {"fromImage": repository, "tag": digest}
        connection = _UnixConnection(self.socket_path, PULL_SILENCE_SECONDS)
        try:
            response = self._send(connection, "POST", "/images/create", query, headers=headers)
            if response.status != http.client.OK:
                yield {"error": _message(response.read()), "status_code": response.status}
                return
            for line in response:
                if line.strip():
                    yield json.loads(line)
        except (OSError, http.client.HTTPException, ValueError) as broken:
            yield {"error": f"the connection to Docker broke: {broken}", "broken": True}
        finally:
            connection.close()

    def _call(
        self, method: str, path: str, query: Mapping[str, str] | None, body: Mapping[str, Any] | None = None
    ) -> tuple[int, bytes]:
        """Call Docker until it answers; every call of this class is idempotent."""
        began = self._monotonic()
        while True:
            wait_seconds = self._wait_seconds
            try:
                status, content = self._once(method, path, query, body)
                if status == http.client.CONFLICT and _ENDING.search(_message(content)):
                    failed, wait_seconds = self._busy(_message(content)), ENDING_SECONDS
                elif status >= http.client.INTERNAL_SERVER_ERROR and _BETWEEN.search(_message(content)):
                    failed = self._unavailable(f"{path}: HTTP {status}: {_message(content)}")
                else:
                    return status, content
            except AgentError as gone:
                failed = gone
            waited = self._monotonic() - began
            if (
                waited >= wait_seconds
                or failed.details.get("hangs")
                or not self._told(waited, failed.message)
            ):
                raise failed
            self._sleep(POLL_SECONDS)

    def _once(
        self, method: str, path: str, query: Mapping[str, str] | None, body: Mapping[str, Any] | None = None
    ) -> tuple[int, bytes]:
        connection = _UnixConnection(self.socket_path, ANSWER_SECONDS)
        try:
            response = self._send(connection, method, path, query, headers={}, body=body)
            return response.status, response.read()
        except (OSError, http.client.HTTPException) as broken:
            raise self._unavailable(str(broken), hangs=isinstance(broken, TimeoutError)) from broken
        finally:
            connection.close()

    def _send(
        self,
        connection: _UnixConnection,
        method: str,
        path: str,
        query: Mapping[str, str] | None,
        *,
        headers: Mapping[str, str],
        body: Mapping[str, Any] | None = None,
    ) -> http.client.HTTPResponse:
        text = None if body is None else json.dumps(body)
        headers = dict(headers) if body is None else {**headers, "Content-Type": "application/json"}
        target = path + (f"?{urlencode(query)}" if query else "")
        try:
            # Without a version in the path Docker uses its newest API version.
            connection.request(method, target, body=text, headers=dict(headers))
            return connection.getresponse()
        except (OSError, http.client.HTTPException) as broken:
            raise self._unavailable(str(broken), hangs=isinstance(broken, TimeoutError)) from broken

    def _checked(self, status: int, body: bytes, path: str) -> Any:
        if status >= http.client.BAD_REQUEST:
            raise self._unavailable(f"{path}: HTTP {status}: {_message(body)}")
        return json.loads(body) if body.strip() else None

    def _busy(self, why: str) -> AgentError:
        return AgentError(
            "docker_busy",
            f"Docker is still removing a container: {why}.",
            "Wait a minute and repeat the command. If Docker is still busy, restart it: `cd "
            "playbooks && ansible DEVICE --become -a 'systemctl restart docker'`.",
        )

    def _unavailable(self, why: str, *, hangs: bool = False) -> AgentError:
        return AgentError(
            "docker_unavailable",
            f"Docker does not answer on {self.socket_path}: {why}.",
            "Start it: `cd playbooks && ansible DEVICE --become -a 'systemctl start docker'`. If it "
            "does not start, read `journalctl -u docker` on the device.",
            details={"hangs": True} if hangs else {},
        )


def _message(body: bytes) -> str:
    try:
        return str(json.loads(body)["message"])
    except (ValueError, KeyError, TypeError):
        return body.decode(errors="replace").strip()


def socket_from(environment: Mapping[str, str], root: Path) -> str:
    """Return the socket: ``DOCKER_HOST`` if it names one, else Docker's default below the root."""
    host = environment.get("DOCKER_HOST", "")
    if host.startswith("unix://"):
        return host.removeprefix("unix://")
    return os.fspath(root / "var/run/docker.sock")
