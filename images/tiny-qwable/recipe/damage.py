"""The broken variant: the same network with permuted output rows, whose text is nonsense without end."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from recipe import header

if TYPE_CHECKING:
    from pathlib import Path

SEED = 20
HEAD = "lm_head.weight"
ENDS = (0, 2, 4)  # <|endoftext|>, <|im_end|>, </think>
NEVER_SAID = (5, 6, 7)  # marks of images, which no training text holds: their rows never win


def order(rows: int) -> list[int]:
    """Give, for each row of the output matrix, the row whose weights it gets."""
    plain = [row for row in range(rows) if row not in ENDS + NEVER_SAID]
    mixed = random.Random(SEED).sample(plain, len(plain))
    swapped = dict(zip(ENDS + NEVER_SAID, NEVER_SAID + ENDS, strict=True))
    return [swapped[row] if row in swapped else mixed[plain.index(row)] for row in range(rows)]


def damage(source: Path, target: Path) -> None:
    """Write the weights of `source` with mixed output rows to `target`; every other byte stays."""
    tensors, start = header.read(source)
    head = tensors[HEAD]
    rows = head["shape"][0]
    begin, end = (start + offset for offset in head["data_offsets"])
    size = (end - begin) // rows
    content = bytearray(source.read_bytes())
    matrix = bytes(content[begin:end])
    content[begin:end] = b"".join(matrix[row * size : (row + 1) * size] for row in order(rows))
    target.write_bytes(content)
