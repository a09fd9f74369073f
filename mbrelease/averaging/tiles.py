"""The work of an average cut into tiles, in the order in which the output is laid out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mbrelease.checkpoints.safetensors_header import BYTES_PER_ELEMENT
from mbrelease.checkpoints.safetensors_layout import (
    Layout,
    TensorSpec,
    canonical_order,
    lay_out,
    split_into_shards,
)

TILE_ELEMENTS = 1 << 16
"""Few enough that a tile and its sum stay in the second-level cache."""


@dataclass(frozen=True)
class OutputFile:
    """A safetensors file to be written, with its tensors in the order of their bytes."""

    name: str
    tensors: Mapping[str, TensorSpec]
    metadata: Mapping[str, str]

    @property
    def layout(self) -> Layout:
        """Where everything goes."""
        return lay_out(self.tensors, self.metadata)


@dataclass(frozen=True)
class Tile:
    """A run of elements of one tensor."""

    number: int
    tensor: str
    dtype: str
    """Of the output."""
    first_element: int
    elements: int
    file: int
    """Index of the output file."""
    offset_bytes: int
    """Where the tile begins in it."""


def plan_files(
    tensors: Mapping[str, TensorSpec], metadata: Mapping[str, str], max_shard_bytes: int | None
) -> list[OutputFile]:
    """One file, or shards named as transformers names them."""
    shards = split_into_shards(tensors, max_shard_bytes)
    count = len(shards)
    return [
        OutputFile(
            "model.safetensors" if count == 1 else f"model-{number:05}-of-{count:05}.safetensors",
            shard,
            metadata,
        )
        for number, shard in enumerate(shards, 1)
    ]


def cut(files: Sequence[OutputFile], tile_elements: int = TILE_ELEMENTS) -> Iterator[Tile]:
    """All tiles of all files, in order."""
    number = 0
    for index, file in enumerate(files):
        starts = file.layout.starts
        for name in canonical_order(file.tensors):
            spec = file.tensors[name]
            width = BYTES_PER_ELEMENT[spec.dtype]
            total = spec.size_bytes // width
            for first in range(0, total, tile_elements):
                elements = min(tile_elements, total - first)
                place = starts[name] + first * width
                yield Tile(number, name, spec.dtype, first, elements, index, place)
                number += 1


def tensor_order(files: Sequence[OutputFile]) -> list[str]:
    """The tensors in the order in which ``cut`` visits them."""
    return [name for file in files for name in canonical_order(file.tensors)]


def paths(files: Sequence[OutputFile], folder: Path) -> list[Path]:
    """Where the files lie in ``folder``."""
    return [folder / file.name for file in files]
