"""Limits for everything that is read from outside: bytes after decompression, and seconds in all.

`watch` puts them on an HTTP client, whoever uses it; `read_text` on a file.
"""

from __future__ import annotations

import os
import socket
import threading
import zlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from thorctl.errors import ThorError
from thorctl.protocol.sizes import gigabytes

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

EXTENSION = "thorctl_limit"  # of a request: a `Limit` in place of the client's
TAIL_BYTES = 1 << 20  # of a log that is shown
FILE_BYTES = 16 << 20  # of a text file; a lock or release of 10,000 files has about 2 MB
_GZIP_OR_ZLIB = zlib.MAX_WBITS | 32


@dataclass(frozen=True, slots=True)
class Limit:
    """How much one answer may be.

    Attributes:
        bytes: of the body, decompressed.
        seconds: from the request's first byte to the body's last.
        kind: the first word of error codes: ``registry`` or ``hub``.
    """

    bytes: int
    seconds: float
    kind: str


@dataclass(slots=True)
class Watch:
    """The limits of one HTTP client; ``late`` is the error of a request that was ended for its time."""

    limit: Limit
    late: ThorError | None = None
    _timer: threading.Timer | None = None
    _sockets: list[socket.socket] = field(default_factory=list)

    def begin(self, request: Any) -> None:
        """Start the clock of a request, and ask for an answer that is not compressed."""
        limit: Limit = request.extensions.get(EXTENSION) or self.limit
        request.headers["Accept-Encoding"] = "identity"
        request.extensions["trace"] = self._note
        self.end()
        self.late = None
        self._timer = threading.Timer(limit.seconds, self._expire, (str(request.url), limit))
        self._timer.daemon = True
        self._timer.start()

    def end(self) -> None:
        """Stop the clock."""
        if self._timer:
            self._timer.cancel()

    def body(self, response: Any) -> Iterator[bytes]:
        """The response's bytes, decompressed.

        Raises:
            ThorError: ``<kind>_invalid`` for too many bytes or an unknown compression, ``<kind>_too_slow``.
        """
        url, limit = str(response.request.url), response.request.extensions.get(EXTENSION) or self.limit
        encoding = response.headers.pop("Content-Encoding", "identity").lower()
        if encoding not in {"identity", "gzip", "x-gzip", "deflate"}:
            raise _invalid(url, limit, f"is compressed ({encoding}), which was not asked for")
        unpack = None if encoding == "identity" else zlib.decompressobj(_GZIP_OR_ZLIB)
        return self._pieces(response.stream, unpack, url, limit)

    def _pieces(self, stream: Any, unpack: Any, url: str, limit: Limit) -> Iterator[bytes]:
        total = 0
        try:
            for packed in stream:
                piece = unpack.decompress(packed, limit.bytes - total + 1) if unpack else packed
                total += len(piece)
                if total > limit.bytes:
                    break
                yield piece
            else:
                self._require_in_time()
                return
        except zlib.error as error:
            raise _invalid(url, limit, f"is no gzip, though it says so ({error})") from error
        except Exception:
            self._require_in_time()
            raise
        finally:
            self.end()
        raise _invalid(url, limit, f"is larger than {limit.bytes} bytes")

    def _require_in_time(self) -> None:
        """An answer without a length ends with its connection, which the clock may have ended."""
        if self.late:
            raise self.late

    def _note(self, event: str, info: dict[str, Any]) -> None:
        if event == "connection.connect_tcp.complete":
            self._sockets.append(info["return_value"].get_extra_info("socket"))

    def _expire(self, url: str, limit: Limit) -> None:
        self.late = ThorError(
            f"{limit.kind}_too_slow",
            f"{url} was not answered in full within {limit.seconds:g} s.",
            "Check the network and any proxy on the way, then try again.",
        )
        for one in self._sockets:
            try:
                one.shutdown(socket.SHUT_RDWR)  # what waits for a byte fails now
            except OSError:  # closed long ago
                continue


def watch(client: Any, http: Any, limit: Limit) -> Watch:
    """Put ``limit`` on every answer to ``client``, a ``Client`` of ``http``: httpx, or its like."""
    found = Watch(limit)

    class Limited(http.SyncByteStream):  # type: ignore[misc]  # which of two modules is known at run time
        def __init__(self, response: Any) -> None:
            self._stream, self._pieces = response.stream, found.body(response)

        def __iter__(self) -> Iterator[bytes]:
            return self._pieces

        def close(self) -> None:
            found.end()
            self._stream.close()

    def respond(response: Any) -> None:
        try:
            response.stream = Limited(response)
        except ThorError:
            response.close()
            raise

    hooks = client.event_hooks
    client.event_hooks = {
        "request": [*hooks["request"], found.begin],
        "response": [respond, *hooks["response"]],
    }
    return found


def read_text(path: Path, most: int = FILE_BYTES) -> str:
    """The text of a file in UTF-8.

    Raises:
        ThorError: ``file_too_large``.
        OSError, UnicodeDecodeError: as ``Path.read_text``.
    """
    with path.open("rb") as file:
        content = file.read(most + 1)
    if len(content) > most:
        raise ThorError(
            "file_too_large",
            f"{path} is larger than {gigabytes(most)}.",
            "Check that it is the file that you mean.",
        )
    return content.decode()


def read_tail(path: Path, most: int = TAIL_BYTES) -> str:
    """The end of a log, and a first line that says so where the beginning is left out."""
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - most))
        text = file.read(most).decode(errors="replace")
    return text if size <= most else f"… [{size - most} bytes before]\n{text}"


def _invalid(url: str, limit: Limit, what: str) -> ThorError:
    return ThorError(
        f"{limit.kind}_invalid",
        f"The answer of {url} {what}; it was not read further.",
        "Check that the address is the one that you mean, and that no proxy on the way changes the answer.",
    )
