"""Compute one global scale for matrices that the engine loads as one; the FP4 weights stay.

Of the possible scales of a group, the smallest stored one never overflows: block scales only shrink. Its own
matrix stays exact, the others are rounded once more to FP8 (by at most 1 part in 16, and exactly if the ratio
is a power of two). Each other stored scale, divided by the power of two that brings it to that limit or
below, is a candidate as well; the one with the least squared error over the group's weights is chosen. A
matrix of zeros takes any scale without loss, so its own is ignored.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from thorctl.checkpoint import nvfp4

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from thorctl.checkpoint.nvfp4 import Bytes, Floats


@dataclass(frozen=True, slots=True)
class Matrix:
    """One member: the FP8 scales of its blocks and squared FP4 values; its global scale."""

    block_scales: Floats
    block_squares: Floats
    global_scale: float

    @property
    def zero(self) -> bool:
        """Whether all its weights are zero; a block scale may then be NaN."""
        return not np.any(self.block_squares) or not np.any(self.block_scales)

    @property
    def square(self) -> float:
        """The squared Frobenius norm of its weights."""
        return self.error(self.block_scales, self.global_scale, as_zero=True)

    def error(self, block_scales: Floats, global_scale: float, *, as_zero: bool = False) -> float:
        """Return the squared error of its weights with these scales; ``as_zero``: their squared size."""
        if self.zero:
            return 0.0
        # With a NaN an engine reads zeros, or nothing useful.
        read = block_scales / global_scale if 0 < global_scale < math.inf else 0.0
        meant = 0.0 if as_zero else self.block_scales / self.global_scale
        return float(np.dot(self.block_squares, (read - meant) ** 2))


@dataclass(frozen=True, slots=True)
class Reconciled:
    """The group's new numbers: FP8 bytes per member, and the shared scale (a float32)."""

    block_scales: tuple[Bytes, ...]
    global_scale: float
    error: float  # squared, over all members, against the correct weights


def reconcile(members: Sequence[Matrix]) -> Reconciled:
    """Return the shared scale with the least error; see the module.

    Raises:
        ValueError: a non-zero matrix has a global scale, or a block scale, that is not a number.
    """
    if any(not 0 < member.global_scale < math.inf for member in members if not member.zero):
        raise ValueError("a global scale is not a positive number, though its weights are not zero")
    return min((_with(members, scale) for scale in candidates(members)), key=lambda found: found.error)


def candidates(members: Sequence[Matrix]) -> list[float]:
    """Return the candidates, each a float32 without overflow of a block scale; 1 if all matrices are zero."""
    members = [member for member in members if not member.zero]
    if not members:
        return [1.0]
    limit = min(member.global_scale for member in members)
    found = []
    for member in members:
        halvings = max(0, math.ceil(math.log2(member.global_scale / limit)))
        scale = float(np.float32(member.global_scale / 2.0**halvings))
        if scale <= limit and scale not in found:
            found.append(scale)
    return found


def _with(members: Sequence[Matrix], scale: float) -> Reconciled:
    made, error = [], 0.0
    for member in members:
        blocks = np.zeros_like(member.block_scales) if member.zero else member.block_scales
        factor = 1.0 if member.zero else scale / member.global_scale
        new = nvfp4.to_e4m3(blocks * factor)
        made.append(new)
        error += member.error(nvfp4.scales(new), scale)
    return Reconciled(tuple(made), scale, error)


@dataclass(frozen=True, slots=True)
class WeightError:
    """Relative Frobenius error against the correct weights; sums of squares, so that parts can be added."""

    squared_error: float = 0.0
    squared_weights: float = 0.0
    worst: float = 0.0  # of one group

    def plus(self, error: float, weights: float) -> WeightError:
        """Return the sum with one more group."""
        relative = math.sqrt(error / weights) if weights else 0.0
        return WeightError(
            self.squared_error + error, self.squared_weights + weights, max(self.worst, relative)
        )

    @property
    def relative(self) -> float:
        """The error over all groups."""
        return math.sqrt(self.squared_error / self.squared_weights) if self.squared_weights else 0.0


def total(errors: Iterable[WeightError]) -> WeightError:
    """Return the sum of all errors."""
    rows = list(errors)
    return WeightError(
        sum(row.squared_error for row in rows),
        sum(row.squared_weights for row in rows),
        max((row.worst for row in rows), default=0.0),
    )
