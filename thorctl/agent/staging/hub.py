"""The HTTP client of a download: addresses, redirects, proxies, and what a refusal means."""

from __future__ import annotations

import contextlib
import email.utils
import http.client
import re
import ssl
import urllib.parse
import urllib.request
from dataclasses import field
from typing import TYPE_CHECKING, Any

from thorctl.agent.staging.fetch_error import FetchError, failure_of, wrong_size
from thorctl.protocol.dataclass import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator

    from thorctl.agent.staging.partial_file import PartialFile

REDIRECTS = 6  # the hub sends one or two
DIGITS = 19  # of a number in a header
_SHA256 = re.compile(r"[0-9a-f]{64}")


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


class Hub:
    """HTTP client for the hub and its redirect targets."""

    def __init__(self, order: Order) -> None:
        self.order = order
        self.context = ssl.create_default_context()
        if order.ca:
            self.context.load_verify_locations(cadata=order.ca)
        self.origin = _origin(order.endpoint)

    def address_of(self, file: PartialFile) -> str:
        """Return the hub's address of a file."""
        order = self.order
        place = f"{order.repository}/resolve/{order.commit}/{urllib.parse.quote(file.path)}"
        return f"{order.endpoint.rstrip('/')}/{place}"

    @contextlib.contextmanager
    def ask(self, file: PartialFile, span: tuple[int, int] | None) -> Iterator[http.client.HTTPResponse]:
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
        raise FetchError("hub_answer_invalid", f"{host_of(url)} redirects without end", fatal=True)

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
            raise failure_of(failed, host_of(url), self.order.stall_seconds) from failed

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
            raise failure_of(failed, host_of(parts.geturl()), patience) from failed
        except (OSError, http.client.HTTPException) as failed:
            if at:
                raise FetchError("hub_proxy_failed", f"{where[0]}:{where[1]}: {failed}") from failed
            raise failure_of(failed, host_of(parts.geturl()), patience, connecting=True) from failed
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
            raise FetchError(
                "hub_answer_invalid", f"{host_of(url)} redirects to no https address", fatal=True
            )
        return target

    def _compare_linked(self, file: PartialFile, url: str, answer: http.client.HTTPResponse) -> None:
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
        if (linked := number(size)) not in (None, file.size):
            raise wrong_size(file, linked)

    def _refusal(  # noqa: PLR0911 - a table of statuses
        self, file: PartialFile, url: str, answer: http.client.HTTPResponse, *, resolved: bool
    ) -> FetchError:
        """Return the error for a status. ``resolved``: the hub has just given the address."""
        host, status = host_of(url), answer.status
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
                return wrong_size(file, int(total[1]))
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


def _retry_after(answer: http.client.HTTPResponse) -> float | None:
    said = (answer.getheader("Retry-After") or "").strip()
    if (seconds := number(said)) is not None:
        return float(seconds)
    with contextlib.suppress(ValueError, TypeError):
        return max(0.0, _moment(said) - _moment(answer.getheader("Date") or ""))  # both by the server's clock
    return None


def _moment(date: str) -> float:
    return email.utils.parsedate_to_datetime(date).timestamp()


def number(text: str | None) -> int | None:
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


def host_of(url: str) -> str:
    """Return host and port only: the query of a signed address is a secret."""
    _, host, port = _origin(url)
    return f"{host}:{port}"
