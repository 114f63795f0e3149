"""What an image is made of, as files of the checkout, and the tag that follows from them."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Literal, get_args

Kind = Literal["base", "cpu-vllm", "sim-origin", "sim-device"]
KINDS: tuple[Kind, ...] = get_args(Kind)
ROOT = Path(__file__).resolve().parents[2] / "images"
# Raise it when thorctl/sim builds something else from the same files.
RECIPE = 3
_NOT_INPUTS = {"README.md", "requirements.in"}  # read by people; the lock made from the latter is the input
_TAG_HEX = 12


def parent_of(kind: Kind) -> Kind | None:
    """The image that this one is built on."""
    return None if kind == "base" else "base"


def directory(kind: Kind) -> Path:
    """``images/<kind>``."""
    return ROOT / kind


def files_of(kind: Kind) -> dict[str, Path]:
    """Build inputs by their path relative to the image's directory, sorted."""
    root = directory(kind)
    found = {
        path.relative_to(root).as_posix(): path
        for path in sorted(root.rglob("*"))
        if (path.is_file() or path.is_symlink()) and "__pycache__" not in path.parts
    }
    return {name: path for name, path in found.items() if name not in _NOT_INPUTS}


def tag_of(kind: Kind) -> str:
    """``thorctl/<kind>:<12 hex>``, the SHA-256 over its files, their executable bits and its parent's tag."""
    digest = hashlib.sha256(f"recipe {RECIPE}\n".encode())
    parent = parent_of(kind)
    digest.update(f"parent {tag_of(parent) if parent else None}\n".encode())
    for name, path in files_of(kind).items():
        digest.update(f"{name} {content(path)}\n".encode())
    return f"thorctl/{kind}:{digest.hexdigest()[:_TAG_HEX]}"


def words(text: str) -> list[str]:
    """The entries of a packages file: one a line, ``#`` starts a comment."""
    return [word for line in text.splitlines() for word in line.partition("#")[0].split()]


def packages_of(kind: Kind) -> list[str]:
    """Debian packages of ``packages.txt``; none where there is no such file."""
    file = directory(kind) / "packages.txt"
    return words(file.read_text()) if file.is_file() else []


def content(path: Path) -> str:
    """What of a file counts: its bytes and its executable bit, or where a link leads."""
    if path.is_symlink():
        return f"link {path.readlink()}"
    executable = bool(path.stat().st_mode & 0o100)
    return f"{'x' if executable else '-'} {hashlib.sha256(path.read_bytes()).hexdigest()}"
