"""Tensor bytes to float64 and back, rounded once, to the nearest, ties to even."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Float64s = npt.NDArray[np.float64]

# bfloat16 is not a NumPy type: it is read as its 16 bits.
STORED = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2"}
FLOATING = frozenset(STORED)


def decode(data: memoryview, dtype: str) -> npt.NDArray[Any]:
    """The values in ``data``, exactly, in a NumPy floating type no wider than needed."""
    values = np.frombuffer(data, dtype=STORED[dtype])
    if dtype == "BF16":
        return (values.astype(np.uint32) << np.uint32(16)).view(np.float32)
    return values


def encode(values: Float64s, dtype: str) -> npt.NDArray[Any]:
    """``values`` in the stored form of ``dtype``, each rounded once to the nearest (ties to even).

    The values must be finite. NumPy's own conversions to float32 and float16 round once; bfloat16
    is done here.
    """
    if dtype == "BF16":
        return _to_bfloat16(values)
    return values.astype(STORED[dtype])


def _to_bfloat16(values: Float64s) -> npt.NDArray[np.uint16]:
    """The high halves of float32, without rounding twice.

    float64 → float32 → bfloat16 goes wrong only where the float32 lies exactly halfway between
    two bfloat16 and was itself rounded: there the lost side decides, so it is put back as the
    lowest bit before the second rounding.
    """
    singles = values.astype(np.float32)
    bits = singles.view(np.uint32)
    halfway = np.flatnonzero((bits & np.uint32(0xFFFF)) == np.uint32(0x8000))
    if halfway.size:
        exact, rounded = np.abs(values[halfway]), np.abs(singles[halfway].astype(np.float64))
        bits[halfway] += (exact > rounded).astype(np.uint32)
        bits[halfway] -= (exact < rounded).astype(np.uint32)
    even = (bits >> np.uint32(16)) & np.uint32(1)
    return ((bits + np.uint32(0x7FFF) + even) >> np.uint32(16)).astype(np.uint16)
