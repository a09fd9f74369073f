"""A checkpoint that is no safetensors: tensors found at offsets in files that others wrote."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from mbrelease.checkpoints.checkpoint import SINGLE_FILE
from mbrelease.checkpoints.safetensors_layout import TensorSpec, canonical_order, lay_out
from mbrelease.checkpoints.source import HashStream, Source, StoredTensor, stream_sha256
from mbrelease.files import unreadable

CONVERTED_METADATA = {"format": "pt"}
"""What ``mbrelease convert`` writes into the file, and no more: the hash is the weights' alone."""


@dataclass(frozen=True, eq=False)
class ForeignCheckpoint(Source):
    """PyTorch's own files. Its ``weights_sha256`` is that of the safetensors it converts to."""

    tensors: Mapping[str, StoredTensor]
    """By the name that transformers gives them; without optimizer state and tied copies."""
    companions: Mapping[str, bytes]
    """config.json and tokenizer files that were found inside; they go before those beside."""
    folders: tuple[Path, ...] = ()
    """Where else to look for companions, in this order."""

    @property
    def stored(self) -> Mapping[str, StoredTensor]:
        """Every tensor of the model."""
        return self.tensors

    @functools.cached_property
    def hash_streams(self) -> tuple[HashStream, ...]:
        """The safetensors file that this would be."""
        return (as_safetensors(self.tensors),)

    @property
    def weights_sha256(self) -> str:
        """Of the safetensors file that this would be."""
        return stream_sha256(self.hash_streams[0], self.tensors)

    def companion(self, name: str) -> bytes | None:
        """What was found inside, or else beside the weights."""
        if name in self.companions:
            return self.companions[name]
        for folder in self.folders:
            path = folder / name
            if path.is_file():
                try:
                    return path.read_bytes()
                except OSError as error:
                    raise unreadable(path, error) from error
        return None


def as_safetensors(tensors: Mapping[str, StoredTensor]) -> HashStream:
    """The bytes of the one safetensors file that holds ``tensors`` as they are."""
    specs = {name: TensorSpec(tensor.dtype, tensor.shape) for name, tensor in tensors.items()}
    files = {segment.path for tensor in tensors.values() for segment in tensor.segments}
    return HashStream(
        name=SINGLE_FILE,
        head=lay_out(specs, CONVERTED_METADATA).header,
        tensors=tuple(canonical_order(specs)),
        files=tuple(sorted(files)),
        kind="as-safetensors",
    )
