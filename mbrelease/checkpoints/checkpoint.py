"""One checkpoint: a folder with config, tokenizer and safetensors weights."""

from __future__ import annotations

import functools
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from mbrelease.checkpoints.safetensors_header import SafetensorsHeader, TensorInfo, read_header
from mbrelease.checkpoints.source import HashStream, Segment, Source, StoredTensor, own_name
from mbrelease.errors import UserError
from mbrelease.file_hashes import file_sha256
from mbrelease.files import read_json, sha256_bytes, unreadable

SINGLE_FILE = "model.safetensors"
SHARD_INDEX = "model.safetensors.index.json"
STEP_FOLDER = re.compile(r"^checkpoint-(\d+)$")
CONVERTIBLE = (
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
    ".metadata",
    "pytorch_model_fsdp_0/.metadata",
)
"""Which files tell of weights in a format that ``average`` and ``convert`` read, and others not."""


@dataclass(frozen=True, eq=False)
class Checkpoint(Source):
    """A checkpoint as transformers saves it: a folder with safetensors."""

    weight_files: tuple[Path, ...]

    @property
    def weights_sha256(self) -> str:
        """Of the files as they stand."""
        return combined_sha256({file.name: file_sha256(file) for file in self.weight_files})

    def companion(self, name: str) -> bytes | None:
        """The content of a file in the folder."""
        path = self.path / name
        if not path.is_file():
            return None
        try:
            return path.read_bytes()
        except OSError as error:
            raise unreadable(path, error) from error

    @functools.cached_property
    def headers(self) -> tuple[SafetensorsHeader, ...]:
        """The header of each weight file, checked."""
        return tuple(read_header(file) for file in self.weight_files)

    @property
    def tensors(self) -> dict[str, TensorInfo]:
        """All tensors over all files."""
        return {name: info for header in self.headers for name, info in header.tensors.items()}

    @functools.cached_property
    def stored(self) -> Mapping[str, StoredTensor]:
        """All tensors over all files, each in one piece.

        Raises:
            UserError: a tensor lies in two files, or the index lists one that lies in none.
        """
        _check_shards(self)
        return {
            name: StoredTensor(
                info.dtype, info.shape, (Segment(header.path, info.start, info.end - info.start),)
            )
            for header in self.headers
            for name, info in header.tensors.items()
        }

    @functools.cached_property
    def hash_streams(self) -> tuple[HashStream, ...]:
        """The weight files."""
        return tuple(
            HashStream(
                name=header.path.name,
                head=_head(header),
                tensors=tuple(header.tensors),
                files=(header.path,),
                kind="file",
            )
            for header in self.headers
        )


def open_checkpoint(path: Path) -> Checkpoint:
    """Find the weights in the folder ``path``; nothing but names is read.

    Raises:
        UserError: no such folder, no config.json, no safetensors, or a listed shard is missing.
    """
    if mend := how_to_convert(path):
        raise UserError(f"{path} holds weights, but no safetensors", mend=mend)
    if not path.is_dir():
        raise UserError(f"{path} is not a folder", mend="give the folder of a checkpoint")
    if not (path / "config.json").is_file():
        raise UserError(
            f"no config.json in {path}", mend="give a folder with config.json and model.safetensors"
        )
    return Checkpoint(path=path, step=step_of(path), weight_files=_weight_files(path))


def how_to_convert(path: Path) -> str | None:
    """The mend where ``path`` is a checkpoint in another format than safetensors."""
    if path.is_dir():
        is_foreign = not has_safetensors(path) and has_file(path, CONVERTIBLE)
    else:
        is_foreign = path.is_file() and path.suffix == ".pt"
    return f"mbrelease convert {path} -o FOLDER" if is_foreign else None


def has_safetensors(folder: Path) -> bool:
    """Whether there are the weights of a model in safetensors, in one file or with an index."""
    return has_file(folder, (SINGLE_FILE, SHARD_INDEX))


def has_file(folder: Path, names: Iterable[str]) -> bool:
    """Whether one of ``names`` is a file in ``folder``."""
    return any((folder / name).is_file() for name in names)


def step_of(path: Path) -> int | None:
    """The step in the folder's own name; of a link such as ``latest``, in that of its target."""
    for name in (own_name(path), path.resolve().name):
        if match := STEP_FOLDER.match(name):
            return int(match[1])
    return None


def combined_sha256(files: Mapping[str, str]) -> str:
    """The one sha256 by which weights are known, from the sha256 of each file by its name."""
    if len(files) == 1:
        return next(iter(files.values()))
    lines = [f"{digest}  {name}\n" for name, digest in sorted(files.items())]
    return sha256_bytes("".join(lines).encode())


def _head(header: SafetensorsHeader) -> bytes:
    try:
        with header.path.open("rb") as file:
            return file.read(header.data_start)
    except OSError as error:
        raise unreadable(header.path, error) from error


def _check_shards(checkpoint: Checkpoint) -> None:
    """Stop unless each tensor lies in one file, and all that the index lists do."""
    index = checkpoint.path / SHARD_INDEX
    if checkpoint.weight_files == (checkpoint.path / SINGLE_FILE,) or not index.is_file():
        return
    mend = "save the checkpoint again"
    count = Counter(name for header in checkpoint.headers for name in header.tensors)
    if twice := sorted(name for name, times in count.items() if times > 1):
        raise UserError(f"tensor {twice[0]} lies in several files of {checkpoint.path}", mend=mend)
    if lost := sorted(set(weight_map(index)) - count.keys()):
        raise UserError(f"{index} lists tensor {lost[0]}, which no file holds", mend=mend)


def _weight_files(path: Path) -> tuple[Path, ...]:
    if (path / SINGLE_FILE).is_file():
        return (path / SINGLE_FILE,)
    index = path / SHARD_INDEX
    if not index.is_file():
        raise UserError(
            f"no {SINGLE_FILE} in {path}",
            mend="save the model as safetensors: model.save_pretrained(folder)",
        )
    files = tuple(path / name for name in sorted(set(weight_map(index).values())))
    missing = [file.name for file in files if not file.is_file() or file.parent != path]
    if missing:
        raise UserError(f"{index} lists {', '.join(missing)}, which is missing from {path}")
    return files


def weight_map(index: Path) -> dict[str, str]:
    """The file of each tensor, as the index of shards has it.

    Raises:
        UserError: it is no such index.
    """
    content = read_json(index)
    listed = content.get("weight_map") if isinstance(content, dict) else None
    if not isinstance(listed, dict) or not listed:
        raise UserError(f"{index}: no weight_map")
    names = {str(name): str(file) for name, file in listed.items()}
    if strange := [text for pair in names.items() for text in pair if not text.isprintable()]:
        raise UserError(f"{index}: {strange[0]!r} is no name of a tensor or file")
    return names
