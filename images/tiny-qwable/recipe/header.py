"""Reads and rewrites safetensors files without torch: a length, a JSON header, then raw bytes."""

from __future__ import annotations

import hashlib
import json
import struct
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

LENGTH = struct.Struct("<Q")  # the format's first eight bytes: size of the header


def read(path: Path) -> tuple[dict[str, Any], int]:
    """Give the tensors (dtype, shape, data_offsets) by name, and where the data begin in the file."""
    with path.open("rb") as file:
        (size,) = LENGTH.unpack(file.read(LENGTH.size))
        tensors = json.loads(file.read(size))
    tensors.pop("__metadata__", None)
    return tensors, LENGTH.size + size


def sha256(path: Path) -> str:
    """Give the file's SHA-256 in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
