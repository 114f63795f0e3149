"""Download the files of one order. Runs as an unprivileged program of its own, account ``thor-fetch``.

The order is one JSON document on stdin (``Order``). Each file is kept in the order's directory as
``<sha256>.part`` with ``<sha256>.ranges``, which lists the bytes that are on the disk. Progress and the
result are JSON lines on stdout. The agent that reads both verifies every byte.
"""

from __future__ import annotations

import contextlib
import email.utils
import errno
import http.client
import json
import os
import re
import signal
import socket
import ssl
import sys
import threading
import time
import urllib.parse
import urllib.request
import zlib
from dataclasses import field
from functools import partial
from typing import TYPE_CHECKING, Any

from thorctl.protocol.dataclass import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PIECE_BYTES = 1024 * 1024
REDIRECTS = 6  # the hub sends one or two
LONGEST_PAUSE_SECONDS = 30.0
LONGEST_RETRY_AFTER_SECONDS = 300.0
BEAT_SECONDS = 0.5
DIGITS = 19  # of a number in a header
CLOSE_SECONDS = 3.0  # for open connections to record what they wrote
_NOT_YET_VALID, _EXPIRED = 9, 10  # OpenSSL: X509_V_ERR_CERT_NOT_YET_VALID, X509_V_ERR_CERT_HAS_EXPIRED
_UNREACHABLE = (errno.ECONNREFUSED, errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EADDRNOTAVAIL)
_CONTENT_RANGE = re.compile(r"bytes (\d{1,18})-(\d{1,18})/(\d{1,18}|\*)")
_SHA256 = re.compile(r"[0-9a-f]{64}")
LOOPBACK = ("localhost", "127.0.0.1", "::1")


class FetchError(Exception):
    """A failed download.

    Attributes:
        code: the kind of failure; ``fetcher.py`` has its message and remedy.
        reason: the host and its answer.
        fatal: whether another try would fail the same way.
        pause: seconds that the hub asks to wait; None: unspecified.
    """

    def __init__(self, code: str, reason: str, *, fatal: bool = False, pause: float | None = None) -> None:
        super().__init__(reason)
        self.code, self.reason, self.fatal, self.pause = code, reason, fatal, pause


class OtherVersionError(FetchError):
    """The served version of a file differs from the partial one on disk."""

    def __init__(self, file: Kept, etag: str) -> None:
        super().__init__("hub_answer_invalid", f"{file.path}: another version is served (ETag {etag})")
        self.file = file


class RangesIgnoredError(Exception):
    """The server ignores range requests."""


@dataclass(frozen=True)
class Order:
    """A download order. Times in seconds, sizes in bytes."""

    directory: str
    endpoint: str
    repository: str
    commit: str
    files: list[dict[str, Any]]
    token: str | None = None
    proxies: dict[str, str] = field(default_factory=dict)  # "http", "https", "no"
    ca: str | None = None  # PEM, trusted in addition to the system's authorities
    connections: int = 4
    part_bytes: int = 64 * 1024 * 1024  # size of one request
    record_bytes: int = 8 * 1024 * 1024  # most that a killed connection loses
    stall_seconds: float = 60.0
    minimum_rate: float = 4096.0  # bytes per second and connection, over stall_seconds
    tries: int = 6  # failures of one connection in a row without one new byte
    pause_seconds: float = 1.0  # after the first failure; doubles with each


class Kept:
    """One file of the order: its bytes, and the record of those that are on the disk.

    Paths are plain text here (hence no PTH checks): most calls take descriptors, which pathlib does not.
    """

    def __init__(self, directory: str, document: dict[str, Any]) -> None:
        self.path, self.size, self.sha256 = document["path"], int(document["size"]), document["sha256"]
        self.part = os.path.join(directory, f"{self.sha256}.part")  # noqa: PTH118 - one style in this file
        self.record_file = os.path.join(directory, f"{self.sha256}.ranges")  # noqa: PTH118
        self.lock = threading.Lock()
        self.ranged, self.address, self.etag = True, None, None
        self.active: list[tuple[int, int]] = []
        self.ranges: list[tuple[int, int]] = []
        self._adopt()
        self._load()
        self.descriptor = os.open(self.part, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        self.log = os.open(
            self.record_file, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600
        )

    address: str | None
    etag: str | None

    @property
    def done_bytes(self) -> int:
        """Recorded bytes."""
        return sum(end - start for start, end in self.ranges)

    def holes(self) -> list[tuple[int, int]]:
        """Return the byte ranges that are neither recorded nor being fetched."""
        found, at = [], 0
        for start, end in [*sorted([*self.ranges, *self.active]), (self.size, self.size)]:
            if start > at:
                found.append((at, start))
            at = max(at, end)
        return found

    def write(self, at: int, piece: bytes) -> int:
        """Write where nothing is recorded; return the number of new bytes."""
        new = 0
        with self.lock:
            wanted = _subtract((at, at + len(piece)), self.ranges)
        for start, end in wanted:
            view = memoryview(piece)[start - at : end - at]
            while view:
                view = view[_disk(partial(os.pwrite, self.descriptor, view, end - len(view))) :]
            new += end - start
        return new

    def record(self, start: int, end: int) -> None:
        """Sync bytes to the disk, record them, and drop them from the page cache."""
        if end <= start:
            return
        _disk(lambda: os.fdatasync(self.descriptor))
        with contextlib.suppress(OSError):
            os.posix_fadvise(self.descriptor, start, end - start, os.POSIX_FADV_DONTNEED)
        with self.lock:
            etag = f"etag {self.etag}\n" if self.etag and not self.ranges else ""
            _disk(lambda: os.write(self.log, f"{etag}{start} {end}\n".encode()))
            _disk(lambda: os.fdatasync(self.log))
            self.ranges = _merged([*self.ranges, (start, end)])

    def forget(self) -> None:
        """Delete the file's bytes and record."""
        for path in (self.record_file, self.part):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)  # noqa: PTH108

    def _adopt(self) -> None:
        """Continue a file that another program has begun (``<sha256>.kept``)."""
        kept = self.part.removesuffix(".part") + ".kept"
        with contextlib.suppress(OSError):
            size = os.lstat(kept).st_size
            if size <= self.size and not os.path.exists(self.part):  # noqa: PTH110
                with open(self.record_file, "w", encoding="ascii") as record:  # noqa: PTH123
                    record.write(f"0 {size}\n")
                os.rename(kept, self.part)  # noqa: PTH104
            else:
                os.unlink(kept)  # noqa: PTH108

    def _load(self) -> None:
        try:
            there = os.lstat(self.part).st_size
            with open(self.record_file, encoding="ascii", errors="replace") as record:  # noqa: PTH123
                lines = record.read().split("\n")[:-1]  # a line without its end is incomplete
        except OSError:
            self.forget()
            return
        for line in lines:
            if line.startswith("etag "):
                self.etag = line.removeprefix("etag ")
            pair = re.fullmatch(r"(\d{1,18}) (\d{1,18})", line)
            if pair and int(pair[1]) < int(pair[2]) <= min(there, self.size):
                self.ranges.append((int(pair[1]), int(pair[2])))
        self.ranges = _merged(self.ranges)


class Hub:
    """HTTP client for the hub and its redirect targets."""

    def __init__(self, order: Order) -> None:
        self.order = order
        self.context = ssl.create_default_context()
        if order.ca:
            self.context.load_verify_locations(cadata=order.ca)
        self.origin = _origin(order.endpoint)

    def address_of(self, file: Kept) -> str:
        """Return the hub's address of a file."""
        order = self.order
        place = f"{order.repository}/resolve/{order.commit}/{urllib.parse.quote(file.path)}"
        return f"{order.endpoint.rstrip('/')}/{place}"

    @contextlib.contextmanager
    def ask(self, file: Kept, span: tuple[int, int] | None) -> Iterator[http.client.HTTPResponse]:
        """Yield the 200 or 206 answer for the file or the bytes ``span`` of it; follow redirects.

        Raises:
            FetchError: any other answer.
        """
        url, known = file.address or self.address_of(file), file.address
        for _ in range(REDIRECTS):
            connection, answer = self._request(url, span)
            try:
                if answer.status in (301, 302, 303, 307, 308):
                    self._compare_linked(file, url, answer)
                    url = self._redirected(url, answer)
                    continue
                if answer.status in (200, 206):
                    file.address = url if _origin(url) != self.origin else None
                    self._compare_linked(file, url, answer)
                    yield answer
                    return
                file.address = None
                raise self._refusal(file, url, answer, resolved=known is None)
            finally:
                connection.close()
        raise FetchError("hub_answer_invalid", f"{_host(url)} redirects without end", fatal=True)

    def _request(
        self, url: str, span: tuple[int, int] | None
    ) -> tuple[http.client.HTTPConnection, http.client.HTTPResponse]:
        parts = urllib.parse.urlsplit(url)
        headers = {"User-Agent": "thor-agent", "Accept-Encoding": "identity"}
        if span:
            headers["Range"] = f"bytes={span[0]}-{span[1] - 1}"
        if self.order.token and _origin(url) == self.origin:
            headers["Authorization"] = f"Bearer {self.order.token}"
        target = urllib.parse.urlunsplit(("", "", parts.path or "/", parts.query, ""))
        connection, absolute = self._connection(parts)
        try:
            connection.request("GET", url if absolute else target, headers=headers)
            if connection.sock is not None:
                connection.sock.settimeout(self.order.stall_seconds)
            return connection, connection.getresponse()
        except (OSError, http.client.HTTPException) as failed:
            connection.close()
            raise _failure_of(failed, _host(url), self.order.stall_seconds) from failed

    def _connection(self, parts: urllib.parse.SplitResult) -> tuple[http.client.HTTPConnection, bool]:
        """Return an open connection, and whether requests use absolute addresses (an HTTP proxy)."""
        secure, host = parts.scheme == "https", parts.hostname or ""
        port = parts.port or (443 if secure else 80)
        proxy = self._proxy(parts)
        patience = min(30.0, self.order.stall_seconds)
        at = _address(proxy if "//" in proxy else f"http://{proxy}") if proxy else None
        if proxy and (at is None or at.scheme != "http"):
            shown = proxy.rpartition("@")[2]
            raise FetchError("hub_proxy_failed", f"{shown} is not http://HOST:PORT", fatal=True)
        where = (at.hostname or "", at.port or 3128) if at else (host, port)
        connection: http.client.HTTPConnection
        if secure:
            connection = http.client.HTTPSConnection(*where, timeout=patience, context=self.context)
        else:
            connection = http.client.HTTPConnection(*where, timeout=patience)
        if at and secure:
            connection.set_tunnel(host, port)
        try:
            connection.connect()
        except ssl.SSLError as failed:
            raise _failure_of(failed, _host(parts.geturl()), patience) from failed
        except (OSError, http.client.HTTPException) as failed:
            if at:
                raise FetchError("hub_proxy_failed", f"{where[0]}:{where[1]}: {failed}") from failed
            raise _failure_of(failed, _host(parts.geturl()), patience, connecting=True) from failed
        return connection, bool(at) and not secure

    def _proxy(self, parts: urllib.parse.SplitResult) -> str | None:
        proxies = self.order.proxies
        proxy = proxies.get(parts.scheme)
        # The standard library's type stubs lack this function.
        if not proxy or urllib.request.proxy_bypass_environment(parts.netloc, {"no": proxies.get("no", "")}):  # type: ignore[attr-defined]
            return None
        return proxy

    def _redirected(self, url: str, answer: http.client.HTTPResponse) -> str:
        try:
            target = urllib.parse.urljoin(url, answer.getheader("Location") or "")
        except ValueError:  # an unbalanced bracket
            target = ""
        parts = _address(target)
        if (
            parts is None
            or (parts.scheme == "http" and url.startswith("https:"))
            or not answer.getheader("Location")
        ):
            raise FetchError("hub_answer_invalid", f"{_host(url)} redirects to no https address", fatal=True)
        return target

    def _compare_linked(self, file: Kept, url: str, answer: http.client.HTTPResponse) -> None:
        """Compare the content hash in the hub's headers with the lock, before the first byte."""
        if _origin(url) != self.origin:
            return  # a storage server's ETag may be another kind of hash
        sha256 = (
            (answer.getheader("X-Linked-Etag") or answer.getheader("ETag") or "")
            .removeprefix("W/")
            .strip('"')
        )
        if _SHA256.fullmatch(sha256) and sha256 != file.sha256:
            raise FetchError("file_wrong_hash", f"{file.path}: the hub has SHA-256 {sha256}", fatal=True)
        size = answer.getheader("X-Linked-Size")
        if (linked := _number(size)) not in (None, file.size):
            raise _wrong_size(file, linked)

    def _refusal(  # noqa: PLR0911 - a table of statuses
        self, file: Kept, url: str, answer: http.client.HTTPResponse, *, resolved: bool
    ) -> FetchError:
        """Return the error for a status. ``resolved``: the hub has just given the address."""
        host, status = _host(url), answer.status
        said = f"{host} answers {status} {answer.reason} for {file.path}"
        of_hub = _origin(url) == self.origin
        if status == 429:
            return FetchError("hub_limited", said, pause=_retry_after(answer))
        if status >= 500:
            return FetchError("hub_unavailable", said, pause=_retry_after(answer))
        if status == 407:
            return FetchError("hub_proxy_failed", said, fatal=True)
        if status == 416:
            total = re.fullmatch(r"bytes \*/(\d{1,18})", answer.getheader("Content-Range") or "")
            if total and int(total[1]) != file.size:
                return _wrong_size(file, int(total[1]))
            return FetchError("hub_answer_invalid", said)
        if not of_hub and status in (400, 401, 403, 404, 410):
            fresh = (
                ", to an address that the hub has just given"
                if resolved
                else ", to an address that has expired"
            )
            return FetchError("hub_unavailable", said + fresh, pause=None if resolved else 0.0)
        if status in (401, 403):
            return FetchError("hub_denied", said, fatal=True)
        if status in (404, 410):
            return FetchError("file_missing", said, fatal=True)
        return FetchError("hub_answer_invalid", said)


class Download:
    """Download all files of an order over several connections."""

    def __init__(self, order: Order) -> None:
        self.order, self.hub = order, Hub(order)
        distinct = {document["sha256"]: document for document in order.files}
        self.files = [Kept(order.directory, document) for document in distinct.values()]
        self.changed = threading.Condition()
        self.failure: FetchError | None = None
        self.stopped = False
        self.new_bytes = 0
        self.threads: list[threading.Thread] = []

    def run(self, beat: Callable[[int], None]) -> FetchError | None:
        """Download; pass the recorded bytes to ``beat`` twice a second. Return what ended it early."""
        for _ in range(self.order.connections):
            thread = threading.Thread(target=self._work, daemon=True)
            thread.start()
            self.threads.append(thread)
        while any(thread.is_alive() for thread in self.threads) and not self.stopped:
            beat(sum(file.done_bytes for file in self.files))
            with self.changed:
                self.changed.wait(BEAT_SECONDS)
        until = time.monotonic() + CLOSE_SECONDS
        for thread in self.threads:
            thread.join(max(0.0, until - time.monotonic()))
        if isinstance(self.failure, OtherVersionError):
            self.failure.file.forget()  # either version may be the right one
        return self.failure

    def stop(self, failure: FetchError) -> None:
        """End all connections; the first failure is the one reported."""
        with self.changed:
            self.failure = self.failure or failure
            self.stopped = True
            self.changed.notify_all()

    def _take(self) -> tuple[Kept, tuple[int, int]] | None:
        """Reserve the next range to fetch; return None when none is left or the download has stopped."""
        with self.changed:
            while not self.stopped:
                for file in self.files:
                    with file.lock:
                        holes = file.holes()
                        if not holes or (not file.ranged and file.active):
                            continue
                        start, end = holes[0] if file.ranged else (0, file.size)
                        span = (start, min(end, start + self.order.part_bytes) if file.ranged else end)
                        file.active.append(span)
                        return file, span
                if not any(file.active for file in self.files):
                    return None
                self.changed.wait(BEAT_SECONDS)
        return None

    def _work(self) -> None:
        fruitless, pause = 0, self.order.pause_seconds
        try:
            while job := self._take():
                file, span = job
                before, failure = self.new_bytes, None
                try:
                    self._fetch(file, span)
                except RangesIgnoredError:
                    file.ranged = False
                except FetchError as failed:
                    failure = failed
                except (OSError, http.client.HTTPException) as failed:
                    failure = _failure_of(
                        failed, _host(file.address or self.order.endpoint), self.order.stall_seconds
                    )
                finally:
                    with self.changed:
                        file.active.remove(span)
                        self.changed.notify_all()
                if failure is None or self.new_bytes > before:
                    fruitless, pause = 0, self.order.pause_seconds
                if failure is None:
                    continue
                fruitless += 1
                too_long = (failure.pause or 0.0) > LONGEST_RETRY_AFTER_SECONDS
                if failure.fatal or too_long or fruitless >= self.order.tries:
                    self.stop(failure)
                    return
                self._pause(pause if failure.pause is None else failure.pause)
                pause = min(pause * 2, LONGEST_PAUSE_SECONDS)
        except BaseException as unforeseen:
            self.stop(FetchError("internal", f"{type(unforeseen).__name__}: {unforeseen}", fatal=True))
            raise

    def _pause(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while not self.stopped and (left := until - time.monotonic()) > 0:
            time.sleep(min(left, BEAT_SECONDS))

    def _fetch(self, file: Kept, span: tuple[int, int]) -> None:
        whole = span == (0, file.size)
        with self.hub.ask(file, None if whole else span) as answer:
            encoded = (answer.getheader("Content-Encoding") or "identity").strip().lower()
            if answer.status == 206:
                if encoded != "identity" and file.ranged:
                    raise RangesIgnoredError
                if encoded != "identity":
                    raise FetchError(
                        "hub_answer_invalid", f"{file.path}: Content-Encoding {encoded} in a range"
                    )
                end = self._range_of(file, span, answer)
                self._store(file, (span[0], end), _pieces(answer), whole=False)
                return
            if not whole:
                raise RangesIgnoredError
            if encoded not in ("identity", "gzip"):
                raise FetchError("hub_answer_invalid", f"{file.path}: Content-Encoding {encoded}")
            length = answer.getheader("Content-Length")
            if encoded == "identity" and (served := _number(length)) not in (None, file.size):
                raise _wrong_size(file, served)
            pieces = _pieces(answer)
            self._store(file, span, _unzipped(pieces) if encoded == "gzip" else pieces, whole=True)

    def _range_of(self, file: Kept, span: tuple[int, int], answer: http.client.HTTPResponse) -> int:
        """Return the end of the range in a 206, which must begin at the requested byte."""
        said = answer.getheader("Content-Range") or "no Content-Range"
        found = _CONTENT_RANGE.fullmatch(said)
        if found and found[3] not in ("*", str(file.size)):
            raise _wrong_size(file, int(found[3]))
        if not found or int(found[1]) != span[0] or not span[0] < int(found[2]) + 1 <= span[1]:
            raise FetchError(
                "hub_answer_invalid", f"{file.path}: requested bytes {span[0]}-{span[1] - 1}, got {said}"
            )
        etag = answer.getheader("ETag") or ""
        if etag.isprintable() and etag and not etag.startswith("W/"):
            if file.etag not in (None, etag):
                raise OtherVersionError(file, etag)
            file.etag = etag
        return int(found[2]) + 1

    def _store(self, file: Kept, span: tuple[int, int], pieces: Iterator[bytes], *, whole: bool) -> None:
        """Write the body at its offset and record it in steps."""
        at = mark = span[0]
        window, in_window = time.monotonic(), 0
        try:
            for piece in pieces:
                if at + len(piece) > span[1]:
                    if whole:
                        raise _wrong_size(file, at + len(piece))
                    raise FetchError("hub_answer_invalid", f"{file.path}: more bytes than the range has")
                new = file.write(at, piece)
                at, in_window = at + len(piece), in_window + len(piece)
                with self.changed:
                    self.new_bytes += new
                if at - mark >= self.order.record_bytes:
                    file.record(mark, at)
                    mark = at
                if self.stopped:
                    return
                passed = time.monotonic() - window
                if passed >= self.order.stall_seconds:
                    if in_window / passed < self.order.minimum_rate:
                        reason = f"{file.path}: {in_window} bytes in {passed:.0f} s"
                        raise FetchError("hub_stalled", reason)
                    window, in_window = time.monotonic(), 0
        finally:
            file.record(mark, at)
        if at < span[1]:
            raise FetchError(
                "download_interrupted", f"{file.path}: the answer ended at byte {at} of {span[1]}"
            )


def _pieces(answer: http.client.HTTPResponse) -> Iterator[bytes]:
    while piece := answer.read1(PIECE_BYTES):
        yield piece


def _unzipped(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Yield the content of a gzip stream in pieces of bounded size."""
    stream = zlib.decompressobj(31)
    for piece in pieces:
        rest = piece
        while rest:
            try:
                plain = stream.decompress(rest, PIECE_BYTES)
            except zlib.error as broken:
                raise FetchError("hub_answer_invalid", f"Content-Encoding gzip: {broken}") from broken
            rest = stream.unconsumed_tail
            if plain:
                yield plain


def _merged(ranges: list[tuple[int, int]]) -> list[tuple[int, int]]:
    found: list[tuple[int, int]] = []
    for start, end in sorted(ranges):
        if found and start <= found[-1][1]:
            found[-1] = (found[-1][0], max(end, found[-1][1]))
        else:
            found.append((start, end))
    return found


def _subtract(span: tuple[int, int], ranges: list[tuple[int, int]]) -> list[tuple[int, int]]:
    found, at = [], span[0]
    for start, end in ranges:
        if end <= at or start >= span[1]:
            continue
        if start > at:
            found.append((at, start))
        at = max(at, end)
    if at < span[1]:
        found.append((at, span[1]))
    return found


def _wrong_size(file: Kept, served: int | None) -> FetchError:
    return FetchError(
        "file_wrong_size", f"{file.path}: the hub serves {served} bytes, not {file.size}", fatal=True
    )


def _disk(operation: Callable[[], Any]) -> Any:
    """Run a file operation; convert its OSError into a disk failure, as opposed to a network one."""
    try:
        return operation()
    except OSError as failed:
        code = {errno.ENOSPC: "disk_too_small", errno.EDQUOT: "disk_too_small", errno.EROFS: "disk_read_only"}
        raise FetchError(code.get(failed.errno or 0, "disk_failed"), str(failed), fatal=True) from failed


def _failure_of(  # noqa: PLR0911 - a table of exceptions
    failed: Exception, host: str, patience: float, *, connecting: bool = False
) -> FetchError:
    """Return the error for an exception of a connection."""
    if isinstance(failed, ssl.SSLCertVerificationError):
        code = "hub_clock" if failed.verify_code in (_NOT_YET_VALID, _EXPIRED) else "hub_untrusted"
        return FetchError(code, f"{host}: {failed.verify_message}", fatal=True)
    if isinstance(failed, (ssl.SSLEOFError, ssl.SSLZeroReturnError)):
        return FetchError("download_interrupted", f"{host} closed the connection")
    if isinstance(failed, ssl.SSLError):
        return FetchError("hub_answer_invalid", f"{host}: TLS: {failed.reason or failed}")
    if isinstance(failed, socket.gaierror):
        return FetchError("hub_name_unknown", f"{host}: {failed.strerror}")
    if isinstance(failed, TimeoutError):
        code = "hub_unreachable" if connecting else "hub_stalled"
        return FetchError(code, f"{host}: no byte for {patience:.0f} s")
    if isinstance(failed, (ConnectionResetError, BrokenPipeError, http.client.RemoteDisconnected)):
        return FetchError("download_interrupted", f"{host} closed the connection")
    if isinstance(failed, http.client.IncompleteRead):
        return FetchError("download_interrupted", f"{host} closed the connection")
    if isinstance(failed, OSError) and (failed.errno in _UNREACHABLE or connecting):
        return FetchError("hub_unreachable", f"{host}: {failed.strerror or failed}")
    if isinstance(failed, http.client.HTTPException):
        return FetchError("hub_answer_invalid", f"{host}: {type(failed).__name__} {failed}")
    return FetchError("download_interrupted", f"{host}: {failed}")


def _retry_after(answer: http.client.HTTPResponse) -> float | None:
    said = (answer.getheader("Retry-After") or "").strip()
    if (seconds := _number(said)) is not None:
        return float(seconds)
    with contextlib.suppress(ValueError, TypeError):
        return max(0.0, _moment(said) - _moment(answer.getheader("Date") or ""))  # both by the server's clock
    return None


def _moment(date: str) -> float:
    return email.utils.parsedate_to_datetime(date).timestamp()


def _number(text: str | None) -> int | None:
    """Parse a header's whole number; return None for anything else, such as "²" or 5,000 digits."""
    return int(text) if text and text.isascii() and text.isdecimal() and len(text) < DIGITS else None


def _address(url: str) -> urllib.parse.SplitResult | None:
    """Return the parts of an http or https address with a host; None for anything else."""
    try:
        parts = urllib.parse.urlsplit(url)
        found = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:  # a port above 65535, for example
        return None
    return parts if found else None


def _origin(url: str) -> tuple[str, str, int]:
    parts = urllib.parse.urlsplit(url)
    return parts.scheme, parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)


def _host(url: str) -> str:
    """Return host and port only: the query of a signed address is a secret."""
    _, host, port = _origin(url)
    return f"{host}:{port}"


def main() -> int:
    """Download the order on stdin; print ``{"end": null}`` or ``{"end": {"code", "reason"}}`` at the end."""
    order = Order(**json.load(sys.stdin))
    os.umask(0o077)

    def tell(document: dict[str, Any]) -> None:
        sys.stdout.write(json.dumps(document) + "\n")
        sys.stdout.flush()

    try:
        download = Download(order)
        signal.signal(signal.SIGTERM, lambda *_: download.stop(FetchError("stopped", "SIGTERM", fatal=True)))
        failure = download.run(lambda done: tell({"done_bytes": done}))
        tell({"end": failure and {"code": failure.code, "reason": failure.reason, "pause": failure.pause}})
    except BrokenPipeError:
        os._exit(1)  # the reader, the agent, has ended
    except OSError as failed:
        failure = FetchError("disk_failed", str(failed))
        tell({"end": {"code": failure.code, "reason": failure.reason}})
    os._exit(1 if failure else 0)  # without joining threads that may still wait for a server


if __name__ == "__main__":
    sys.exit(main())
