"""Limits for everything that is read from outside: bytes after decompression, and total seconds.

`watch` applies them to an HTTP client; `read_text` to a file.
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

EXTENSION = "thorctl_limit"  # of a request: a `Limit` that replaces the client's
TAIL_BYTES = 1 << 20  # shown part of a log
FILE_BYTES = 16 << 20  # of a text file; a lock or release of 10,000 files has about 2 MB
_GZIP_OR_ZLIB = zlib.MAX_WBITS | 32


@dataclass(frozen=True, slots=True)
class Limit:
    """The limits of one answer.

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
    """The limits of one HTTP client; ``late`` is the error of a request that timed out."""

    limit: Limit
    late: ThorError | None = None
    _timer: threading.Timer | None = None
    _sockets: list[socket.socket] = field(default_factory=list)

    def begin(self, request: Any) -> None:
        """Start the clock of a request, and request an uncompressed answer."""
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
        """Yield the response's bytes, decompressed.

        Raises:
            ThorError: ``<kind>_invalid`` for too many bytes or an unknown compression, ``<kind>_too_slow``.
        """
        url, limit = str(response.request.url), response.request.extensions.get(EXTENSION) or self.limit
        encoding = response.headers.pop("Content-Encoding", "identity").lower()
        if encoding not in {"identity", "gzip", "x-gzip", "deflate"}:
            raise _invalid(url, limit, f"is compressed ({encoding}), which was not requested")
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
            raise _invalid(url, limit, f"is not valid gzip ({error})") from error
        except Exception:
            self._require_in_time()
            raise
        finally:
            self.end()
        raise _invalid(url, limit, f"is larger than {limit.bytes} bytes")

    def _require_in_time(self) -> None:
        """Raise if the clock has ended the connection, which ends an answer without a length."""
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
                one.shutdown(socket.SHUT_RDWR)  # a pending read fails now
            except OSError:  # closed already
                continue


def watch(client: Any, http: Any, limit: Limit) -> Watch:
    """Apply ``limit`` to every answer to ``client``, a ``Client`` of ``http`` (httpx, or alike)."""
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
    """Return the text of a file in UTF-8.

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
            "Check that it is the intended file.",
        )
    return content.decode()


def read_tail(path: Path, most: int = TAIL_BYTES) -> str:
    """Return the end of a log, after a line that reports an omitted beginning."""
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - most))
        text = file.read(most).decode(errors="replace")
    return text if size <= most else f"… [{size - most} bytes before]\n{text}"


def _invalid(url: str, limit: Limit, what: str) -> ThorError:
    return ThorError(
        f"{limit.kind}_invalid",
        f"The answer of {url} {what}; the rest was not read.",
        "Check that the address is the intended one, and that no proxy in between changes the answer.",
    )
