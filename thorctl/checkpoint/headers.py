"""Headers of a checkpoint's safetensors files: ``protocol.safetensors``, with errors that name the file."""

from __future__ import annotations

import json
import math
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from thorctl.errors import ThorError
from thorctl.protocol import safetensors
from thorctl.protocol.safetensors import BITS, LENGTH, DamagedError, Tensor

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


def header_length(first: bytes, file_size: int, where: str) -> int:
    """Return the header's length, from the first eight bytes of the file ``where``.

    Raises:
        ThorError: ``checkpoint_damaged``.
    """
    with _named(where):
        return safetensors.header_length(first, file_size)


def parse(header: bytes, file_size: int, where: str) -> dict[str, Tensor]:
    """Return the tensors of the file ``where`` by name, in the order of their bytes.

    Raises:
        ThorError: ``checkpoint_damaged`` for a file that is incomplete or has gaps.
    """
    with _named(where):
        return safetensors.parse(header, file_size)


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


@contextmanager
def _named(where: str) -> Iterator[None]:
    try:
        yield
    except DamagedError as error:
        raise damaged(where, str(error)) from error
