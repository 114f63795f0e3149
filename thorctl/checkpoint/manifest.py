"""``thorctl-manifest.json``: a checkpoint's source, method, and files with their hashes."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from pydantic import Field

from thorctl.checkpoint import copying
from thorctl.checkpoint.headers import damaged
from thorctl.files import schema
from thorctl.files.limits import read_text
from thorctl.release.lock import LockedFile, Sha256

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

NAME = "thorctl-manifest.json"


class Origin(schema.Model):
    """The source checkpoint."""

    name: str
    files: dict[str, Sha256] = Field(description="Path to SHA-256, as read.")


class Manifest(schema.Model):
    """The manifest of a generated checkpoint. Deterministic, so it has no time stamps."""

    schema_: int = Field(default=1, alias="schema")
    name: str
    made_by: str = Field(description="The command.")
    origin: Origin
    figures: dict[str, float | int]
    tools: dict[str, str] = Field(default={}, description="Versions that the bytes depend on.")
    files: tuple[LockedFile, ...] = Field(
        description="Sorted by path; the manifest itself is not among them."
    )

    def text(self) -> str:
        """Return the file's content."""
        return json.dumps(self.model_dump(mode="json"), indent=2, ensure_ascii=False) + "\n"


def load(folder: Path) -> Manifest | None:
    """Return the manifest of a checkpoint; None if there is none."""
    path = folder / NAME
    return Manifest.model_validate_json(read_text(path)) if path.is_file() else None


def require_intact(folder: Path, manifest: Manifest, told: Callable[[str], None] = lambda _: None) -> None:
    """Verify that every file of the manifest exists with its size and hash.

    Raises:
        ThorError: ``checkpoint_damaged``.
    """
    for file in manifest.files:
        told(f"checking {file.path}")
        path = folder / file.path
        if not path.is_file():
            raise damaged(file.path, f"is in {NAME}, but not in {folder}")
        if path.stat().st_size != file.size or copying.sha256(path, lambda _: None) != file.sha256:
            raise damaged(file.path, f"is not the file that {NAME} names")


def document(manifest: Manifest) -> dict[str, Any]:
    """Return plain JSON data."""
    return manifest.model_dump(mode="json")
