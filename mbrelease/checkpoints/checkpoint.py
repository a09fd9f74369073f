"""One checkpoint: a folder with config, tokenizer and safetensors weights."""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mbrelease.checkpoints.config import ModernBertConfig, read_config
from mbrelease.checkpoints.safetensors_header import SafetensorsHeader, TensorInfo, read_header
from mbrelease.checkpoints.trainer_state import TrainerState, read_trainer_state
from mbrelease.errors import UserError
from mbrelease.files import read_json, sha256_bytes, sha256_file, unreadable

SINGLE_FILE = "model.safetensors"
SHARD_INDEX = "model.safetensors.index.json"
STEP_FOLDER = re.compile(r"^checkpoint-(\d+)$")


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint on disk. Weights and tokenizer are known by their sha256, never by path."""

    path: Path
    step: int | None
    weight_files: tuple[Path, ...]

    @property
    def name(self) -> str:
        """What people call it: the folder's name, which may be a link's."""
        return _own_name(self.path)

    @functools.cached_property
    def weights_sha256(self) -> str:
        """Sha256 of the safetensors file; of shards, of the lines ``<sha256>  <file name>``."""
        return combined_sha256({file.name: _remembered_sha256(file) for file in self.weight_files})

    @functools.cached_property
    def tokenizer_sha256(self) -> str:
        """Sha256 of tokenizer.json.

        Raises:
            UserError: there is no tokenizer.json.
        """
        return sha256_file(self.path / "tokenizer.json")

    @functools.cached_property
    def mask_token(self) -> str:
        """The mask token as tokenizer_config.json names it; ``[MASK]`` where it names none.

        Raises:
            UserError: the file is missing or malformed.
        """
        path = self.path / "tokenizer_config.json"
        content = read_json(path)
        token = content.get("mask_token", "[MASK]") if isinstance(content, dict) else None
        text = token.get("content") if isinstance(token, dict) else token
        if not isinstance(text, str):
            raise UserError(f"{path}: the mask token is {text!r}, not text")
        return text

    @functools.cached_property
    def config(self) -> ModernBertConfig:
        """The architecture, whichever transformers generation wrote it."""
        return read_config(self.path / "config.json")

    @functools.cached_property
    def raw_config(self) -> Mapping[str, Any]:
        """config.json as it stands."""
        value = read_json(self.path / "config.json")
        if not isinstance(value, dict):
            raise UserError(f"{self.path / 'config.json'}: not a JSON object")
        return value

    @functools.cached_property
    def headers(self) -> tuple[SafetensorsHeader, ...]:
        """The header of each weight file, checked."""
        return tuple(read_header(file) for file in self.weight_files)

    @property
    def tensors(self) -> dict[str, TensorInfo]:
        """All tensors over all files."""
        return {name: info for header in self.headers for name, info in header.tensors.items()}

    @functools.cached_property
    def trainer_state(self) -> TrainerState | None:
        """What the Trainer logged until this checkpoint, if it did."""
        path = self.path / "trainer_state.json"
        return read_trainer_state(path) if path.exists() else None


def open_checkpoint(path: Path) -> Checkpoint:
    """Find the weights in the folder ``path``; nothing but names is read.

    Raises:
        UserError: no such folder, no config.json, no safetensors, or a listed shard is missing.
    """
    if not path.is_dir():
        raise UserError(f"{path} is not a folder", mend="give the folder of a checkpoint")
    if not (path / "config.json").is_file():
        raise UserError(
            f"no config.json in {path}", mend="give a folder with config.json and model.safetensors"
        )
    return Checkpoint(path=path, step=_step(path), weight_files=_weight_files(path))


def _own_name(path: Path) -> str:
    return path.name if path.name not in ("", "..") else path.resolve().name


def _step(path: Path) -> int | None:
    """The step in the folder's own name; of a link such as ``latest``, in that of its target."""
    for name in (_own_name(path), path.resolve().name):
        if match := STEP_FOLDER.match(name):
            return int(match[1])
    return None


def combined_sha256(files: Mapping[str, str]) -> str:
    """The one sha256 by which weights are known, from the sha256 of each file by its name."""
    if len(files) == 1:
        return next(iter(files.values()))
    lines = [f"{digest}  {name}\n" for name, digest in sorted(files.items())]
    return sha256_bytes("".join(lines).encode())


def _remembered_sha256(path: Path) -> str:
    try:
        stat = path.stat()
    except OSError as error:
        raise unreadable(path, error) from error
    return _sha256_of(path, stat.st_size, stat.st_ino, stat.st_mtime_ns)


@functools.lru_cache(maxsize=4096)
def _sha256_of(path: Path, size_bytes: int, inode: int, mtime_ns: int) -> str:
    # A run is opened by several steps of one command; its gigabytes are hashed once.
    return sha256_file(path)


def _weight_files(path: Path) -> tuple[Path, ...]:
    if (path / SINGLE_FILE).is_file():
        return (path / SINGLE_FILE,)
    index = path / SHARD_INDEX
    if not index.is_file():
        raise UserError(
            f"no {SINGLE_FILE} in {path}",
            mend="save the model as safetensors: model.save_pretrained(folder)",
        )
    content = read_json(index)
    weight_map = content.get("weight_map") if isinstance(content, dict) else None
    if not isinstance(weight_map, dict) or not weight_map:
        raise UserError(f"{index}: no weight_map")
    files = tuple(path / name for name in sorted(set(map(str, weight_map.values()))))
    missing = [file.name for file in files if not file.is_file() or file.parent != path]
    if missing:
        raise UserError(f"{index} lists {', '.join(missing)}, which is missing from {path}")
    return files
