"""Client of one container registry: manifests, blobs, tags; every answer is verified by its digest."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import httpx

from thorctl.errors import ThorError
from thorctl.files import limits
from thorctl.registry import auth as registry_auth
from thorctl.registry import environment, failures
from thorctl.release.image_reference import DOCKER_HUB

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

# The spec allows registries to reject manifests above 4 MiB; configurations have a similar size.
MAX_DOCUMENT_BYTES = 8 * 2**20
TIMEOUT = httpx.Timeout(30, connect=10)
LIMIT = limits.Limit(MAX_DOCUMENT_BYTES, seconds=120, kind="registry")


@dataclass(frozen=True, slots=True)
class Document:
    """The received bytes, their media type by the registry, and their digest as computed here."""

    body: bytes
    media_type: str
    digest: str


class Registry:
    """A registry that devices know as ``host``, reached at ``address`` (default: https://host)."""

    def __init__(
        self, host: str, address: str | None = None, warn: Callable[[str], None] = lambda _: None
    ) -> None:
        environment.require(proxies=address is None)
        self.host = host
        self._credentials = registry_auth.Credentials(host, warn)
        self._token: str | None = None
        # An override or simulation is in this machine's own network, beyond any proxy.
        # httpx drops the Authorization header on a redirect to another host.
        self._client = httpx.Client(
            base_url=address or default_address(host),
            timeout=TIMEOUT,
            follow_redirects=True,
            trust_env=address is None,
            verify=httpx.create_ssl_context(),  # SSL_CERT_FILE applies to every address
        )
        self._watch = limits.watch(self._client, httpx, LIMIT)

    def __enter__(self) -> Registry:
        """Enter ``with``, whose end closes the connections."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the connections."""
        self._client.close()

    def manifest(self, path: str, reference: str, accept: tuple[str, ...]) -> Document | None:
        """Return the manifest or index of a tag or digest; None if there is none."""
        response = self._get(f"/v2/{path}/manifests/{reference}", path, {"Accept": ", ".join(accept)})
        if response is None:
            return None
        digest = self._digest(response.content)
        claimed = response.headers.get("Docker-Content-Digest")
        for expected in (claimed, reference if ":" in reference else None):
            if expected and expected != digest:
                raise self._wrong(f"{path}@{expected}", digest)
        media_type = response.headers.get("Content-Type", "").partition(";")[0].strip()
        return Document(response.content, media_type, digest)

    def blob(self, path: str, digest: str) -> bytes:
        """Return a small blob, such as an image's configuration."""
        response = self._get(f"/v2/{path}/blobs/{digest}", path, {})
        if response is None:
            raise ThorError(
                "image_not_found",
                f"{self.host}/{path} lacks the blob {digest} of its own manifest.",
                "Push the image again: it is damaged in the registry.",
            )
        if self._digest(response.content) != digest:
            raise self._wrong(f"{path}@{digest}", self._digest(response.content))
        return response.content

    def tags(self, path: str) -> list[str]:
        """Return the repository's tags (the first page); [] if there are none or access is denied."""
        response = self._get(f"/v2/{path}/tags/list", path, {})
        try:
            return [str(tag) for tag in response.json()["tags"] or []] if response else []
        except (ValueError, KeyError, TypeError, RecursionError):
            return []

    def _get(self, url: str, path: str, headers: dict[str, str]) -> httpx.Response | None:
        """GET with the registry's authentication; return None for 404."""
        response = self._send(url, headers)
        if response.status_code == httpx.codes.UNAUTHORIZED:
            challenge = response.headers.get("WWW-Authenticate", "")
            self._token = registry_auth.answer(challenge, path, self._credentials, self._client, self.host)
            response = self._send(url, headers)
        if response.status_code == httpx.codes.NOT_FOUND:
            return None
        if response.status_code in {httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN}:
            raise self._credentials.denied(path)
        if response.is_error:
            asked = f"{self.host}, at {url},"
            raise failures.refused("registry", asked, response.status_code, response.reason_phrase)
        return response

    def _send(self, url: str, headers: dict[str, str]) -> httpx.Response:
        """Send one request, within LIMIT."""
        authorization = {"Authorization": self._token} if self._token else {}
        try:
            return self._client.get(url, headers={**headers, **authorization})
        except (httpx.HTTPError, httpx.InvalidURL, OverflowError, UnicodeError) as error:
            address = str(self._client.base_url)
            raise self._watch.late or failures.unreached("registry", self.host, address, error) from error

    def _digest(self, body: bytes) -> str:
        return f"sha256:{hashlib.sha256(body).hexdigest()}"

    def _wrong(self, what: str, digest: str) -> ThorError:
        return ThorError(
            "registry_digest_mismatch",
            f"{self.host}/{what}: the bytes received are {digest}.",
            "Try without the proxy or mirror, which may have changed the bytes.",
        )


def default_address(host: str) -> str:
    """Return a registry's URL by its name; plain HTTP only for this machine itself, as in Docker."""
    if host == DOCKER_HUB:
        return "https://registry-1.docker.io"
    local = host.partition(":")[0] in {"localhost", "127.0.0.1"}
    return f"{'http' if local else 'https'}://{host}"
