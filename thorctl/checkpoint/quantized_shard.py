"""Write one file of a quantized checkpoint: group by group, each matrix decoded and the file read back."""

from __future__ import annotations

import hashlib
import math
import os
from typing import TYPE_CHECKING, Protocol

import numpy as np

from thorctl.checkpoint import headers, nvfp4
from thorctl.checkpoint.copying import CHUNK
from thorctl.checkpoint.modules import GLOBAL, PACKED, SCALE
from thorctl.checkpoint.reconcile import WeightError
from thorctl.checkpoint.scales import NUMBER
from thorctl.errors import ThorError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path
    from typing import Any, BinaryIO

    from thorctl.checkpoint.source import Source
    from thorctl.checkpoint.split import Matrix, Shard
    from thorctl.protocol.safetensors import Tensor

# NVFP4 has an error of 9.5 % for Gaussian weights and never this much: above it, the bytes are wrong.
MOST_ERROR = 0.5


class Quantizer(Protocol):
    """The interface of `llm_compressor.LlmCompressor`; here so that nothing else needs the extra."""

    tools: dict[str, str]

    def quantize(self, group: Sequence[Matrix], content: Sequence[bytes]) -> list[dict[str, bytes]]:
        """Return the parts of each matrix of a group, which share one global scale."""

    def configured(self, config: dict[str, Any]) -> str:
        """Return the text of a config.json with a quantization_config."""


def length(shard: Shard) -> int:
    """Return the bytes of the file."""
    beginning, places = headers.build(shard.rows)
    return max((tensor.end for tensor in places.values()), default=len(beginning))


def write(
    source: Source, shard: Shard, target: Path, quantizer: Quantizer, told: Callable[[int], None]
) -> tuple[str, WeightError]:
    """Write the file and sync it; return its SHA-256, and the error of its weights.

    Args:
        source: the BF16 checkpoint.
        shard: the content of the file.
        target: the file; overwritten.
        quantizer: computes the quantized matrices.
        told: called with the bytes of the source done.

    Raises:
        ThorError: ``checkpoint_damaged`` for weights that are not numbers, ``result_unverified``.
    """
    beginning, places = headers.build(shard.rows)
    target.parent.mkdir(parents=True, exist_ok=True)
    digests: dict[str, bytes] = {}
    error = WeightError()
    done = 0
    with target.open("wb") as file:
        file.write(beginning)
        for matrix in shard.kept:
            digests[matrix.name] = _copy(source, matrix, file, places[matrix.name])
            told(done := done + matrix.bytes)
        for group in shard.groups:
            content = [source.read(matrix.shard, matrix.start, matrix.bytes) for matrix in group]
            squares = [_square(matrix, raw) for matrix, raw in zip(group, content, strict=True)]
            made = quantizer.quantize(group, content)
            if len({parts[GLOBAL] for parts in made}) != 1:
                raise _unverified(f"{group[0].name} and its neighbours have different global scales")
            for matrix, raw, square, parts in zip(group, content, squares, made, strict=True):
                if matrix.shard != shard.path:
                    continue  # counted and written with its own file
                for part, found in parts.items():
                    name = f"{matrix.name}.{part}"
                    digests[name] = _put(file, places[name], found)
                error = error.plus(_error(matrix, raw, square, parts), square)
                told(done := done + matrix.bytes)
        file.flush()
        os.fsync(file.fileno())
    return _read_back(target, beginning, places, digests), error


def _copy(source: Source, matrix: Matrix, file: BinaryIO, place: Tensor) -> bytes:
    digest = hashlib.sha256()
    file.seek(place.start)
    for at in range(0, matrix.bytes, CHUNK):
        chunk = source.read(matrix.shard, matrix.start + at, min(CHUNK, matrix.bytes - at))
        file.write(chunk)
        digest.update(chunk)
    return digest.digest()


def _put(file: BinaryIO, place: Tensor, content: bytes) -> bytes:
    if len(content) != place.bytes:
        raise _unverified(f"{place.name} has {len(content)} bytes, not {place.bytes}")
    file.seek(place.start)
    file.write(content)
    return hashlib.sha256(content).digest()


def _read_back(path: Path, beginning: bytes, places: dict[str, Tensor], digests: dict[str, bytes]) -> str:
    """Verify that every tensor reads as written; return the file's SHA-256."""
    whole = hashlib.sha256(beginning)
    with path.open("rb") as file:
        if file.read(len(beginning)) != beginning:
            raise _unverified(f"the header of {path.name} differs from what was written")
        for name, place in places.items():
            digest = hashlib.sha256()
            left = place.bytes
            while left:
                chunk = file.read(min(CHUNK, left))
                if not chunk:
                    raise _unverified(f"{path.name} ends in {name}")
                digest.update(chunk)
                whole.update(chunk)
                left -= len(chunk)
            if digest.digest() != digests[name]:
                raise _unverified(f"{name} differs from what was written")
    return whole.hexdigest()


def _square(matrix: Matrix, raw: bytes) -> float:
    values = nvfp4.bf16(raw)
    square = float(np.dot(values, values))
    if not math.isfinite(square):
        raise headers.damaged(matrix.shard, f"has weights in {matrix.name} that are not finite numbers")
    return square


def _error(matrix: Matrix, raw: bytes, square: float, parts: dict[str, bytes]) -> float:
    """Return the squared error of the matrix, decoded by our own arithmetic and not the quantizer's."""
    (scale,) = NUMBER.unpack(parts[GLOBAL])
    difference = nvfp4.weights(parts[PACKED], nvfp4.scales(parts[SCALE]), scale) - nvfp4.bf16(raw)
    error = float(np.dot(difference, difference))
    if not error <= MOST_ERROR**2 * square:  # not so for NaN either
        raise _unverified(f"{matrix.name} differs too much from its source")
    return error


def _unverified(what: str) -> ThorError:
    return ThorError(
        "result_unverified",
        f"{what[0].upper()}{what[1:]}.",
        "Check the machine's disk and memory, compare the quantizer's version with the manifest of a "
        "good run, then start again.",
    )
