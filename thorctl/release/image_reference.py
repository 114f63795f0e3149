"""Names of container images, normalized as in Docker.

Rules: github.com/distribution/reference (`normalize.go`, `regexp.go`).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

DOCKER_HUB = "docker.io"
_LEGACY_HUB = "index.docker.io"
_OFFICIAL = "library"  # Docker Hub's namespace of names without one
_DEFAULT_TAG = "latest"
MAX_NAME_CHARACTERS = 255

_LABEL = r"(?:[A-Za-z0-9]|[A-Za-z0-9][A-Za-z0-9-]*[A-Za-z0-9])"
_HOST = re.compile(rf"(?:{_LABEL}(?:\.{_LABEL})*|\[[a-fA-F0-9:]+\])(?::[0-9]+)?")
_COMPONENT = r"[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*"
_REST = re.compile(
    rf"(?P<path>{_COMPONENT}(?:/{_COMPONENT})*)(?::(?P<tag>\w[\w.-]{{0,127}}))?"
    r"(?:@(?P<digest>sha256:[0-9a-f]{64}))?",
    re.ASCII,
)
_IMAGE_ID = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class ImageReference:
    """A normalized reference. ``host`` includes the port, if any.

    ``tag`` is empty exactly if there is a digest, which takes precedence as in Docker.
    """

    host: str
    path: str
    tag: str
    digest: str | None = None

    @property
    def repository(self) -> str:
        """The name ``host[:port]/path`` before a digest."""
        return f"{self.host}/{self.path}"

    def __str__(self) -> str:
        """Return the normalized spelling, equal for all spellings of one image."""
        return f"{self.repository}@{self.digest}" if self.digest else f"{self.repository}:{self.tag}"

    @classmethod
    def normalized(cls, text: str) -> ImageReference:
        """Parse any reference that Docker accepts, and complete it as Docker does.

        A name without a host is Docker Hub's, one of a single component is in its ``library``, and without
        a tag it is ``latest``. The host's case is kept: Docker compares it literally.

        Raises:
            ValueError: Docker rejects the reference.
        """
        explicit, host, rest = _split(text)
        match = _REST.fullmatch(rest)
        if match is None or not _HOST.fullmatch(host) or (not explicit and _IMAGE_ID.fullmatch(text)):
            raise ValueError(f"{text!r} is not an image reference: [host[:port]/]repository[:tag][@digest]")
        if len(host) + 1 + len(match["path"]) > MAX_NAME_CHARACTERS:
            raise ValueError(f"{text[:40]!r}… is longer than {MAX_NAME_CHARACTERS} characters")
        tag = "" if match["digest"] else match["tag"] or _DEFAULT_TAG
        return cls(host, match["path"], tag, match["digest"])

    @classmethod
    def parse(cls, text: str) -> ImageReference:
        """Parse a profile's reference: ``host[:port]/repository:tag``, completed as in Docker.

        Host and tag are required, so that nothing depends on a default; the host is lower case, since Docker
        treats another case as another registry.

        Raises:
            ValueError: the reference is not of that form.
        """
        if "@" in text:
            raise ValueError("write a tag, not a digest: the lock pins the digest")
        found = cls.normalized(text)
        explicit, host, rest = _split(text)
        if not explicit or ":" not in rest:
            raise ValueError(
                f"{text!r} is not host[:port]/repository:tag (the host and the tag are required)"
            )
        if host != host.lower():
            raise ValueError(f"write the host in lower case: {text.replace(host, host.lower(), 1)!r}")
        return found


def same_image(one: str, other: str) -> bool:
    """Return whether two references name one image; an invalid one equals its own text only."""
    return _normal(one) == _normal(other)


def _normal(text: str) -> ImageReference | str:
    try:
        return ImageReference.normalized(text)
    except ValueError:
        return text


def _split(text: str) -> tuple[bool, str, str]:
    """Return whether the text has a host, that host, and the rest (``splitDockerDomain``)."""
    first, slash, rest = text.partition("/")
    explicit = bool(slash) and (
        first == "localhost" or any(mark in first for mark in ".:") or first != first.lower()
    )
    host, rest = (first, rest) if explicit else (DOCKER_HUB, text)
    if host == _LEGACY_HUB:
        host = DOCKER_HUB
    if host == DOCKER_HUB and "/" not in rest:
        rest = f"{_OFFICIAL}/{rest}"
    return explicit, host, rest
