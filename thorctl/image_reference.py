"""Names of container images: ``host[:port]/repository:tag``."""

from __future__ import annotations

import re
from dataclasses import dataclass

# Grammar: github.com/distribution/reference; the host is required here, so that nothing depends on a
# daemon's default registry.
_HOST = r"(?:localhost|[A-Za-z0-9](?:[A-Za-z0-9-]*\.[A-Za-z0-9.-]+|[A-Za-z0-9-]*(?=:\d)))(?::\d{1,5})?"
_PATH = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_REFERENCE = re.compile(
    rf"(?P<host>{_HOST})/(?P<path>{_PATH}(?:/{_PATH})*):(?P<tag>\w[\w.-]{{0,127}})", re.ASCII
)


@dataclass(frozen=True, slots=True)
class ImageReference:
    """A reference taken apart. ``host`` includes the port where one is given."""

    host: str
    path: str
    tag: str

    @property
    def repository(self) -> str:
        """``host[:port]/path``, what a digest is appended to."""
        return f"{self.host}/{self.path}"

    @classmethod
    def parse(cls, text: str) -> ImageReference:
        """Takes ``host[:port]/repository:tag`` apart; ValueError says what is wrong with it."""
        if "@" in text:
            raise ValueError("write a tag, not a digest: the lock pins the digest")
        match = _REFERENCE.fullmatch(text)
        if match is None:
            raise ValueError(
                f"{text!r} is not host[:port]/repository:tag (the host and the tag are required)"
            )
        return cls(match["host"], match["path"], match["tag"])
