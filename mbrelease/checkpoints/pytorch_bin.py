"""A folder with ``pytorch_model.bin``, in one file or in shards, as transformers saved it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mbrelease.checkpoints.foreign import ForeignCheckpoint
from mbrelease.checkpoints.safe_pickle import Opaque, printable
from mbrelease.checkpoints.source import StoredTensor
from mbrelease.checkpoints.tied import drop_tied
from mbrelease.checkpoints.torch_file import UnreadableTensor, as_weights, read_torch_file
from mbrelease.errors import UserError
from mbrelease.files import read_json

BIN_FILE = "pytorch_model.bin"
BIN_INDEX = "pytorch_model.bin.index.json"
WRAPPERS = ("state_dict", "model")
"""Under which some trainers put the weights, beside other things."""


def open_bin(folder: Path, step: int | None) -> ForeignCheckpoint:
    """Find the tensors in the .bin files of ``folder``; no others are opened.

    Raises:
        UserError: no config.json, no weights, a shard is missing, or a file is damaged.
        CheckFailed: the config ties a decoder that differs from the embeddings.
    """
    if not (folder / "config.json").is_file():
        raise UserError(
            f"no config.json in {folder}", mend=f"give a folder with config.json and {BIN_FILE}"
        )
    checkpoint = ForeignCheckpoint(
        path=folder, step=step, tensors=_tensors(folder), companions={}, folders=(folder,)
    )
    tensors = drop_tied(checkpoint.tensors, checkpoint.config.tie_word_embeddings, folder)
    return dataclasses.replace(checkpoint, tensors=tensors)


def _tensors(folder: Path) -> dict[str, StoredTensor]:
    if (folder / BIN_FILE).is_file():
        return _state_dict(folder / BIN_FILE)
    index = folder / BIN_INDEX
    if not index.is_file():
        raise UserError(
            f"no {BIN_FILE} in {folder}",
            mend="save the model as safetensors: model.save_pretrained(folder)",
        )
    weight_map = _weight_map(index)
    tensors: dict[str, StoredTensor] = {}
    for shard in sorted(set(weight_map.values())):
        found = _state_dict(folder / shard)
        if twice := sorted(found.keys() & tensors.keys()):
            raise UserError(f"{folder / shard}: '{printable(twice[0])}' is in another shard, too")
        tensors |= found
    if lost := sorted(weight_map.keys() - tensors.keys()):
        raise UserError(f"{index} lists '{printable(lost[0])}', which is in none of the shards")
    return tensors


def _weight_map(index: Path) -> Mapping[str, str]:
    """The shard of each tensor; all shards are there, beside the index."""
    content = read_json(index)
    weight_map = content.get("weight_map") if isinstance(content, dict) else None
    if not isinstance(weight_map, dict) or not weight_map:
        raise UserError(f"{index}: no weight_map")
    shards = sorted(set(map(str, weight_map.values())))
    missing = [s for s in shards if s != Path(s).name or not (index.parent / s).is_file()]
    if missing:
        names = printable(", ".join(missing))
        raise UserError(f"{index} lists {names}, which is missing from {index.parent}")
    return {name: str(shard) for name, shard in weight_map.items()}


def _state_dict(path: Path) -> dict[str, StoredTensor]:
    """The weights of one file, which may be wrapped once."""
    content = read_torch_file(path)
    if isinstance(content, dict) and not any(map(_is_tensor, content.values())):
        wrapped = [content[key] for key in WRAPPERS if isinstance(content.get(key), dict)]
        content = wrapped[0] if len(wrapped) == 1 else None
    if not isinstance(content, dict):
        what = f"a {content}" if isinstance(content, Opaque) else "something else"
        raise UserError(
            f"{path} holds {what}, not a state dict",
            mend="torch.save(model.state_dict(), path) writes one",
        )
    return as_weights(content, path)


def _is_tensor(value: Any) -> bool:
    return isinstance(value, StoredTensor | UnreadableTensor)
