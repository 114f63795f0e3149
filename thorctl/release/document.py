"""The release document: profile + lock + device class + rendered files, immutable, named by its content."""

from __future__ import annotations

import hashlib
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, StringConstraints, ValidationError, model_validator

from thorctl.errors import ThorError
from thorctl.files import schema
from thorctl.files.limits import read_text
from thorctl.protocol import canonical_json
from thorctl.release.device_class import DeviceClass
from thorctl.release.lock import Lock
from thorctl.release.memory import Memory
from thorctl.release.profile import Profile

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Self

LAYOUT = 2  # schema of newly rendered releases
FileName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=64)]


class RenderedFile(schema.Model):
    """One file of ``/var/lib/thor/releases/<id>/``; ``@RELEASE_ID@`` in it is replaced by the id."""

    mode: Literal["0444"]
    content: str

    @property
    def sha256(self) -> str:
        """The SHA-256 of the content as rendered, with the placeholder."""
        return hashlib.sha256(self.content.encode()).hexdigest()


class Release(schema.Model):
    """A release as one document."""

    schema_: Literal[2] = Field(
        alias="schema",
        description="The engine's layout. Devices also read 1.",
    )
    id: str
    name: schema.Name
    profile: Profile
    lock: Lock
    device_class: DeviceClass
    options: dict[str, Any] = Field(
        description="Effective options of `vllm serve`, as in serve.yaml, without the model and the address."
    )
    memory: Memory | None = Field(description="The engine's memory; null if vLLM sizes its cache itself.")
    files: dict[FileName, RenderedFile]

    @model_validator(mode="after")
    def _id_is_the_hash(self) -> Self:
        expected = canonical_json.release_id(self.model_dump(mode="json"))
        if self.id != expected:
            raise ValueError(f"id is {self.id}, but its content makes {expected}")
        return self

    @cached_property
    def sha256(self) -> str:
        """The SHA-256 of the document: two releases with one id may differ in it."""
        return canonical_json.release_sha256(self.document())

    def document(self) -> dict[str, Any]:
        """Return the release as plain JSON data (docs/reference/interfaces.md)."""
        return self.model_dump(mode="json")

    def text(self) -> str:
        """Return ``release.json``: the canonical JSON and a newline."""
        return canonical_json.encode(self.document()).decode() + "\n"


def make(
    profile: Profile,
    lock: Lock,
    device_class: DeviceClass,
    *,
    options: dict[str, Any],
    memory: Memory | None,
    files: dict[str, RenderedFile],
) -> Release:
    """Combine the parts and name the result."""
    content: dict[str, Any] = {
        "schema": LAYOUT,
        "name": profile.name,
        "profile": profile.model_dump(mode="json"),
        "lock": lock.model_dump(mode="json"),
        "device_class": device_class.model_dump(mode="json"),
        "options": options,
        "memory": memory.model_dump(mode="json") if memory else None,
        "files": {name: file.model_dump(mode="json") for name, file in files.items()},
    }
    return Release.model_validate({**content, "id": canonical_json.release_id(content)})


def load(path: Path) -> Release:
    """Read a release document and verify its id.

    Raises:
        ThorError: ``file_unreadable`` or ``release_invalid``.
    """
    try:
        text = read_text(path)
    except (OSError, UnicodeDecodeError) as error:
        raise ThorError(
            "file_unreadable", f"{path}: {error}.", "Name a release.json written by `thorctl render`."
        ) from error
    try:
        return Release.model_validate_json(text)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise ThorError(
            "release_invalid",
            f"{path}: {where or 'the document'}: {first['msg'].removeprefix('Value error, ')}.",
            "Render it again: `thorctl render PROFILE --out DIR`. Releases are not edited by hand.",
        ) from error
