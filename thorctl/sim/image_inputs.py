"""The inputs of an image, as files of the checkout, and the tag computed from them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

from thorctl import shipped

if TYPE_CHECKING:
    from pathlib import Path

Docker = Literal["20.10", "26.1", "28.5"]
Kind = Literal[
    "debian-12",
    "debian-13",
    "cpu-vllm",
    "sim-origin",
    "sim-device-20.10",
    "sim-device-26.1",
    "sim-device-28.5",
]
KINDS: tuple[Kind, ...] = get_args(Kind)
DOCKERS: tuple[Docker, ...] = get_args(Docker)
ROOT = shipped.folder("images")
# Increase it when thorctl/sim builds something else from the same files.
RECIPE = 4


@dataclass(frozen=True, slots=True)
class Source:
    """The sources of an image.

    Attributes:
        folder: of ``images/``.
        suite: Debian's release of the image's packages.
        parent: the image below; None for a root file system made by mmdebstrap.
        packages: files of the folder that list packages; a missing one lists none.
    """

    folder: str
    suite: str
    parent: Kind | None = None
    packages: tuple[str, ...] = ("packages.txt",)


def _device(docker: Docker, suite: str, parent: Kind) -> Source:
    return Source("sim-device", suite, parent, ("packages.txt", f"docker-{docker}.txt"))


SOURCES: dict[Kind, Source] = {
    "debian-12": Source("base", "bookworm"),
    "debian-13": Source("base", "trixie"),
    "cpu-vllm": Source("cpu-vllm", "bookworm", "debian-12"),
    "sim-origin": Source("sim-origin", "bookworm", "debian-12"),
    "sim-device-20.10": _device("20.10", "bookworm", "debian-12"),
    "sim-device-26.1": _device("26.1", "trixie", "debian-13"),
    "sim-device-28.5": _device("28.5", "trixie", "debian-13"),
}
_NOT_INPUTS = {"README.md", "requirements.in"}  # for people; the lock compiled from the latter is an input
_TAG_HEX = 12


def device_kind(docker: Docker) -> Kind:
    """Return the image of a device with that release of Docker."""
    kinds: dict[Docker, Kind] = {
        "20.10": "sim-device-20.10",
        "26.1": "sim-device-26.1",
        "28.5": "sim-device-28.5",
    }
    return kinds[docker]


def directory(kind: Kind) -> Path:
    """Return ``images/<folder>``."""
    return ROOT / SOURCES[kind].folder


def files_of(kind: Kind) -> dict[str, Path]:
    """Return build inputs by their path relative to the image's directory, without other images' packages."""
    root = directory(kind)
    others = {name for source in SOURCES.values() for name in source.packages}
    left_out = _NOT_INPUTS | (others - set(SOURCES[kind].packages))
    found = {
        path.relative_to(root).as_posix(): path
        for path in sorted(root.rglob("*"))
        if (path.is_file() or path.is_symlink()) and "__pycache__" not in path.parts
    }
    return {name: path for name, path in found.items() if name not in left_out}


def tag_of(kind: Kind) -> str:
    """Return ``thorctl/<kind>:<12 hex>``: SHA-256 over files, executable bits and parent, else suite."""
    source = SOURCES[kind]
    digest = hashlib.sha256(f"recipe {RECIPE}\n".encode())
    digest.update(f"parent {tag_of(source.parent) if source.parent else source.suite}\n".encode())
    for name, path in files_of(kind).items():
        digest.update(f"{name} {content(path)}\n".encode())
    return f"thorctl/{kind}:{digest.hexdigest()[:_TAG_HEX]}"


def words(text: str) -> list[str]:
    """Return the entries of a packages file: one per line, ``#`` starts a comment."""
    return [word for line in text.splitlines() for word in line.partition("#")[0].split()]


def packages_of(kind: Kind) -> list[str]:
    """Return the Debian packages of the image's package files; [] without such a file."""
    files = [directory(kind) / name for name in SOURCES[kind].packages]
    return [word for file in files if file.is_file() for word in words(file.read_text())]


def content(path: Path) -> str:
    """Return what identifies a file: its bytes and its executable bit, or a link's target."""
    if path.is_symlink():
        return f"link {path.readlink()}"
    executable = bool(path.stat().st_mode & 0o100)
    return f"{'x' if executable else '-'} {hashlib.sha256(path.read_bytes()).hexdigest()}"
