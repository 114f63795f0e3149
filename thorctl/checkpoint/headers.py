"""Parse the header of an untrusted safetensors file.

Format (github.com/huggingface/safetensors): eight bytes with the header's length, little-endian; a JSON
object, name to dtype, shape and data_offsets; then the tensors' bytes without holes or overlaps.
"""

from __future__ import annotations

import json
import math
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from thorctl.errors import ThorError

if TYPE_CHECKING:
    from collections.abc import Mapping

LENGTH = struct.Struct("<Q")
MAX_HEADER_BYTES = 32 << 20  # some 250,000 tensors; the format's own limit is 100 MB
BITS = {
    "BOOL": 8, "U8": 8, "I8": 8, "F8_E5M2": 8, "F8_E4M3": 8, "F8_E8M0": 8, "F4": 4, "I16": 16, "U16": 16,
    "F16": 16, "BF16": 16, "I32": 32, "U32": 32, "F32": 32, "F64": 64, "I64": 64, "U64": 64, "C64": 64,
    "F6_E2M3": 6, "F6_E3M2": 6, "F8_E5M2FNUZ": 8, "F8_E4M3FNUZ": 8,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Tensor:
    """The place of a tensor: ``start`` and ``end`` are bytes from the file's beginning."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    start: int
    end: int

    @property
    def bytes(self) -> int:
        """Its size on disk."""
        return self.end - self.start


def header_length(first: bytes, file_size: int, where: str) -> int:
    """Return the header's length, from the file's first eight bytes.

    Raises:
        ThorError: ``checkpoint_damaged``.
    """
    if len(first) < LENGTH.size:
        raise damaged(where, f"has {len(first)} bytes: it is not a safetensors file")
    (length,) = LENGTH.unpack(first[: LENGTH.size])
    if not 2 <= length <= min(MAX_HEADER_BYTES, file_size - LENGTH.size):
        raise damaged(where, f"claims a header of {length} bytes, in a file of {file_size}")
    return int(length)


def parse(header: bytes, file_size: int, where: str) -> dict[str, Tensor]:
    """Return the tensors by name, in the order of their bytes.

    Args:
        header: the JSON after the first eight bytes, of the length by `header_length`.
        file_size: of the whole file.
        where: the file's name, for errors.

    Raises:
        ThorError: ``checkpoint_damaged`` for a file that is incomplete or has gaps.
    """
    try:
        document = json.loads(header, object_pairs_hook=_no_twins)
    except (ValueError, RecursionError) as error:
        raise damaged(where, f"has a header that is not JSON ({error})") from error
    if not isinstance(document, dict):
        raise damaged(where, "has a header that is not a JSON object")
    data = LENGTH.size + len(header)
    tensors = [_tensor(name, row, data, where) for name, row in document.items() if name != "__metadata__"]
    tensors.sort(key=lambda tensor: (tensor.start, tensor.end))
    expected = data
    for tensor in tensors:
        if tensor.start != expected:
            raise damaged(where, f"has a hole or an overlap before {tensor.name}")
        expected = tensor.end
    if expected != file_size:
        raise damaged(where, f"should have {expected} bytes by its header, but has {file_size}")
    return {tensor.name: tensor for tensor in tensors}


def build(rows: Mapping[str, tuple[str, tuple[int, ...]]]) -> tuple[bytes, dict[str, Tensor]]:
    """Return the beginning of a file with these tensors (name to dtype and shape), and their places.

    The order is that of the format's own writer: wide types first, so that all are aligned; then by name.
    """
    order = sorted(rows, key=lambda name: (-BITS[rows[name][0]], name))
    document: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    at = 0
    for name in order:
        dtype, shape = rows[name]
        end = at + math.prod(shape) * BITS[dtype] // 8
        document[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [at, end]}
        at = end
    text = json.dumps(document, separators=(",", ":")).encode()
    text += b" " * (-len(text) % LENGTH.size)
    return LENGTH.pack(len(text)) + text, parse(text, LENGTH.size + len(text) + at, "header")


def damaged(where: str, what: str) -> ThorError:
    """Return the error for a damaged file."""
    return ThorError(
        "checkpoint_damaged",
        f"{where} {what}.",
        "Download it again and compare its SHA-256 with the hub's: the download may have been interrupted.",
    )


def _tensor(name: str, row: Any, data: int, where: str) -> Tensor:
    try:
        dtype, shape, (start, end) = row["dtype"], row["shape"], row["data_offsets"]
        numbers, bits = [*shape, start, end], BITS[dtype]
    except (KeyError, TypeError, ValueError) as error:
        raise damaged(where, f"has a malformed entry for {name!r} ({error})") from error
    if not all(type(number) is int and number >= 0 for number in numbers):
        raise damaged(where, f"has a shape or offsets of {name!r} that are not natural numbers")
    if math.prod(shape) * bits != (end - start) * 8:
        raise damaged(where, f"has {end - start} bytes for {name}, {dtype} {list(shape)}")
    return Tensor(name, dtype, tuple(shape), data + start, data + end)


def _no_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name occurs twice")
    return found
