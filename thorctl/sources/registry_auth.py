"""Logging in to a registry: its challenge, answered with a token or with ``docker login``'s credentials.

Source: distribution.github.io/distribution/spec/auth/token.
"""

from __future__ import annotations

import base64
import re
from typing import TYPE_CHECKING

import httpx
from docker import auth
from docker.errors import DockerException

from thorctl.errors import ThorError
from thorctl.image_reference import DOCKER_HUB
from thorctl.sources.wire import keeps_secrets

if TYPE_CHECKING:
    from docker.auth import AuthConfig

_PARAMETER = re.compile(r'(\w+)="([^"]*)"')
# Under which `docker login` files Docker Hub.
_HUB_ENTRY = "https://index.docker.io/v1/"


class Credentials:
    """What ``docker login`` left for one registry; read only when the registry asks."""

    def __init__(self, host: str) -> None:
        self._host = host

    def basic(self) -> str | None:
        """``Basic …``, or None where nobody has logged in."""
        try:
            config: AuthConfig = auth.load_config()
            entry = auth.resolve_authconfig(config, _HUB_ENTRY if self._host == DOCKER_HUB else self._host)
        except (DockerException, OSError, ValueError) as error:
            raise ThorError(
                "docker_login_unreadable",
                f"The credentials of `docker login` cannot be read: {error}.",
                f"Log in again: `docker login {self._host}`.",
            ) from error
        # From a credential helper the keys come with capitals, from the file without.
        login = {key.lower(): value for key, value in (entry or {}).items()}
        if login.get("identitytoken"):
            raise ThorError(
                "docker_login_unusable",
                f"`docker login` holds an identity token for {self._host}, which only Docker can use.",
                f"Log in with a name and an access token: `docker login --username NAME {self._host}`.",
            )
        if not login.get("username"):
            return None
        pair = f"{login['username']}:{login.get('password', '')}"
        return f"Basic {base64.b64encode(pair.encode()).decode()}"


def answer(challenge: str, path: str, credentials: Credentials, client: httpx.Client, host: str) -> str:
    """The ``Authorization`` header that meets a ``WWW-Authenticate`` challenge.

    The password goes to encrypted addresses only, whoever asks for it.

    Raises:
        ThorError: ``registry_denied``, ``registry_plain``; of the token's issuer ``registry_unreachable``,
            ``registry_limited``, ``registry_unavailable``.
    """
    scheme, _, rest = challenge.partition(" ")
    parameters = dict(_PARAMETER.findall(rest))
    bearer = scheme.lower() == "bearer" and "realm" in parameters
    if not bearer and scheme.lower() != "basic":
        raise denied(host, path)
    issuer = parameters["realm"] if bearer else str(client.base_url)
    basic = credentials.basic()
    if basic and not keeps_secrets(issuer):
        raise plain(host, issuer)
    if not bearer:
        if not basic:
            raise denied(host, path)
        return basic
    query = {"scope": parameters.get("scope") or f"repository:{path}:pull"}
    if "service" in parameters:
        query["service"] = parameters["service"]
    headers = {"Authorization": basic} if basic else {}
    try:
        response = client.get(issuer, params=query, headers=headers)
        token = response.json() if response.is_success else {}
    except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
        raise ThorError(
            "registry_unreachable",
            f"{host} sends to {issuer} for a token, which cannot be had: {error}.",
            "Run it where both answer. No lock was written or changed.",
        ) from error
    if response.status_code == httpx.codes.TOO_MANY_REQUESTS or response.is_server_error:
        limited = response.status_code == httpx.codes.TOO_MANY_REQUESTS
        raise ThorError(
            "registry_limited" if limited else "registry_unavailable",
            f"{issuer}, which issues the tokens of {host}, answers {response.status_code} "
            f"{response.reason_phrase}.",
            "Wait, then lock again; a login raises the limit." if limited else "Wait until it is well.",
        )
    word = token.get("token") or token.get("access_token") if isinstance(token, dict) else None
    if not word:
        raise denied(host, path)
    return f"Bearer {word}"


def denied(host: str, path: str) -> ThorError:
    """The registry wants somebody else."""
    return ThorError(
        "registry_denied",
        f"{host} does not let you read {path!r}.",
        f"Log in: `docker login {host}`. Some registries answer this way for names that do not exist.",
    )


def plain(host: str, issuer: str) -> ThorError:
    """A login is asked for where anybody on the way could read it."""
    return ThorError(
        "registry_plain",
        f"{host} asks for your login at {issuer}, which is not encrypted: it was not sent.",
        f"Reach the registry over TLS: --via {host}=https://ADDRESS, with its authority in SSL_CERT_FILE.",
    )
