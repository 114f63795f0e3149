"""Build the images of the simulation, each once per content of its build inputs, without a registry.

An image's directory (``image_inputs.SOURCES``) may hold

- ``packages.txt`` and further lists: Debian packages, ``#`` comments; installed on the parent with the host's
  own apt settings and CA bundle, neither of which stays in the image.
- ``requirements.lock``: a Python environment, in the layers that ``prepare`` writes (image_python.py).
- ``Dockerfile``: comes last, built by the engine's own builder (no BuildKit); starts with ``ARG BASE`` and
  ``FROM ${BASE}``. It must not reach the network: what has to be fetched is named in the files above.

``debian-12`` and ``debian-13`` are the exception: root file systems made by mmdebstrap on the host.
"""

from __future__ import annotations

import fcntl
import secrets
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from docker.errors import BuildError, ImageNotFound

from thorctl import shipped
from thorctl.errors import ThorError
from thorctl.sim import image_base, image_packages, image_python
from thorctl.sim.build_container import step
from thorctl.sim.image_inputs import KINDS, SOURCES, Kind, directory, packages_of, tag_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from docker import DockerClient

__all__ = ["KINDS", "LABEL", "ImageTag", "Kind", "Report", "ensure", "tag_of"]

LABEL = "dev.thorctl.image"  # value: the kind
_DETAIL_WIDTH = 160
_LOCKS = shipped.local_folder()  # ignored by git


class Report(Protocol):
    """Report of each step: ``seconds=None`` while it runs, its duration at the end."""

    def __call__(self, step: str, detail: str, seconds: float | None) -> None:
        """Show one line of progress; ``step`` is short and stable, such as ``cpu-vllm packages``."""


@dataclass(frozen=True, slots=True)
class ImageTag:
    """A built image: ``name`` is ``thorctl/<kind>:<12 hex>``, ``id`` the engine's ``sha256:…``."""

    kind: Kind
    name: str
    id: str
    built: bool  # False: it existed already
    seconds: float


def ensure(client: DockerClient, kind: Kind, report: Report) -> ImageTag:
    """Return the image of this kind, built now if the engine lacks it (its parents too). Thread-safe.

    Raises:
        ThorError: ``image_build_failed`` with the end of the build's output, or ``tool_missing``.
    """
    name = tag_of(kind)
    started = time.monotonic()
    with _one_at_a_time(kind):
        found = _find(client, name)
        built = found is None
        if found is None:
            _build(client, kind, name, report)
            found = _find(client, name)
        if found is None:
            raise ThorError(
                "image_build_failed",
                f"The image {name} is missing after its build.",
                "Read the engine's log (`scripts/engine status`), then repeat the command.",
            )
        return ImageTag(kind, name, found, built, time.monotonic() - started)


@contextmanager
def _one_at_a_time(kind: Kind) -> Iterator[None]:
    _LOCKS.mkdir(parents=True, exist_ok=True)
    with (_LOCKS / f"build-{kind}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # between processes and threads: each opens the file itself
        yield


def _find(client: DockerClient, name: str) -> str | None:
    try:
        return client.images.get(name).id
    except ImageNotFound:
        return None


def _build(client: DockerClient, kind: Kind, name: str, report: Report) -> None:
    source = SOURCES[kind]
    labels: dict[str, str] = {LABEL: kind}
    if source.parent is None:
        with _timed(report, f"{kind} root file system") as on_line:
            image_base.build(client, name, source.suite, packages_of(kind), labels=labels, on_line=on_line)
        return
    parent = ensure(client, source.parent, report).name
    # A random name: a concurrent build from another checkout must not use its intermediate images.
    stem = f"thorctl/{kind}-build-{secrets.token_hex(4)}"
    steps: list[str] = []  # intermediate images: untagged at the end, their layers stay below the last
    if packages := packages_of(kind):
        with _timed(report, f"{kind} packages") as on_line, step(client, parent, on_line) as container:
            image_packages.install(container, packages, source.suite)
            container.commit(stem, "packages", labels)
        parent = f"{stem}:packages"
        steps.append(parent)
    if (directory(kind) / "requirements.lock").is_file():
        with _timed(report, f"{kind} Python environment") as on_line:
            layers = image_python.add_layers(
                client, parent, kind, repository=stem, labels=labels, on_line=on_line
            )
        parent = layers[-1]
        steps += layers
    with _timed(report, f"{kind} Dockerfile") as on_line:
        _docker_build(client, kind, parent, name, labels=labels, on_line=on_line)
    for intermediate in steps:
        client.images.remove(intermediate, noprune=True)


def _docker_build(
    client: DockerClient,
    kind: Kind,
    parent: str,
    name: str,
    *,
    labels: dict[str, str],
    on_line: Callable[[str], None],
) -> None:
    try:
        _, log = client.images.build(
            path=str(directory(kind)),
            tag=name,
            buildargs={"BASE": parent},
            labels=labels,
            rm=True,
            forcerm=True,
            nocache=True,
        )
        for entry in log:
            if isinstance(entry, dict) and str(entry.get("stream", "")).strip():
                on_line(str(entry["stream"]).strip())
    except BuildError as error:
        tail = [
            str(entry.get("stream", "")).rstrip() for entry in error.build_log if isinstance(entry, dict)
        ][-40:]
        raise ThorError(
            "image_build_failed",
            f"{directory(kind)}/Dockerfile: {error.msg}\n" + "\n".join(line for line in tail if line),
            "Correct what its last lines name, then repeat the command.",
        ) from error


@contextmanager
def _timed(report: Report, what: str) -> Iterator[Callable[[str], None]]:
    started = time.monotonic()
    report(what, "", None)
    yield lambda line: report(what, line.strip()[:_DETAIL_WIDTH], None)
    report(what, "", time.monotonic() - started)
