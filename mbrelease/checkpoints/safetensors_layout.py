"""Where each tensor goes in a safetensors file that is about to be written."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from mbrelease.checkpoints.safetensors_header import BYTES_PER_ELEMENT


@dataclass(frozen=True)
class TensorSpec:
    """A tensor without its values."""

    dtype: str
    shape: tuple[int, ...]

    @property
    def size_bytes(self) -> int:
        """The number of bytes of all elements."""
        return math.prod(self.shape) * BYTES_PER_ELEMENT[self.dtype]


@dataclass(frozen=True)
class Layout:
    """The bytes before the data, and where each tensor begins, from the start of the file."""

    header: bytes
    starts: Mapping[str, int]
    size_bytes: int
    """Of the whole file."""


def canonical_order(tensors: Mapping[str, TensorSpec]) -> list[str]:
    """The names in the order of their bytes: widest dtype first, then by name.

    The reference implementation lays files out like this: every tensor is aligned to its width.
    """
    return sorted(tensors, key=lambda name: (-BYTES_PER_ELEMENT[tensors[name].dtype], name))


def lay_out(tensors: Mapping[str, TensorSpec], metadata: Mapping[str, str]) -> Layout:
    """The layout of one file; metadata of the same length give the same starts."""
    content: dict[str, object] = {"__metadata__": dict(sorted(metadata.items()))}
    offsets: dict[str, int] = {}
    position = 0
    for name in canonical_order(tensors):
        spec = tensors[name]
        end = position + spec.size_bytes
        content[name] = {
            "dtype": spec.dtype,
            "shape": list(spec.shape),
            "data_offsets": [position, end],
        }
        offsets[name] = position
        position = end
    text = json.dumps(content, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    header = len(text).to_bytes(8, "little") + text
    starts = {name: len(header) + offset for name, offset in offsets.items()}
    return Layout(header, starts, len(header) + position)


def split_into_shards(
    tensors: Mapping[str, TensorSpec], max_bytes: int | None
) -> list[dict[str, TensorSpec]]:
    """The tensors file by file, by name, no file larger than ``max_bytes`` if it can be helped.

    A tensor larger than that gets a file of its own.
    """
    if max_bytes is None:
        return [dict(tensors)]
    shards: list[dict[str, TensorSpec]] = []
    room = 0
    for name in sorted(tensors):
        size = tensors[name].size_bytes
        if not shards or size > room:
            shards.append({})
            room = max_bytes
        shards[-1][name] = tensors[name]
        room -= size
    return shards


def total_bytes(tensors: Iterable[TensorSpec]) -> int:
    """The number of bytes of several tensors."""
    return sum(spec.size_bytes for spec in tensors)
