"""NVFP4 numbers: two FP4 (E2M1) weights per byte, an FP8 (E4M3) scale per 16, one FP32 scale per matrix.

A weight is ``fp4 * weight_scale / weight_global_scale`` (compressed-tensors `nvfp4-pack-quantized`; low
nibble first).
"""

from __future__ import annotations

import ml_dtypes
import numpy as np
import numpy.typing as npt

Bytes = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float64]

GROUP = 16
E4M3_MAX = 448.0
E2M1 = np.array([0, 0.5, 1, 1.5, 2, 3, 4, 6, -0.0, -0.5, -1, -1.5, -2, -3, -4, -6])
_SQUARES = np.array([[E2M1[byte & 15] ** 2 + E2M1[byte >> 4] ** 2] for byte in range(256)])[:, 0]


def scales(raw: bytes | Bytes) -> Floats:
    """Convert FP8 bytes to numbers, same length."""
    return np.frombuffer(raw, dtype=ml_dtypes.float8_e4m3fn).astype(np.float64)


def bf16(raw: bytes) -> Floats:
    """Convert BF16 numbers, flat."""
    return np.frombuffer(raw, dtype=ml_dtypes.bfloat16).astype(np.float64)


def to_e4m3(values: Floats) -> Bytes:
    """Round numbers to the nearest FP8, ties to even.

    Raises:
        ValueError: a number is negative, not finite or above 448, outside FP8's range.
    """
    if not np.all(np.isfinite(values)) or np.any(values < 0) or np.any(values > E4M3_MAX):
        raise ValueError("a block scale outside the range of FP8")
    rounded: Bytes = values.astype(np.float32).astype(ml_dtypes.float8_e4m3fn).view(np.uint8)
    return rounded


def block_squares(packed: bytes | Bytes) -> Floats:
    """Return the sum of squared FP4 values of each block of 16, in the order of the scales."""
    squares: Floats = _SQUARES[np.frombuffer(packed, dtype=np.uint8)].reshape(-1, GROUP // 2).sum(axis=1)
    return squares


def weights(packed: bytes | Bytes, block_scales: Floats, global_scale: float) -> Floats:
    """Return all weights, flat."""
    content = np.frombuffer(packed, dtype=np.uint8)
    values = np.empty(content.size * 2)
    values[0::2], values[1::2] = E2M1[content & 15], E2M1[content >> 4]
    return values * np.repeat(block_scales, GROUP) / global_scale
