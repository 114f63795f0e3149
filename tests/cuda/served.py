"""One `vllm serve` process with a checkpoint under the path that a release gives it."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.cuda.divergence import MISSING

if TYPE_CHECKING:
    from collections.abc import Iterator

CHECKPOINT = Path("/models/checkpoint")  # as in every rendered serve.yaml
POLL = 1.0  # seconds between two looks at /health


class NotServingError(Exception):
    """The server ended or was not ready in time; its log says why."""


class Served:
    """Asks a running server. Token ids are the model's own."""

    def __init__(self, base: str, model: str) -> None:
        self._base = base
        self._model = model

    def ask(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """POST; the answer's JSON object."""
        request = urllib.request.Request(  # noqa: S310 - always this machine's own loopback
            self._base + path,
            json.dumps({"model": self._model, **body}).encode(),
            {"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=300) as answer:  # noqa: S310 - as above
            found: dict[str, Any] = json.load(answer)
        return found

    def answer(self, question: str, max_tokens: int) -> tuple[str, list[int]]:
        """The greedy answer's text, and the token ids of prompt and answer together."""
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
        """For each token but the first: the log-probabilities (nats) of the whole vocabulary at its place."""
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
    serve_yaml: Path,
    log: Path,
    vllm: list[str],
    extra: list[str],
    port: int,
    model: str,
    timeout: float,
) -> Iterator[Served]:
    """Serves ``checkpoint`` as the release's serve.yaml says; the process group is ended behind it.

    Raises:
        NotServingError: it ended by itself, or was not ready after ``timeout`` seconds.
    """
    CHECKPOINT.parent.mkdir(parents=True, exist_ok=True)
    CHECKPOINT.unlink(missing_ok=True)
    CHECKPOINT.symlink_to(checkpoint.resolve())
    with log.open("wb") as out:
        process = subprocess.Popen(
            [*vllm, "serve", "--config", str(serve_yaml), *extra],
            stdout=out,
            stderr=out,
            start_new_session=True,
        )
        try:
            base = f"http://127.0.0.1:{port}"
            _wait(process, base, log, timeout)
            yield Served(base, model)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)
            try:
                process.wait(60)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
            CHECKPOINT.unlink(missing_ok=True)


def _wait(process: subprocess.Popen[bytes], base: str, log: Path, timeout: float) -> None:
    end = time.monotonic() + timeout
    while time.monotonic() < end:
        if process.poll() is not None:
            raise NotServingError(f"vllm serve ended with {process.returncode}; see {log}")
        try:
            with urllib.request.urlopen(base + "/health", timeout=5) as answer:  # noqa: S310 - loopback
                if answer.status == 200:
                    return
        except (urllib.error.URLError, OSError):
            pass
        time.sleep(POLL)
    raise NotServingError(f"not ready after {timeout:.0f} s; see {log}")
