"""A real nginx with the very configuration a device gets, as a process on a free port."""

from __future__ import annotations

import datetime as dt
import json
import os
import shutil
import signal
import socket
import ssl
import subprocess
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import httpx

from thorctl import shipped
from thorctl.edge import authority
from thorctl.edge.keys import new_key
from thorctl.edge.render import Places, Rendered, render, render_door
from thorctl.edge.settings import checked, checked_door

if TYPE_CHECKING:
    from pathlib import Path

    from thorctl.edge.authority import Pair

DEPLOY = shipped.folder("deploy")
PATIENCE_SECONDS = 60.0
ACCOUNT = "www-data"  # not root, as on a device
ALICE, BOB = new_key(), new_key()


def now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)


@dataclass
class Nginx:
    """One nginx; ``settings`` are its variables and may be changed between reloads.

    ``engine``: the socket that it connects to.
    """

    folder: Path
    settings: dict[str, Any]
    engine: Path
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.settings['port']}"

    @property
    def places(self) -> Places:
        return Places(str(self.folder), engine=str(self.engine), access_log=str(self.folder / "log"))

    def rendered(self) -> Rendered:
        raise NotImplementedError

    def write(self) -> Rendered:
        """The files that the settings give, in place."""
        rendered = self.rendered()
        for name, content in rendered.files.items():
            (self.folder / name).write_text(content)
        return rendered

    def start(self) -> None:
        rendered = self.write()
        words = ["nginx", "-e", "stderr", "-c", str(self.folder / "nginx.conf"), "-g", "daemon off;"]
        account = ACCOUNT if os.geteuid() == 0 else None
        if account:
            shutil.chown(self.folder, account, account)
        with (self.folder / "stderr").open("wb") as errors:
            self.process = subprocess.Popen(
                words,
                stdout=errors,
                stderr=errors,
                user=account,
                group=account,
                extra_groups=[] if account else None,
            )
        self.wait_for(rendered.generation)

    def reload(self, **changes: Any) -> None:
        """Other settings, without a restart."""
        self.settings.update(changes)
        rendered = self.write()
        assert self.process is not None
        old = self.workers()
        self.process.send_signal(signal.SIGHUP)
        self.wait_for(rendered.generation)
        # For a moment both generations take connections: new workers are started before old ones stop.
        deadline = time.monotonic() + PATIENCE_SECONDS
        while old & self.workers():
            assert time.monotonic() < deadline
            time.sleep(0.02)

    def stop(self) -> None:
        if self.process is not None:
            self.process.terminate()
            self.process.wait(PATIENCE_SECONDS)

    def wait_for(self, generation: str) -> None:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < deadline:
            assert self.process is not None
            assert self.process.poll() is None, (self.folder / "stderr").read_text()
            if self.generation() == generation:
                return
            time.sleep(0.02)
        raise AssertionError((self.folder / "stderr").read_text())

    def workers(self) -> set[int]:
        """Those that take connections; nginx renames one that only finishes what it has."""
        assert self.process is not None
        words = ["pgrep", "--parent", str(self.process.pid), "--full", "^nginx: worker process *$"]
        found = subprocess.run(words, capture_output=True, text=True, check=False).stdout
        return {int(pid) for pid in found.split()}

    def generation(self) -> str | None:
        """Of the workers that take new connections."""
        with socket.socket(socket.AF_UNIX) as one:
            try:
                one.connect(str(self.folder / "generation.sock"))
                one.sendall(b"GET / HTTP/1.0\r\n\r\n")
                return one.makefile("rb").read().decode().rpartition("\r\n")[2]
            except OSError:
                return None

    def access_log(self, lines: int) -> list[dict[str, Any]]:
        """The log once it has that many lines; nginx writes a line when a request is over."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < deadline:
            found = (self.folder / "log").read_text().splitlines()
            if len(found) >= lines:
                return [json.loads(line) for line in found]
            time.sleep(0.02)
        raise AssertionError(found)


@dataclass
class Door(Nginx):
    """A door in front of ``engine``."""

    def rendered(self) -> Rendered:
        return render_door(checked_door(self.settings), DEPLOY, self.places)

    def client(self, key: str | None = None, **headers: str) -> httpx.Client:
        """A local program that sends ``key`` as a bearer token."""
        if key is not None:
            headers["Authorization"] = f"Bearer {key}"
        return httpx.Client(base_url=self.url, headers=headers, trust_env=False, timeout=PATIENCE_SECONDS)

    def connection(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.settings["port"]), PATIENCE_SECONDS)

    def raw(self, request: bytes) -> bytes:
        """What the door answers to these very bytes, until it closes."""
        with self.connection() as plain:
            plain.sendall(request)
            return read_all(plain)


@dataclass
class Edge(Nginx):
    """An edge in front of ``engine``, with a certificate of ``ca``."""

    ca: Pair = field(kw_only=True)

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.settings['port']}"

    def rendered(self) -> Rendered:
        return render(checked(self.settings), DEPLOY, self.places)

    def verifying(self) -> ssl.SSLContext:
        """What a client has that trusts this authority and nobody else."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(cadata=self.ca.certificate)
        return context

    def client(self, key: str | None = ALICE, **headers: str) -> httpx.Client:
        """A client that sends ``key`` as a bearer token."""
        if key is not None:
            headers["Authorization"] = f"Bearer {key}"
        return httpx.Client(
            base_url=self.url,
            headers=headers,
            verify=self.verifying(),
            trust_env=False,
            timeout=PATIENCE_SECONDS,
        )

    def raw(self, request: bytes) -> bytes:
        """What the edge answers to these very bytes, until it closes."""
        with self.connection() as tls:
            tls.sendall(request)
            return read_all(tls)

    def connection(self) -> ssl.SSLSocket:
        plain = socket.create_connection(("127.0.0.1", self.settings["port"]), PATIENCE_SECONDS)
        return self.verifying().wrap_socket(plain, server_hostname="127.0.0.1")


def read_all(tls: socket.socket) -> bytes:
    """All there is to read; a connection that is cut has been read, too."""
    answer = b""
    try:
        while block := tls.recv(65536):
            answer += block
    except (ssl.SSLError, ConnectionError):
        pass
    return answer


def issue(ca: Pair, *, days: int = 30, issued: dt.datetime | None = None) -> dict[str, str]:
    """Certificate and key as variables of the settings."""
    pair = authority.new_certificate(
        ca, "thor-01", ["thor-01", "localhost", "127.0.0.1"], now=issued or now(), days=days
    )
    return {"certificate": pair.certificate, "private_key": pair.private_key}
