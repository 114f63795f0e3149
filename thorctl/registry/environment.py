"""Environment variables for proxies, certificates and the hub, validated before use."""

from __future__ import annotations

import importlib.util
import os
import re
import ssl
from pathlib import Path
from typing import TYPE_CHECKING

import httpx

from thorctl.errors import ThorError

if TYPE_CHECKING:
    from collections.abc import Mapping

PROXIES = ("http_proxy", "https_proxy", "all_proxy")
# huggingface_hub parses these as numbers when it is imported.
NUMBERS = ("HF_HUB_ETAG_TIMEOUT", "HF_HUB_DOWNLOAD_TIMEOUT")
CODE = "environment_invalid"
_USERINFO = re.compile(r"^([A-Za-z][A-Za-z0-9+.-]*://)?[^/]*@")


def require(environment: Mapping[str, str] = os.environ, *, proxies: bool = True) -> None:
    """Reject an environment with which no HTTP client can be created.

    Args:
        environment: variables by name.
        proxies: whether a proxy would be used.

    Raises:
        ThorError: ``environment_invalid``; names the variable and its value, without a password.
    """
    for name, error in faults(environment).items():
        if proxies or not name.lower().endswith("_proxy"):
            raise error


def faults(environment: Mapping[str, str] = os.environ) -> dict[str, ThorError]:
    """Return variable -> error of its value; {} if all are valid."""
    found = {}
    for name in _used(environment, (*PROXIES, "no_proxy")):
        value = environment[name]
        reason = _no_proxy(value) if name.lower() == "no_proxy" else _proxy(value)
        if reason:
            found[name] = _error(name, value, reason)
    # httpx reads the folder only without a file.
    for name, check in (("SSL_CERT_FILE", _authorities), ("SSL_CERT_DIR", _folder)):
        if place := environment.get(name):
            if reason := check(Path(place)):
                found[name] = _error(name, place, reason)
            break
    for name in NUMBERS:
        number = environment.get(name, "")
        if number and not number.strip().isdecimal():
            found[name] = _error(name, number, "is not a whole number of seconds")
    return found


def proxy_for(url: str, environment: Mapping[str, str] = os.environ) -> str | None:
    """Return the proxy of requests to ``url``, without its password; None: none, or undetermined."""
    try:
        scheme, host = httpx.URL(url).scheme, httpx.URL(url).host
    except httpx.InvalidURL:
        return None
    names = {name.lower(): environment[name] for name in _used(environment, (*PROXIES, "no_proxy"))}
    skipped = [one.strip().lower() for one in names.get("no_proxy", "").split(",") if one.strip()]
    if "*" in skipped or any(host == one or host.endswith(f".{one.lstrip('.')}") for one in skipped):
        return None
    proxy = names.get(f"{scheme}_proxy") or names.get("all_proxy")
    return without_password(proxy) if proxy else None


def proxies(environment: Mapping[str, str]) -> dict[str, str]:
    """Return variable, as spelled -> its proxy, without the password."""
    return {name: without_password(environment[name]) for name in _used(environment, PROXIES)}


def without_password(url: str) -> str:
    """Return an address without user and password, for a message."""
    return _USERINFO.sub(r"\1…@", url)


def _used(environment: Mapping[str, str], names: tuple[str, ...]) -> list[str]:
    """Return the effective spelling of each name: lower case takes precedence."""
    spelled = [next((one for one in (name, name.upper()) if environment.get(one)), None) for name in names]
    return [name for name in spelled if name]


def _proxy(value: str) -> str | None:
    url = value if "://" in value else f"http://{value}"
    scheme = url.partition("://")[0].lower()
    if scheme in {"socks5", "socks5h"} and importlib.util.find_spec("socksio") is None:
        return "is a SOCKS proxy, which thorctl does not support; it accepts http://HOST:PORT"
    try:
        address = httpx.Proxy(url).url
        if not address.host:
            return "has no host; a proxy is http://HOST:PORT"
        if not 0 < (address.port or 80) < 2**16:
            return "has an invalid port"
    except (httpx.InvalidURL, ValueError):
        return "is not a proxy's address, which is http://HOST:PORT"
    return None


def _no_proxy(value: str) -> str | None:
    if "*" in (entries := [one.strip() for one in value.split(",")]):
        return None
    for one in entries:
        try:
            httpx.URL(one if "://" in one else f"all://{f'[{one}]' if one.count(':') > 1 else f'*{one}'}")
        except httpx.InvalidURL:
            return f"has the entry {one!r}, which is not a host name" + (
                f"; write {one.strip('[]')}" if one.startswith("[") else ""
            )
    return None


def _authorities(path: Path) -> str | None:
    try:
        path.read_bytes()
        ssl.create_default_context(cafile=str(path))
    except ssl.SSLError:
        return "is not a file of certificates in PEM"
    except OSError as error:
        return f"cannot be read: {error.strerror}"
    return None


def _folder(path: Path) -> str | None:
    try:
        return None if any(path.iterdir()) else "is a folder without certificates"
    except OSError as error:
        return f"cannot be read: {error.strerror}"


def _error(name: str, value: str, reason: str) -> ThorError:
    shown = without_password(value) if name.lower().endswith("_proxy") else value
    return ThorError(
        CODE,
        f"The environment variable {name}={shown} {reason}.",
        f"Correct {name}, or unset it.",
    )
