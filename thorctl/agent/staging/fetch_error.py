"""Failures of a download, as the fetcher reports them to the agent."""

from __future__ import annotations

import errno
import http.client
import socket
import ssl
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from thorctl.agent.staging.partial_file import PartialFile

_NOT_YET_VALID, _EXPIRED = 9, 10  # OpenSSL: X509_V_ERR_CERT_NOT_YET_VALID, X509_V_ERR_CERT_HAS_EXPIRED
_UNREACHABLE = (errno.ECONNREFUSED, errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EADDRNOTAVAIL)


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

    def __init__(self, file: PartialFile, etag: str) -> None:
        super().__init__("hub_answer_invalid", f"{file.path}: another version is served (ETag {etag})")
        self.file = file


class RangesIgnoredError(Exception):
    """The server ignores range requests."""


def wrong_size(file: PartialFile, served: int | None) -> FetchError:
    """Return the error for a file whose size is not the lock's."""
    return FetchError(
        "file_wrong_size", f"{file.path}: the hub serves {served} bytes, not {file.size}", fatal=True
    )


def failure_of(  # noqa: PLR0911 - a table of exceptions
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
