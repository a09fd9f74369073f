"""A trained model on disk, whatever wrote it: its config, tokenizer, and where each tensor lies."""

from __future__ import annotations

import functools
import hashlib
import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mbrelease.checkpoints.config import ModernBertConfig, config_from
from mbrelease.checkpoints.trainer_state import TrainerState, read_trainer_state
from mbrelease.errors import UserError
from mbrelease.file_hashes import recall, remember, stat_key
from mbrelease.files import parse_json, sha256_bytes, sha256_json, unreadable

CHUNK_BYTES = 1 << 20


@dataclass(frozen=True)
class Segment:
    """A run of bytes in a file."""

    path: Path
    start: int
    size_bytes: int


@dataclass(frozen=True)
class StoredTensor:
    """A tensor as it lies on disk: little-endian, row-major, in one or more pieces."""

    dtype: str
    """As safetensors names it: F32, BF16, I64, …"""
    shape: tuple[int, ...]
    segments: tuple[Segment, ...]
    """In the order of the elements; each holds whole elements."""

    @property
    def elements(self) -> int:
        """The number of elements."""
        return math.prod(self.shape)

    @property
    def size_bytes(self) -> int:
        """The number of bytes of all elements."""
        return sum(segment.size_bytes for segment in self.segments)


@dataclass(frozen=True)
class HashStream:
    """The bytes whose sha256 names one file of weights: a head, then tensors one after another.

    The file may not exist: weights that are no safetensors are known by the safetensors file that
    they would be.
    """

    name: str
    head: bytes
    tensors: tuple[str, ...]
    """In the order of their bytes."""
    files: tuple[Path, ...]
    """Where the bytes are read from."""
    kind: str
    """``file`` where the stream is a file of its own."""

    @property
    def key(self) -> str:
        """Under which the digest is remembered: the files, and what is made of them."""
        if self.kind == "file":
            return stat_key(self.files)
        # Which tensors count, and their names, may depend on a config that lies elsewhere.
        made = sha256_json([self.head.hex(), self.tensors])
        return stat_key(self.files, of=f"{self.kind}-{made[:16]}")


@dataclass(frozen=True, eq=False)
class Source(ABC):
    """A checkpoint in any format. Weights and tokenizer are known by their sha256, never by path.

    ``path`` is a folder or a file; companions are the small files beside the weights, or inside
    them.
    """

    path: Path
    step: int | None

    @property
    @abstractmethod
    def stored(self) -> Mapping[str, StoredTensor]:
        """All tensors by the name that transformers gives them."""

    @property
    @abstractmethod
    def hash_streams(self) -> tuple[HashStream, ...]:
        """What ``weights_sha256`` is the hash of, file by file."""

    @property
    @abstractmethod
    def weights_sha256(self) -> str:
        """Sha256 of the safetensors file; of shards, of the lines ``<sha256>  <file name>``."""

    @abstractmethod
    def companion(self, name: str) -> bytes | None:
        """The content of ``config.json``, ``tokenizer.json`` or the like, if there is one.

        Raises:
            UserError: it is there and cannot be read.
        """

    @property
    def name(self) -> str:
        """What people call it: the name of the folder or file, which may be a link's."""
        return own_name(self.path)

    @property
    def hub_commit(self) -> str | None:
        """The full commit that a model of the Hub was read at."""
        return None

    @functools.cached_property
    def tokenizer_sha256(self) -> str:
        """Sha256 of tokenizer.json.

        Raises:
            UserError: there is no tokenizer.json.
        """
        return sha256_bytes(self._required("tokenizer.json"))

    @functools.cached_property
    def mask_token(self) -> str:
        """The mask token as tokenizer_config.json names it; ``[MASK]`` where it names none.

        Raises:
            UserError: the file is missing or malformed.
        """
        place = self._place("tokenizer_config.json")
        content = parse_json(self._required(place.name), place)
        token = content.get("mask_token", "[MASK]") if isinstance(content, dict) else None
        text = token.get("content") if isinstance(token, dict) else token
        if not isinstance(text, str):
            raise UserError(f"{place}: the mask token is {text!r}, not text")
        return text

    @functools.cached_property
    def config(self) -> ModernBertConfig:
        """The architecture, whichever transformers generation wrote it."""
        return config_from(self.raw_config, self._place("config.json"))

    @functools.cached_property
    def raw_config(self) -> Mapping[str, Any]:
        """config.json as it stands."""
        value = parse_json(self._required("config.json"), self._place("config.json"))
        if not isinstance(value, dict):
            raise UserError(f"{self._place('config.json')}: not a JSON object")
        return value

    @functools.cached_property
    def trainer_state(self) -> TrainerState | None:
        """What the Trainer logged until this checkpoint, if it did."""
        path = self.path / "trainer_state.json"
        return read_trainer_state(path) if path.is_file() else None

    def _place(self, name: str) -> Path:
        return self.path / name

    def _required(self, name: str) -> bytes:
        data = self.companion(name)
        if data is None:
            raise UserError(f"{self._place(name)} does not exist")
        return data


def own_name(path: Path) -> str:
    """The last part of ``path``, or of where it leads if that says nothing (``.``, ``..``)."""
    return path.name if path.name not in ("", "..") else path.resolve().name


def stream_sha256(stream: HashStream, stored: Mapping[str, StoredTensor]) -> str:
    """The sha256 of ``stream``, remembered or read.

    Raises:
        UserError: a file cannot be read or is too short.
    """
    key = stream.key
    if known := recall(key):
        return known
    digest = hashlib.sha256(stream.head)
    for name in stream.tensors:
        for segment in stored[name].segments:
            _feed(digest, segment)
    remember(key, digest.hexdigest(), stream.files)
    return digest.hexdigest()


def _feed(digest: Any, segment: Segment) -> None:
    try:
        with segment.path.open("rb") as file:
            file.seek(segment.start)
            left = segment.size_bytes
            while left:
                data = file.read(min(left, CHUNK_BYTES))
                if not data:
                    raise UserError(f"{segment.path} ends in the middle of a tensor")
                digest.update(data)
                left -= len(data)
    except OSError as error:
        raise unreadable(segment.path, error) from error
