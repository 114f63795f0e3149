"""A model hub as a tree of files; nginx serves it to unmodified hub clients (images/sim-origin).

    <root>/<repository>/resolve/<revision>/<path>         symbolic link to the content
    <root>/api/models/<repository>/revision/<revision>    JSON: commit and file list
    <root>/api/models/<repository>/tree/<revision>[.recursive]    JSON: files with sizes and hashes
    <root>/.content/<commit>/<etag>-<size>                the bytes

A branch is a symbolic link to its commit. nginx takes the headers that a client needs (ETag, size, commit)
from the resolved path of the content, so publishing requires no change of its configuration. All links are
relative, so the tree can be moved.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from thorctl.errors import ThorError
from thorctl.files import atomic

if TYPE_CHECKING:
    from collections.abc import Callable

CONTENT = ".content"
LFS_SUFFIXES = frozenset({".safetensors", ".bin", ".gguf", ".pt", ".pth", ".onnx", ".npz"})
LFS_MINIMUM_BYTES = 1 << 20  # a repository keeps smaller files in git, where only their git hash is known
LFS_POINTER_BYTES = 134  # approximate size of a pointer file, which clients only display
_REPOSITORY = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
_REVISION = re.compile(r"[A-Za-z0-9][\w.-]*")  # no slash: it is one segment of a URL
_CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class HubFile:
    """One file of a repository; ``git_sha1`` is git's hash of its content (a blob)."""

    path: str
    size: int
    sha256: str
    git_sha1: str

    @property
    def lfs(self) -> bool:
        """Whether a hub keeps it outside git, identified by its SHA-256."""
        return self.size >= LFS_MINIMUM_BYTES or Path(self.path).suffix in LFS_SUFFIXES

    @property
    def etag(self) -> str:
        """The ETag in a hub's answer."""
        return self.sha256 if self.lfs else self.git_sha1

    @property
    def stored(self) -> str:
        """The name of its content in the tree."""
        return f"{self.etag}-{self.size}"


def publish(
    root: Path,
    repository: str,
    source: Path,
    revision: str = "main",
    told: Callable[[str], None] = lambda _: None,
) -> str:
    """Add the files of ``source`` to the tree and point the branch ``revision`` to them. Idempotent.

    Args:
        root: the tree, created if missing.
        repository: ``owner/name``.
        source: the checkpoint's directory; hidden files and directories are left out.
        revision: branch or tag, without slashes.
        told: called with each step, as it begins.

    Returns:
        The commit: 40 hex digits, the SHA-1 over paths, sizes and SHA-256 of the files; the same bytes have
        the same commit everywhere.

    Raises:
        ThorError: ``hub_publish_failed`` for an invalid name, or if there is nothing to publish.
    """
    if not (_REPOSITORY.fullmatch(repository) and _REVISION.fullmatch(revision)):
        raise ThorError(
            "hub_publish_failed",
            f"{repository}@{revision} is not of the form OWNER/NAME@REVISION.",
            "Use a name of that form.",
        )
    files = scan(source, told)
    if not files:
        raise ThorError("hub_publish_failed", f"{source} has no files.", "Name the folder of a checkpoint.")
    commit = commit_of(files)
    resolve = root / repository / "resolve" / commit
    for file in files:
        content = root / CONTENT / commit / file.stored
        told(f"copying {file.path}")
        _copy(source / file.path, content)
        _link(resolve / file.path, content)
    api = root / "api" / "models" / repository
    _write(api / "tree" / f"{commit}.recursive", _entries(files))
    _write(api / "tree" / commit, _top_level(files))
    # Last: a client that sees the commit finds all its files.
    _write(api / "revision" / commit, _model_info(repository, commit, files))
    for place in (api / "tree", api / "revision", root / repository / "resolve"):
        _link(place / revision, place / commit)
    _link(api / "tree" / f"{revision}.recursive", api / "tree" / f"{commit}.recursive")
    return commit


def scan(source: Path, told: Callable[[str], None] = lambda _: None) -> list[HubFile]:
    """Return the files below ``source`` with their hashes, by path."""
    paths = sorted(path.relative_to(source) for path in source.rglob("*") if path.is_file())
    found = []
    for path in paths:
        if not any(part.startswith(".") for part in path.parts):
            told(f"hashing {path}")
            found.append(_hash(source, path))
    return found


def commit_of(files: list[HubFile]) -> str:
    """Return the commit of these files."""
    lines = "".join(f"{file.path}\0{file.size}\0{file.sha256}\n" for file in files)
    return hashlib.sha1(lines.encode(), usedforsecurity=False).hexdigest()


def _hash(source: Path, path: Path) -> HubFile:
    size = (source / path).stat().st_size
    sha256 = hashlib.sha256()
    git = hashlib.sha1(f"blob {size}\0".encode(), usedforsecurity=False)
    with (source / path).open("rb") as stream:
        while chunk := stream.read(_CHUNK):
            sha256.update(chunk)
            git.update(chunk)
    return HubFile(path.as_posix(), size, sha256.hexdigest(), git.hexdigest())


def _model_info(repository: str, commit: str, files: list[HubFile]) -> dict[str, Any]:
    siblings = []
    for file in files:
        lfs = (
            {"sha256": file.sha256, "size": file.size, "pointerSize": LFS_POINTER_BYTES} if file.lfs else None
        )
        siblings.append(
            {"rfilename": file.path, "size": file.size, "blobId": file.git_sha1} | _if_any("lfs", lfs)
        )
    return {
        "id": repository,
        "modelId": repository,
        "author": repository.partition("/")[0],
        "sha": commit,
        "private": False,
        "gated": False,
        "disabled": False,
        "tags": [],
        "downloads": 0,
        "likes": 0,
        "siblings": siblings,
    }


def _entries(files: list[HubFile]) -> list[dict[str, Any]]:
    entries = []
    for file in files:
        lfs = {"oid": file.sha256, "size": file.size, "pointerSize": LFS_POINTER_BYTES} if file.lfs else None
        entry = {"type": "file", "oid": file.git_sha1, "size": file.size, "path": file.path}
        entries.append(entry | _if_any("lfs", lfs))
    return entries


def _top_level(files: list[HubFile]) -> list[dict[str, Any]]:
    folders = sorted({file.path.partition("/")[0] for file in files if "/" in file.path})
    listed = [{"type": "directory", "oid": "0" * 40, "size": 0, "path": folder} for folder in folders]
    return [*listed, *_entries([file for file in files if "/" not in file.path])]


def _if_any(key: str, value: dict[str, Any] | None) -> dict[str, Any]:
    return {} if value is None else {key: value}


def _copy(source: Path, target: Path) -> None:
    if target.is_file() and target.stat().st_size == source.stat().st_size:
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f".{target.name}.part")
    shutil.copyfile(source, part)
    part.chmod(0o644)  # nginx reads it as another user
    part.replace(target)


def _write(path: Path, document: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    atomic.write(path, json.dumps(document, indent=1, sort_keys=True))


def _link(path: Path, target: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.part")
    part.unlink(missing_ok=True)
    part.symlink_to(os.path.relpath(target, path.parent))
    part.replace(path)
