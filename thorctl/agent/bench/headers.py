"""Sizes of a checkpoint's tensors, from the headers of its safetensors files."""

from __future__ import annotations

import json
import struct
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

_LENGTH = struct.Struct("<Q")
_MAX_HEADER_BYTES = 100_000_000  # the format's own limit (github.com/huggingface/safetensors)


def tensor_bytes(files: Iterable[Path]) -> dict[str, int]:
    """Return tensor name → bytes, over all files.

    Raises:
        OSError: a file cannot be read.
        ValueError: a file is not safetensors, or two hold the same tensor.
    """
    found: dict[str, int] = {}
    for file in files:
        for name, size in _read(file).items():
            if name in found:
                raise ValueError(f"{file.name}: {name} is also in another file")
            found[name] = size
    return found


def _read(file: Path) -> dict[str, int]:
    with file.open("rb") as stream:
        first = stream.read(_LENGTH.size)
        length = _LENGTH.unpack(first)[0] if len(first) == _LENGTH.size else 0
        if not 2 <= length <= _MAX_HEADER_BYTES:
            raise ValueError(f"{file.name} is not a safetensors file")
        document: Any = json.loads(stream.read(length))
    try:
        return {
            name: int(row["data_offsets"][1]) - int(row["data_offsets"][0])
            for name, row in document.items()
            if name != "__metadata__"
        }
    except (AttributeError, TypeError, KeyError, IndexError) as broken:
        raise ValueError(f"{file.name}: its header is malformed ({broken})") from None
