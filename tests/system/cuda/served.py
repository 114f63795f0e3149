"""One `vllm serve` process, confined as on a device, with a checkpoint where a release expects it."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.system.cuda.divergence import MISSING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

# As in every rendered release.
CHECKPOINT, FILES, CACHE = Path("/models/checkpoint"), Path("/etc/thor-engine"), Path("/cache")
SOCKET = Path("/run/engine/engine.sock")
UID = 12345  # of no account: as on a device, where the engine's uid has no entry in the image's /etc/passwd
POLL = 1.0  # seconds between two requests of /health
STOP_SECONDS = 90.0


class NotServingError(Exception):
    """The server ended or was not ready in time; its log holds the cause."""


class Served:
    """A client of the running server. Token ids are the model's own."""

    def __init__(self, model: str, process: subprocess.Popen[bytes]) -> None:
        self.model = model
        self.process = process

    def request(self, method: str, path: str, body: dict[str, Any] | None = None) -> http.client.HTTPResponse:
        """Send one request over the socket; the caller reads the response."""
        connection = _Connection(timeout=600)
        connection.request(method, path, json.dumps(body), {"Content-Type": "application/json"})
        return connection.getresponse()

    def ask(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """POST; return the answer's JSON object.

        Raises:
            NotServingError: the status is not 200.
        """
        answer = self.request("POST", path, {"model": self.model, **body})
        content = answer.read()
        if answer.status != http.client.OK:
            raise NotServingError(f"{path}: HTTP {answer.status}: {content[:500]!r}")
        found: dict[str, Any] = json.loads(content)
        return found

    def answer(self, question: str, max_tokens: int) -> tuple[str, list[int]]:
        """Return the greedy answer's text, and the token ids of prompt and answer together."""
        got = self.ask(
            "/v1/chat/completions",
            {
                "messages": [{"role": "user", "content": question}],
                "temperature": 0,
                "max_tokens": max_tokens,
                "return_token_ids": True,
            },
        )
        choice = got["choices"][0]
        return choice["message"]["content"] or "", [*got["prompt_token_ids"], *choice["token_ids"]]

    def score(self, tokens: list[int], vocabulary: int) -> list[dict[int, float]]:
        """Return the log-probabilities (nats) of the whole vocabulary for each token but the first."""
        got = self.ask(
            "/v1/completions",
            {"prompt": tokens, "max_tokens": 1, "temperature": 0, "prompt_logprobs": vocabulary},
        )
        rows = got["choices"][0]["prompt_logprobs"][1:]
        return [{int(token): max(entry["logprob"], MISSING) for token, entry in row.items()} for row in rows]


@contextlib.contextmanager
def serve(
    checkpoint: Path,
    *,
    release: Path,
    log: Path,
    vllm: list[str],
    extra: list[str],
    model: str,
    timeout: float,
) -> Iterator[Served]:
    """Serve ``checkpoint`` with the release's serve.yaml and engine.env; end its process group afterwards.

    The process has no network but its own loopback, no capabilities, and the uid ``UID``, as on a device.

    Args:
        checkpoint: its directory.
        release: the directory that `thorctl render` wrote.
        log: file for the server's output.
        vllm: the command in place of `vllm`.
        extra: further options of `vllm serve`.
        model: the served model's name.
        timeout: seconds until it must be ready.

    Raises:
        NotServingError: it ended by itself, or was not ready after ``timeout`` seconds.
    """
    _link(CHECKPOINT, checkpoint)
    _link(FILES, release)
    for directory in (CACHE, SOCKET.parent):
        directory.mkdir(parents=True, exist_ok=True)
        os.chown(directory, UID, UID)
    SOCKET.unlink(missing_ok=True)
    confined = [
        *("unshare", "--net", sys.executable, "-m", "tests.system.cuda.loopback"),
        *("setpriv", "--reuid", str(UID), "--regid", str(UID), "--clear-groups"),
        *("--no-new-privs", "--inh-caps=-all", "--bounding-set=-all"),
    ]
    with log.open("wb") as out:
        process = subprocess.Popen(
            [*confined, *vllm, "serve", "--config", str(FILES / "serve.yaml"), *extra],
            env={**os.environ, **environment(release / "engine.env")},
            stdout=out,
            stderr=out,
            start_new_session=True,
            umask=0,  # the socket is made with it; its directory decides who may connect
        )
        try:
            served = Served(model, process)
            _wait(served, log, timeout)
            yield served
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


def environment(file: Path) -> Mapping[str, str]:
    """Return the release's environment, less the variables that name a program which this machine lacks."""
    pairs = (
        line.split("=", 1)
        for line in file.read_text().splitlines()
        if "=" in line and not line.startswith("#")
    )
    return {
        name: value for name, value in pairs if not name.startswith("TRITON_PTXAS") or shutil.which(value)
    }


class _Connection(http.client.HTTPConnection):
    """HTTP over the server's Unix socket."""

    def __init__(self, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(os.fspath(SOCKET))


def _link(place: Path, target: Path) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    place.unlink(missing_ok=True)
    place.symlink_to(target.resolve())


def _wait(served: Served, log: Path, timeout: float) -> None:
    end = time.monotonic() + timeout
    while time.monotonic() < end:
        if served.process.poll() is not None:
            raise NotServingError(f"vllm serve ended with {served.process.returncode}; see {log}")
        with contextlib.suppress(OSError, http.client.HTTPException):
            if served.request("GET", "/health").status == http.client.OK:
                return
        time.sleep(POLL)
    raise NotServingError(f"not ready after {timeout:.0f} s; see {log}")
