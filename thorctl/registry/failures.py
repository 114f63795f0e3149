"""Errors of unreachable addresses: a code and a remedy per cause, for registries and hubs."""

from __future__ import annotations

import os
import socket
import ssl
from typing import TYPE_CHECKING

from thorctl.errors import ThorError
from thorctl.registry import environment

if TYPE_CHECKING:
    from collections.abc import Iterator

UNCHANGED = "No lock was written or changed."
_NOT_YET_VALID, _EXPIRED = 9, 10  # OpenSSL: X509_V_ERR_CERT_NOT_YET_VALID, X509_V_ERR_CERT_HAS_EXPIRED


def unreached(kind: str, name: str, url: str, error: BaseException) -> ThorError:
    """Return the error for a request without an answer.

    Args:
        kind: the first word of the code: ``registry`` or ``hub``.
        name: its name in the profile.
        url: the address of the request.
        error: the HTTP client's exception.
    """
    causes = list(_chain(error))
    host = name.rpartition("//")[2].partition("/")[0]
    what = f"The {kind} {name} at {url}"
    for cause in causes:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return _certificate(kind, what, cause)
        if isinstance(cause, socket.gaierror):
            return ThorError(
                f"{kind}_name_unknown",
                f"{what}: the name could not be resolved ({cause.strerror}).",
                f"Check the spelling, and this machine's DNS; or give the address: --via {host}=URL. "
                + UNCHANGED,
            )
    reason = next((str(one) for one in causes if str(one)), type(error).__name__)
    proxy = environment.proxy_for(url)
    connecting = any(type(one).__name__ in {"ProxyError", "ConnectError", "ConnectTimeout"} for one in causes)
    if proxy and connecting:
        return ThorError(
            f"{kind}_proxy_failed",
            f"{what} is behind the proxy {proxy}, which does not reach it: {reason}.",
            "Check the proxy; HTTPS_PROXY, HTTP_PROXY and ALL_PROXY select it, NO_PROXY lists exceptions. "
            + UNCHANGED,
        )
    return ThorError(
        f"{kind}_unreachable",
        f"{what} cannot be reached: {reason}.",
        f"Check the network, or give another address: --via {host}=URL. " + UNCHANGED,
    )


def refused(kind: str, url: str, status: int, reason: str) -> ThorError:
    """Return the error for an answer with a failure status that is not about the requested object.

    Args:
        kind: the first word of the code.
        url: the server and the object.
        status: of HTTP.
        reason: the text of the status.
    """
    said = f"{url} answered {status} {reason}".rstrip()
    if status == 429:
        code, remedy = f"{kind}_limited", "Wait, then repeat the command; a login raises the limit."
    elif status == 407:
        code, remedy = f"{kind}_proxy_failed", "Put the proxy's login into HTTPS_PROXY, or unset it."
    elif status >= 500:
        code, remedy = f"{kind}_unavailable", "Wait until the server works again, then repeat the command."
    else:
        code, remedy = f"{kind}_failed", "Check the address, and ask its operator about this status."
    return ThorError(code, f"{said}.", f"{remedy} {UNCHANGED}")


def _certificate(kind: str, what: str, cause: ssl.SSLCertVerificationError) -> ThorError:
    if cause.verify_code in {_NOT_YET_VALID, _EXPIRED}:
        return ThorError(
            f"{kind}_clock",
            f"{what} has a certificate that is not valid now: {cause.verify_message}.",
            f"Check this machine's clock (`date`); if it is right, the server's needs renewal. {UNCHANGED}",
        )
    given = next((one for one in ("SSL_CERT_FILE", "SSL_CERT_DIR") if os.environ.get(one)), None)
    only = f" Only the authorities in {given}={os.environ[given]} are trusted." if given else ""
    return ThorError(
        f"{kind}_untrusted",
        f"{what} has a certificate that is not trusted: {cause.verify_message}.{only}",
        f"If its authority is your own, set its certificate file: SSL_CERT_FILE=FILE. {UNCHANGED}",
    )


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__
