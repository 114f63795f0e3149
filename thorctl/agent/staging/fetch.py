"""Download the files of one order. Runs as an unprivileged program of its own, account ``thor-fetch``.

The order is one JSON document on stdin (``Order``). Each file is kept in the order's directory as
``<sha256>.part`` with ``<sha256>.ranges``, which lists the bytes that are on the disk. Progress and the
result are JSON lines on stdout. The agent that reads both verifies every byte.
"""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import sys
import threading
import time
import zlib
from typing import TYPE_CHECKING, Any

from thorctl.agent.staging.fetch_error import (
    FetchError,
    OtherVersionError,
    RangesIgnoredError,
    failure_of,
    wrong_size,
)
from thorctl.agent.staging.hub import Hub, Order, host_of, number
from thorctl.agent.staging.partial_file import PartialFile

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PIECE_BYTES = 1024 * 1024
LONGEST_PAUSE_SECONDS = 30.0
LONGEST_RETRY_AFTER_SECONDS = 300.0
BEAT_SECONDS = 0.5
CLOSE_SECONDS = 3.0  # for open connections to record what they wrote
_CONTENT_RANGE = re.compile(r"bytes (\d{1,18})-(\d{1,18})/(\d{1,18}|\*)")


class Download:
    """Download all files of an order over several connections."""

    def __init__(self, order: Order) -> None:
        self.order, self.hub = order, Hub(order)
        distinct = {document["sha256"]: document for document in order.files}
        self.files = [PartialFile(order.directory, document) for document in distinct.values()]
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

    def _take(self) -> tuple[PartialFile, tuple[int, int]] | None:
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
                    failure = failure_of(
                        failed, host_of(file.address or self.order.endpoint), self.order.stall_seconds
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

    def _fetch(self, file: PartialFile, span: tuple[int, int]) -> None:
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
            if encoded == "identity" and (served := number(length)) not in (None, file.size):
                raise wrong_size(file, served)
            pieces = _pieces(answer)
            self._store(file, span, _unzipped(pieces) if encoded == "gzip" else pieces, whole=True)

    def _range_of(self, file: PartialFile, span: tuple[int, int], answer: http.client.HTTPResponse) -> int:
        """Return the end of the range in a 206, which must begin at the requested byte."""
        said = answer.getheader("Content-Range") or "no Content-Range"
        found = _CONTENT_RANGE.fullmatch(said)
        if found and found[3] not in ("*", str(file.size)):
            raise wrong_size(file, int(found[3]))
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

    def _store(
        self, file: PartialFile, span: tuple[int, int], pieces: Iterator[bytes], *, whole: bool
    ) -> None:
        """Write the body at its offset and record it in steps."""
        at = mark = span[0]
        window, in_window = time.monotonic(), 0
        try:
            for piece in pieces:
                if at + len(piece) > span[1]:
                    if whole:
                        raise wrong_size(file, at + len(piece))
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
