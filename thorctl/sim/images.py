"""Builds the images of the simulation, each once per content of its build inputs, without any registry.

An image directory ``images/<kind>/`` may hold

- ``Dockerfile``: built by the engine's own builder (no BuildKit); starts with ``ARG BASE`` and ``FROM ${BASE}``. It must not
  reach the network: what has to be fetched is named in the files below.
- ``packages.txt``: Debian packages, one per line, ``#`` comments; installed on the parent before the Dockerfile runs, with
  the host's own apt settings and CA bundle, neither of which stays in the image.
- ``layers/*.sh`` with ``requirements.lock``: steps run one after another on the parent, each committed as one layer, with the
  host's pip settings (images/cpu-vllm).

``base`` is the exception: a Debian 12 root file system made by mmdebstrap on the host.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:
    from docker import DockerClient

Kind = Literal["base", "cpu-vllm", "sim-origin", "sim-device"]
LABEL = "dev.thorctl.image"  # value: the kind


class Report(Protocol):
    """Told of each step: once with ``seconds=None`` when it begins, once with its duration when it is done."""

    def __call__(self, step: str, detail: str, seconds: float | None) -> None:
        """Show one line of progress; ``step`` is short and stable, such as ``build cpu-vllm``."""


@dataclass(frozen=True, slots=True)
class ImageTag:
    """A built image: ``name`` is ``thorctl/<kind>:<12 hex>``, ``id`` the engine's ``sha256:…``."""

    kind: Kind
    name: str
    id: str
    built: bool  # False: it was there already
    seconds: float


def tag_of(kind: Kind) -> str:
    """``thorctl/<kind>:<first 12 hex of the SHA-256 over its build inputs>``; reads the checkout only, asks no engine."""
    raise NotImplementedError(kind)


def ensure(client: DockerClient, kind: Kind, report: Report) -> ImageTag:
    """The image of this kind, built now if the engine lacks it (its parents too).

    Raises:
        ThorError: ``image_build_failed`` with the end of the build's output, or ``tool_missing`` (mmdebstrap).
    """
    raise NotImplementedError(client, kind, report)
