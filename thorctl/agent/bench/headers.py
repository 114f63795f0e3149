"""Sizes of a checkpoint's tensors, from the headers of its safetensors files."""

from __future__ import annotations

from typing import TYPE_CHECKING

from thorctl.protocol.safetensors import LENGTH, DamagedError, header_length, parse

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path


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
    size = file.stat().st_size
    with file.open("rb") as stream:
        try:
            length = header_length(stream.read(LENGTH.size), size)
            return {name: one.bytes for name, one in parse(stream.read(length), size).items()}
        except DamagedError as error:
            raise ValueError(f"{file.name} {error}") from None
