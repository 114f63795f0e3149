"""Parse the header of an untrusted safetensors file.

Format (github.com/huggingface/safetensors): eight bytes with the header's length, little-endian; a JSON
object, name to dtype, shape and data_offsets; then the tensors' bytes without holes or overlaps.
"""

from __future__ import annotations

import json
import math
import struct
from typing import Any, NamedTuple

LENGTH = struct.Struct("<Q")
MAX_HEADER_BYTES = 32 << 20  # some 250,000 tensors; the format's own limit is 100 MB
BITS = {
    "BOOL": 8, "U8": 8, "I8": 8, "F8_E5M2": 8, "F8_E4M3": 8, "F8_E8M0": 8, "F4": 4, "I16": 16, "U16": 16,
    "F16": 16, "BF16": 16, "I32": 32, "U32": 32, "F32": 32, "F64": 64, "I64": 64, "U64": 64, "C64": 64,
    "F6_E2M3": 6, "F6_E3M2": 6, "F8_E5M2FNUZ": 8, "F8_E4M3FNUZ": 8,
}  # fmt: skip


class DamagedError(ValueError):
    """The file is not whole, or not of the format; the text follows the file's name."""


class Tensor(NamedTuple):
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


def header_length(first: bytes, file_size: int) -> int:
    """Return the header's length, from the file's first eight bytes.

    Raises:
        DamagedError: the file is none of the format.
    """
    if len(first) < LENGTH.size:
        raise DamagedError(f"has {len(first)} bytes: it is not a safetensors file")
    (length,) = LENGTH.unpack(first[: LENGTH.size])
    if not 2 <= length <= min(MAX_HEADER_BYTES, file_size - LENGTH.size):
        raise DamagedError(f"claims a header of {length} bytes, in a file of {file_size}")
    return int(length)


def parse(header: bytes, file_size: int) -> dict[str, Tensor]:
    """Return the tensors by name, in the order of their bytes.

    Args:
        header: the JSON after the first eight bytes, of the length by `header_length`.
        file_size: of the whole file.

    Raises:
        DamagedError: the file is incomplete or has gaps.
    """
    try:
        document = json.loads(header, object_pairs_hook=_no_twins)
    except (ValueError, RecursionError) as error:
        raise DamagedError(f"has a header that is not JSON ({error})") from error
    if not isinstance(document, dict):
        raise DamagedError("has a header that is not a JSON object")
    data = LENGTH.size + len(header)
    tensors = [_tensor(name, row, data) for name, row in document.items() if name != "__metadata__"]
    tensors.sort(key=lambda tensor: (tensor.start, tensor.end))
    expected = data
    for tensor in tensors:
        if tensor.start != expected:
            raise DamagedError(f"has a hole or an overlap before {tensor.name}")
        expected = tensor.end
    if expected != file_size:
        raise DamagedError(f"should have {expected} bytes by its header, but has {file_size}")
    return {tensor.name: tensor for tensor in tensors}


def _tensor(name: str, row: Any, data: int) -> Tensor:
    try:
        dtype, shape, (start, end) = row["dtype"], row["shape"], row["data_offsets"]
        numbers, bits = [*shape, start, end], BITS[dtype]
    except (KeyError, TypeError, ValueError) as error:
        raise DamagedError(f"has a malformed entry for {name!r} ({error})") from error
    if not all(type(number) is int and number >= 0 for number in numbers):
        raise DamagedError(f"has a shape or offsets of {name!r} that are not natural numbers")
    if math.prod(shape) * bits != (end - start) * 8:
        raise DamagedError(f"has {end - start} bytes for {name}, {dtype} {list(shape)}")
    return Tensor(name, dtype, tuple(shape), data + start, data + end)


def _no_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name occurs twice")
    return found
