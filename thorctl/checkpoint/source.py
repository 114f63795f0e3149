"""Read a checkpoint's bytes from a folder, or from a model hub by range requests."""

from __future__ import annotations

import os
from contextlib import ExitStack
from typing import TYPE_CHECKING, Protocol

import httpx
from huggingface_hub import HfApi, hf_hub_url
from huggingface_hub.utils import build_hf_headers  # type: ignore[attr-defined]  # documented, not listed

from thorctl.checkpoint.headers import damaged
from thorctl.errors import ThorError
from thorctl.files import limits
from thorctl.registry import environment, hub, hub_errors

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

    from thorctl.release.profile import Checkpoint

TIMEOUT = httpx.Timeout(60, connect=10)
LATENCY_SECONDS = 60.0  # for redirects and the first byte
SLOWEST_BYTES_PER_SECOND = 100_000  # slower ranges fail


class Source(Protocol):
    """Random access to the files of one checkpoint."""

    name: str
    sizes: dict[str, int]  # bytes, by path

    def read(self, path: str, start: int, length: int) -> bytes:
        """Return exactly ``length`` bytes from ``start``, or raise ThorError."""


class Folder:
    """A checkpoint on this machine."""

    def __init__(self, folder: Path) -> None:
        if not folder.is_dir():
            raise ThorError(
                "checkpoint_not_found",
                f"{folder} is not a folder.",
                "Name a folder, or a repository as OWNER/NAME.",
            )
        self.name = folder.name
        self.folder = folder
        self.sizes = {
            path.relative_to(folder).as_posix(): path.stat().st_size
            for path in sorted(folder.rglob("*"))
            if path.is_file() and not any(part.startswith(".") for part in path.relative_to(folder).parts)
        }

    def read(self, path: str, start: int, length: int) -> bytes:
        """Return exactly ``length`` bytes from ``start``."""
        with (self.folder / path).open("rb", buffering=0) as file:
            found = os.pread(file.fileno(), length, start)
        if len(found) != length:
            raise damaged(path, f"ends before byte {start + length}")
        return found


class Hub:
    """A repository on a hub, at one commit."""

    def __init__(self, checkpoint: Checkpoint, address: str | None = None) -> None:
        self.name = checkpoint.repository
        self._checkpoint = checkpoint
        self._endpoint = address or checkpoint.endpoint
        environment.require()
        token = hub.token_for(self._endpoint)
        api = HfApi(endpoint=self._endpoint, token=token)
        with hub.session(checkpoint, self._endpoint):
            info = api.model_info(checkpoint.repository, revision=checkpoint.revision, timeout=30)
            self.commit = hub.commit_of(info, self._endpoint)
            files = hub.listed(api, checkpoint, self.commit, self._endpoint)
            self.sizes = {entry.path: entry.size for entry in files}
        self._stack = ExitStack()
        self._client = self._stack.enter_context(
            httpx.Client(headers=build_hf_headers(token=token), timeout=TIMEOUT, follow_redirects=True)
        )
        self._watch = limits.watch(self._client, httpx, hub.LIMIT)

    def __enter__(self) -> Hub:
        """Enter ``with``, whose end closes the connections."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the connections."""
        self._stack.close()

    def read(self, path: str, start: int, length: int) -> bytes:
        """Return exactly ``length`` bytes from ``start``, by one range request."""
        url = hf_hub_url(self.name, path, revision=self.commit, endpoint=self._endpoint)
        wanted = {"Range": f"bytes={start}-{start + length - 1}"}
        try:
            limit = limits.Limit(length, LATENCY_SECONDS + length / SLOWEST_BYTES_PER_SECOND, "hub")
            extensions = {limits.EXTENSION: limit}
            with self._client.stream("GET", url, headers=wanted, extensions=extensions) as answer:
                answer.raise_for_status()
                if answer.status_code != httpx.codes.PARTIAL_CONTENT:
                    raise ThorError(
                        "hub_no_ranges",
                        f"{self._endpoint} does not support range requests for {path}.",
                        "Download the checkpoint (`hf download`) and audit the folder.",
                    )
                found = answer.read()
        except httpx.HTTPError as error:
            raise self._watch.late or hub_errors.explain(error, self._checkpoint, self._endpoint) from error
        if len(found) != length:
            raise damaged(path, f"has {len(found)} bytes in an answer to a request for {length}")
        return found
