"""A folder of torch.distributed.checkpoint: tensors in chunks, as each process held them.

Each chunk is a small file of ``torch.save`` within a ``.distcp`` file; its own pickle is read to
find the bytes. See https://docs.pytorch.org/docs/stable/distributed.checkpoint.html.

Composer saves its shards like this, too: its state is flattened into names such as
``state.model.…``, with one item for each value of the config and the tokenizer inside.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from mbrelease.checkpoints.checkpoint import step_of
from mbrelease.checkpoints.composer import MODEL, batch_of, put_together
from mbrelease.checkpoints.dcp_metadata import Chunk, DcpMetadata, Keys, Sizes, read_metadata
from mbrelease.checkpoints.foreign import ForeignCheckpoint
from mbrelease.checkpoints.safe_pickle import printable
from mbrelease.checkpoints.safetensors_header import BYTES_PER_ELEMENT
from mbrelease.checkpoints.source import Segment, StoredTensor
from mbrelease.checkpoints.torch_file import UnreadableTensor, read_torch_file
from mbrelease.errors import UserError

FSDP_FOLDER = "pytorch_model_fsdp_0"
"""Where accelerate puts the shards of the model, within a Trainer's ``checkpoint-N``."""


def open_dcp(folder: Path) -> ForeignCheckpoint:
    """Find the model's tensors in ``folder``; no item of the optimizer is read.

    Config and tokenizer are those that Composer put inside, or else lie beside: in the folder or
    the one around it (for a Trainer's shards, in ``checkpoint-N`` or the run's folder).

    Raises:
        UserError: the folder is damaged or incomplete, has no config, or holds no model that
            transformers' ModernBERT can express.
        CheckFailed: the config ties a decoder that differs from the embeddings.
    """
    metadata = read_metadata(folder)
    # People know a Trainer's checkpoint by the folder around the shards.
    path = folder.parent if folder.name == FSDP_FOLDER else folder
    step = step_of(path)
    composers = any(keys[: len(MODEL)] == MODEL for keys in metadata.keys.values())
    prefix = ".".join((*MODEL, "")) if composers else ""
    return put_together(
        path,
        [name.removeprefix(prefix) for name in metadata.tensor_names if name.startswith(prefix)],
        lambda name: stored_tensor(metadata, prefix + name),
        _StateInItems(metadata),
        lambda: _StateInItems(read_metadata(folder)),
        step=batch_of(path) if step is None else step,
        folders=tuple(dict.fromkeys((folder, path, path.parent))),
    )


def stored_tensor(metadata: DcpMetadata, name: str) -> StoredTensor:
    """Where the elements of a tensor lie, in their order.

    Raises:
        UserError: an item is missing or no such tensor, or the chunks do not make the whole of it.
    """
    tensor = metadata.tensor(name)
    runs: list[tuple[int, Segment]] = []
    for chunk in tensor.chunks:
        value = read_torch_file(
            chunk.item.path, start=chunk.item.start, size_bytes=chunk.item.size_bytes
        )
        if isinstance(value, UnreadableTensor):
            raise UserError(f"{metadata.folder}: '{printable(name)}' is unreadable: {value.reason}")
        if not isinstance(value, StoredTensor) or (value.dtype, value.shape) != (
            tensor.dtype,
            chunk.sizes,
        ):
            raise metadata.damaged(f"another tensor lies where a part of '{printable(name)}' is")
        runs.extend(_runs(tensor.shape, chunk, value))
    runs.sort(key=lambda run: run[0])
    position = 0
    for start, segment in runs:
        if start != position:
            fault = "overlap" if start < position else "leave a gap"
            raise metadata.damaged(f"the chunks of '{printable(name)}' {fault}")
        position += segment.size_bytes // BYTES_PER_ELEMENT[tensor.dtype]
    if position != math.prod(tensor.shape):
        raise metadata.damaged(f"the chunks of '{printable(name)}' leave a gap")
    return StoredTensor(tensor.dtype, tensor.shape, tuple(segment for _, segment in runs))


def _runs(shape: Sizes, chunk: Chunk, value: StoredTensor) -> Iterator[tuple[int, Segment]]:
    """The pieces of a chunk that are in one piece in the tensor, too, with their first element.

    The last dimensions, as far as the chunk has them whole, and the one before them make a piece.
    """
    if len(chunk.sizes) != len(shape) or math.prod(chunk.sizes) == 0:
        return
    axis = len(shape)
    while axis and chunk.sizes[axis - 1] == shape[axis - 1]:
        axis -= 1
    axis = max(axis - 1, 0)
    strides = [math.prod(shape[i + 1 :]) for i in range(len(shape))]
    first = sum(at * stride for at, stride in zip(chunk.offsets, strides, strict=True))
    size_bytes = math.prod(chunk.sizes[axis:]) * BYTES_PER_ELEMENT[value.dtype]
    (whole,) = value.segments
    for number, steps in enumerate(itertools.product(*map(range, chunk.sizes[:axis]))):
        start = first + sum(n * stride for n, stride in zip(steps, strides, strict=False))
        yield start, Segment(whole.path, whole.start + number * size_bytes, size_bytes)


class _StateInItems:
    """Composer's state, which torch flattens into an item for each value.

    PyTorch before 2.4 kept a dict without tensors as one; an empty dict was lost ever since.
    """

    def __init__(self, metadata: DcpMetadata) -> None:
        self._metadata = metadata
        tensors = set(metadata.tensor_names)
        self._values = {keys: name for name, keys in metadata.keys.items() if name not in tensors}
        self._read = functools.cache(self._value)

    def at(self, keys: Keys) -> Any:
        for length in range(len(keys) + 1):
            if keys[:length] in self._values:
                return _descend(self._read(keys[:length]), keys[length:])
        return _nested({below[len(keys) :]: self._read(below) for below in self._below(keys)})

    def children(self, keys: Keys) -> list[str]:
        found = [below[len(keys)] for below in self._below(keys)] or self.at(keys)
        names = found if isinstance(found, list | dict) else ()
        return list(dict.fromkeys(name for name in names if isinstance(name, str)))

    def _below(self, keys: Keys) -> list[Keys]:
        size = len(keys)
        return [other for other in self._values if len(other) > size and other[:size] == keys]

    def _value(self, keys: Keys) -> Any:
        item = self._metadata.item(self._values[keys])
        return read_torch_file(item.path, start=item.start, size_bytes=item.size_bytes)


def _descend(content: Any, keys: Keys) -> Any:
    for key in keys:
        content = content.get(key) if isinstance(content, dict) else None
    return content


def _nested(values: Mapping[Keys, Any]) -> Any:
    """The dicts and lists that were flattened into ``values``; ``None`` if there are none."""
    if not values:
        return None
    root: dict[str | int, Any] = {}
    lists: list[tuple[dict[str | int, Any], str | int]] = []
    for keys, value in values.items():
        node = root
        for key, following in itertools.pairwise(keys):
            if key not in node:
                node[key] = {}
                if isinstance(following, int):
                    lists.append((node, key))
            if not isinstance(node[key], dict):
                break
            node = node[key]
        else:
            node[keys[-1]] = value
    for node, key in reversed(lists):
        items = node[key]
        if isinstance(items, dict) and all(isinstance(number, int) for number in items):
            node[key] = [items[number] for number in sorted(items)]
    return root
