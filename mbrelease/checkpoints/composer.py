"""What Composer saves: weights, config and tokenizer in one file, next to all of its own state.

``{"state": {"model": {…}, "integrations": {"huggingface": {"model": {"config": {"content": …}},
"tokenizer": {"tokenizer_config": {"file_extension": ".json", "content": …}, …}}}, …}, "rng": …}``
(``composer.models.HuggingFaceModel.get_metadata``), by ``torch.save`` into ``ep1-ba100-rank0.pt``.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

from mbrelease.checkpoints.composer_config import (
    check_structure,
    is_flexbert,
    modernbert_config,
    sizes,
)
from mbrelease.checkpoints.discover import COMPOSER_SAVE
from mbrelease.checkpoints.foreign import ForeignCheckpoint
from mbrelease.checkpoints.names import huggingface_names
from mbrelease.checkpoints.safe_pickle import Opaque, printable
from mbrelease.checkpoints.source import StoredTensor, own_name
from mbrelease.checkpoints.tied import drop_tied
from mbrelease.checkpoints.torch_file import UnreadableTensor, as_weights, read_torch_file
from mbrelease.errors import UserError

Keys = tuple[str | int, ...]
MODEL = ("state", "model")
CONFIG = ("state", "integrations", "huggingface", "model", "config", "content")
TOKENIZER = ("state", "integrations", "huggingface", "tokenizer")
WRAPPERS = ("state_dict", "model")
"""Under which others put the weights, beside other things."""
MAX_JSON_VALUES = 5_000_000
"""A tokenizer of 256,000 tokens has some 1.5 million."""
PLAIN_NAME = re.compile(r"\w[\w.-]*")


class State(Protocol):
    """Composer's state, which lies in one file or in many."""

    def at(self, keys: Keys) -> Any:
        """What lies beneath ``keys``, or ``None``."""

    def children(self, keys: Keys) -> list[str]:
        """The keys of the dict at ``keys``; empty if there is none."""


class _Reopened:
    """A state that is read again if it is needed again: with a vocabulary in it, it is large."""

    def __init__(self, state: State, reopen: Callable[[], State]) -> None:
        self._state: State | None = state
        self._reopen = reopen

    def at(self, keys: Keys) -> Any:
        return (self._state or self._reopen()).at(keys)

    def children(self, keys: Keys) -> list[str]:
        return (self._state or self._reopen()).children(keys)

    def forget(self) -> None:
        """Keep it no longer."""
        self._state = None


class _FilesInside(Mapping[str, bytes]):
    """Files that are made of what lies inside a checkpoint when they are asked for."""

    def __init__(self, files: Mapping[str, Callable[[], bytes]]) -> None:
        self._files = files

    def __getitem__(self, name: str) -> bytes:
        return self._files[name]()

    def __iter__(self) -> Iterator[str]:
        return iter(self._files)

    def __len__(self) -> int:
        return len(self._files)


def open_composer(path: Path) -> ForeignCheckpoint:
    """Find the tensors in Composer's file ``path``, or in one of a bare state dict.

    What is not inside (of a bare state dict, the config and the tokenizer) is looked for beside.

    Raises:
        UserError: it is no such file, is damaged, or holds no model that transformers' ModernBERT
            can express.
        CheckFailed: the config ties a decoder that differs from the embeddings.
    """
    content = read_torch_file(path)
    weights = _state_dict(content, path)
    return put_together(
        path,
        [name for name in weights if isinstance(name, str)],
        lambda name: as_weights({name: weights[name]}, path)[name],
        _StateInFile(content),
        lambda: _StateInFile(read_torch_file(path)),
        step=batch_of(path),
        folders=(path.parent,),
    )


def batch_of(path: Path) -> int | None:
    """The batch in the name of a file or folder; of a link, in that of its target."""
    for name in (own_name(path), path.resolve().name):
        if match := COMPOSER_SAVE.match(name):
            return int(match[2])
    return None


def put_together(
    path: Path,
    names: Iterable[str],
    read: Callable[[str], StoredTensor],
    state: State,
    reopen: Callable[[], State],
    *,
    step: int | None,
    folders: tuple[Path, ...],
) -> ForeignCheckpoint:
    """The checkpoint of the one ModernBERT among ``names``, with a config.json of transformers.

    Args:
        path: the checkpoint.
        names: of all that is stored like a weight.
        read: finds a tensor by its name; it is called for the model's own alone.
        state: where Composer keeps the config and the tokenizer.
        reopen: reads it again, for the tokenizer's large files.
        step: of the training.
        folders: where to look for these if they are not in ``state``.

    Raises:
        UserError: there is not exactly one ModernBERT, it has no config, or one that does not fit
            the weights or that transformers' ModernBERT cannot express.
        CheckFailed: the config ties a decoder that differs from the embeddings.
    """
    inside = _config_inside(state, path)
    if inside is not None and is_flexbert(inside):
        check_structure(inside, path)
    tensors = {name: read(stored) for stored, name in huggingface_names(names, path).items()}
    kept = _Reopened(state, reopen)
    files = _tokenizer_inside(kept, path)
    around = () if files else folders
    checkpoint = ForeignCheckpoint(path, step, tensors, _FilesInside(files), around)
    if inside is not None:
        config = _config_json(inside, checkpoint)
        companions = _FilesInside({**files, "config.json": lambda: config})
        checkpoint = dataclasses.replace(checkpoint, companions=companions)
    elif checkpoint.companion("config.json") is None:
        raise UserError(
            f"no config in {path}, and no config.json in {' or '.join(map(str, folders))}",
            mend="put the model's config.json and its tokenizer's files there",
        )
    kept.forget()
    tied = checkpoint.config.tie_word_embeddings
    return dataclasses.replace(checkpoint, tensors=drop_tied(tensors, tied, path))


class _StateInFile:
    """What one file of torch.save holds."""

    def __init__(self, content: Any) -> None:
        self._content = content

    def at(self, keys: Keys) -> Any:
        content = self._content
        for key in keys:
            content = content.get(key) if isinstance(content, dict) else None
        return content

    def children(self, keys: Keys) -> list[str]:
        content = self.at(keys)
        return [key for key in content if isinstance(key, str)] if isinstance(content, dict) else []


def _state_dict(content: Any, path: Path) -> dict[Any, Any]:
    """Composer's ``state.model``; else the state dict that the file is, or wraps."""
    model = _StateInFile(content).at(MODEL)
    if isinstance(model, dict):
        return model
    if isinstance(content, dict):
        if any(isinstance(value, StoredTensor | UnreadableTensor) for value in content.values()):
            return content
        wrapped = [content[key] for key in WRAPPERS if isinstance(content.get(key), dict)]
        if len(wrapped) == 1:
            return dict(wrapped[0])
    what = f"a {content}" if isinstance(content, Opaque) else "something else"
    raise UserError(
        f"{path} holds {what}, neither Composer's state nor a state dict",
        mend="torch.save(model.state_dict(), path) writes one, and model.save_pretrained a folder",
    )


def _config_inside(state: State, place: Path) -> dict[str, Any] | None:
    """The config that Composer put inside, with nothing in it but what JSON knows."""
    content = state.at(CONFIG)
    if content is None:
        return None
    config = json.loads(_json(content, f"{place}: its config"))
    if not isinstance(config, dict):
        raise UserError(f"{place}: its config is no JSON object")
    return config


def _config_json(content: dict[str, Any], checkpoint: ForeignCheckpoint) -> bytes:
    """The config.json of the model whose config inside is ``content``."""
    place = checkpoint.path
    shapes = {name: tensor.shape for name, tensor in checkpoint.tensors.items()}
    if content.get("model_type") == "modernbert":
        config = content | sizes(content, shapes, place)
    elif is_flexbert(content):
        made = modernbert_config(content, shapes, checkpoint.companion, place)
        config = dict(sorted(made.items()))
    else:
        kind = printable(str(content.get("model_type")))
        raise UserError(
            f"{place}: its config is of a model of type {kind}",
            mend="give a checkpoint of ModernBERT, or of FlexBERT, which it was trained as",
        )
    return f"{_json(config, f'{place}: its config')}\n".encode()


def _tokenizer_inside(state: State, place: Path) -> dict[str, Callable[[], bytes]]:
    """The tokenizer's files that Composer put inside: by name, what makes each, once."""
    files: dict[str, Callable[[], bytes]] = {}
    for stem in state.children(TOKENIZER):
        extension = state.at((*TOKENIZER, stem, "file_extension"))
        name = f"{stem}{extension}"
        if isinstance(extension, str) and PLAIN_NAME.fullmatch(name):
            files[name] = functools.partial(
                _file, state, (*TOKENIZER, stem, "content"), name, place
            )
    return files


def _file(state: State, keys: Keys, name: str, place: Path) -> bytes:
    """The bytes that a file had before Composer read it."""
    content = state.at(keys)
    what = f"{place}: the tokenizer's {name}"
    if isinstance(content, bytes):
        return content
    if isinstance(content, str):
        return content.encode()
    if name.endswith(".json") and content is not None:
        # transformers ends its files with a newline, tokenizers does not.
        end = "" if name == "tokenizer.json" else "\n"
        return f"{_json(content, what)}{end}".encode()
    if isinstance(content, list) and all(isinstance(line, str) for line in content):
        return "\n".join(content).encode()
    raise UserError(f"{what} is no text")


def _fits(content: Any) -> bool:
    """Whether it has a sane number of values, each counted as often as it is held.

    A pickle can hold one list many times over, and JSON would write it out each time.
    """
    left = MAX_JSON_VALUES
    waiting = [content]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict | list | tuple):
            left -= len(value)
            if left < 0:
                return False
            waiting.extend(value.values() if isinstance(value, dict) else value)
    return True


def _json(content: Any, what: str) -> str:
    """As transformers and tokenizers write it."""
    if not _fits(content):
        raise UserError(f"{what} is larger than any tokenizer or config")
    try:
        return json.dumps(content, indent=2, ensure_ascii=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise UserError(f"{what} holds what JSON does not know") from error
