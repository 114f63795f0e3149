"""Authenticate to a registry: answer its challenge with a token or with ``docker login``'s credentials.

Source: distribution.github.io/distribution/spec/auth/token.
"""

from __future__ import annotations

import base64
import json
import re
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
from docker import auth
from docker.errors import DockerException
from docker.utils.config import find_config_file

from thorctl.errors import ThorError
from thorctl.registry import failures
from thorctl.registry.credentials import keeps_secrets
from thorctl.release.image_reference import DOCKER_HUB

if TYPE_CHECKING:
    from collections.abc import Callable

    from docker.auth import AuthConfig

_PARAMETER = re.compile(r'(\w+)="([^"]*)"')
# Docker Hub's key in the file of `docker login`.
_HUB_ENTRY = "https://index.docker.io/v1/"


class Credentials:
    """The credentials of ``docker login`` for one registry; read only when the registry requests them.

    An unusable login gives a warning, as a public image needs none. It is the error if the registry then
    denies access.
    """

    def __init__(self, host: str, warn: Callable[[str], None] = lambda _: None) -> None:
        self._host, self._warn = host, warn
        self._problem: ThorError | None = None

    def basic(self) -> str | None:
        """Return ``Basic …``, or None without a usable login."""
        if self._problem:
            return None
        try:
            login = self._login()
        except ThorError as error:
            self._problem = error
            self._warn(f"{error.message} Continuing without a login, as docker does. {error.remedy}")
            return None
        if not login.get("username"):
            return None
        pair = f"{login['username']}:{login.get('password', '')}"
        return f"Basic {base64.b64encode(pair.encode()).decode()}"

    def denied(self, path: str) -> ThorError:
        """Return the error for a denied access."""
        return self._problem or denied(self._host, path)

    def _login(self) -> dict[str, str]:
        """Return the registry's entry; {} if there is none.

        Raises:
            ThorError: ``docker_login_unreadable``, ``docker_login_unusable``.
        """
        file = str(find_config_file() or "")
        try:
            with warnings.catch_warnings():  # a missing helper warns, and raises as well
                warnings.simplefilter("ignore")
                if file and not file.endswith(".dockercfg"):  # that one is not JSON
                    json.loads(Path(file).read_bytes())  # the library reads a broken file as an empty one
                config: AuthConfig = auth.load_config()
                name = _HUB_ENTRY if self._host == DOCKER_HUB else self._host
                entry = auth.resolve_authconfig(config, name)
            # A credential helper's keys are capitalised, the file's are not.
            login = {key.lower(): value for key, value in (entry or {}).items()}
        except (DockerException, OSError, ValueError, TypeError, KeyError, AttributeError) as error:
            raise ThorError(
                "docker_login_unreadable",
                f"The login of {self._host} cannot be read: {str(error).rstrip('.')}.",
                f"Correct {file or 'the configuration of docker'}: a `credsStore` or `credHelpers` there "
                f"names a program that must be installed; without one, `docker login {self._host}` keeps "
                "the login in the file.",
            ) from error
        if login.get("identitytoken"):
            raise ThorError(
                "docker_login_unusable",
                f"`docker login` holds an identity token for {self._host}, which only Docker can use.",
                f"Log in with a name and an access token: `docker login --username NAME {self._host}`.",
            )
        return login


def answer(challenge: str, path: str, credentials: Credentials, client: httpx.Client, host: str) -> str:
    """Return the ``Authorization`` header for a ``WWW-Authenticate`` challenge.

    The password is sent to encrypted addresses only.

    Raises:
        ThorError: ``registry_denied``, ``docker_login_*``, ``registry_plain``; for the token's issuer also
            ``registry_invalid`` and those of `failures`.
    """
    scheme, _, rest = challenge.partition(" ")
    parameters = dict(_PARAMETER.findall(rest))
    bearer = scheme.lower() == "bearer" and "realm" in parameters
    if not bearer and scheme.lower() != "basic":
        raise credentials.denied(path)
    issuer = parameters["realm"] if bearer else str(client.base_url)
    basic = credentials.basic()
    if basic and not keeps_secrets(issuer):
        raise plain(host, issuer)
    if not bearer:
        if not basic:
            raise credentials.denied(path)
        return basic
    query = {"scope": parameters.get("scope") or f"repository:{path}:pull"}
    if "service" in parameters:
        query["service"] = parameters["service"]
    headers = {"Authorization": basic} if basic else {}
    try:
        response = client.get(issuer, params=query, headers=headers)
    except httpx.HTTPError as error:
        raise failures.unreached("registry", host, issuer, error) from error
    except httpx.InvalidURL as error:
        raise _no_token(host, issuer, "is not an address") from error
    status = response.status_code
    if status in {401, 403, 404}:
        raise credentials.denied(path)
    if not response.is_success:
        asked = f"{issuer}, which issues the tokens of {host},"
        raise failures.refused("registry", asked, status, response.reason_phrase)
    try:
        token = response.json()
    except (ValueError, RecursionError) as error:
        raise _no_token(host, issuer, "sent an answer that is not JSON") from error
    word = token.get("token") or token.get("access_token") if isinstance(token, dict) else None
    if not (isinstance(word, str) and word.isascii() and word.isprintable()):
        raise _no_token(host, issuer, "sent an answer without a token")
    return f"Bearer {word}"


def _no_token(host: str, issuer: str, what: str) -> ThorError:
    return ThorError(
        "registry_invalid",
        f"{issuer}, the token issuer of {host}, {what}.",
        "Check that the address is a container registry and that no login page precedes it.",
    )


def denied(host: str, path: str) -> ThorError:
    """Return the error for denied access."""
    return ThorError(
        "registry_denied",
        f"{host} denies access to {path!r}.",
        f"Log in: `docker login {host}`. Some registries answer this way for names that do not exist.",
    )


def plain(host: str, issuer: str) -> ThorError:
    """Return the error for a login over an unencrypted connection."""
    return ThorError(
        "registry_plain",
        f"{host} asks for a login at {issuer}, which is not encrypted; the login was not sent.",
        f"Reach the registry over TLS: --via {host}=https://ADDRESS, with its authority in SSL_CERT_FILE.",
    )
