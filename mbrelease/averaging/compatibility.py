"""Whether checkpoints are the same model at different times, told from headers and configs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from mbrelease.averaging.dtypes import FLOATING
from mbrelease.checkpoints.safetensors_layout import TensorSpec
from mbrelease.checkpoints.source import Source, StoredTensor
from mbrelease.checkpoints.tied import drop_tied
from mbrelease.errors import CheckFailed, UserError, did_you_mean

SHOWN_DIFFERENCES = 12
TOKENIZER = "tokenizer"
LABELS = "id2label"


@dataclass(frozen=True)
class Merge:
    """Which tensors the average has, and how each comes about."""

    averaged: Mapping[str, TensorSpec]
    copied: Mapping[str, TensorSpec]
    """Allowed to differ: taken as the last checkpoint has them."""


@dataclass(frozen=True)
class Difference:
    """One thing that ``source`` has otherwise than the first checkpoint."""

    source: Source
    name: str
    """What ``--allow`` calls it: ``tokenizer``, a field of the config, or a tensor."""
    text: str
    """What is different about it; with its name in front for anything but a tensor."""


def check_compatible(sources: Sequence[Source], allow: Collection[str] = ()) -> Merge:
    """Compare every checkpoint with the first: config, tokenizer, tensor names, shapes, dtypes.

    No tensor is read, but for a tied decoder that was saved beside the embeddings. What ``allow``
    names may differ, and is then as the last checkpoint has it: a config field, the labels, the
    tokenizer, a tensor that others lack or have in another shape. Tensors of different floating
    dtypes are averaged all the same and get the last one's.

    Raises:
        CheckFailed: they differ in anything else; every difference is listed (a long list is cut,
            with its length).
        UserError: a file is missing or malformed, or ``allow`` names nothing there is.
    """
    for source in sources:
        _check_tensors(source)
    _check_allow(sources, allow)
    # A tied decoder that was saved all the same is the embeddings once more.
    tensors = [drop_tied(s.stored, s.config.tie_word_embeddings, s.path) for s in sources]
    first = sources[0]
    differences = [
        found
        for other, theirs in zip(sources[1:], tensors[1:], strict=True)
        for found in (*_differences(first, other), *_in_tensors(tensors[0], other, theirs))
    ]
    refused = [found for found in differences if found.name not in allow]
    if refused:
        raise _refusal(first, refused)
    return _merge(tensors)


def _merge(tensors: Sequence[Mapping[str, StoredTensor]]) -> Merge:
    averaged: dict[str, TensorSpec] = {}
    copied: dict[str, TensorSpec] = {}
    for name, tensor in tensors[-1].items():
        spec = TensorSpec(tensor.dtype, tensor.shape)
        others = [found.get(name) for found in tensors]
        alike = all(other is not None and _can_be_averaged(other, tensor) for other in others)
        (averaged if alike else copied)[name] = spec
    return Merge(averaged, copied)


def _can_be_averaged(one: StoredTensor, other: StoredTensor) -> bool:
    dtypes = {one.dtype, other.dtype}
    return one.shape == other.shape and (len(dtypes) == 1 or dtypes <= FLOATING)


def _check_tensors(source: Source) -> None:
    """Stop unless ``source`` has tensors, each of them once."""
    count = Counter(name for stream in source.hash_streams for name in stream.tensors)
    if not count:
        raise UserError(f"{source.path} holds no tensors", mend="save the checkpoint again")
    name, times = count.most_common(1)[0]
    if times > 1:
        raise UserError(
            f"tensor {name} lies in {times} of the files of {source.path}",
            mend="which of them counts is not known; save the checkpoint again",
        )


def _check_allow(sources: Sequence[Source], allow: Collection[str]) -> None:
    known = {TOKENIZER, LABELS, *asdict(sources[0].config)}
    known.update(name for source in sources for name in source.stored)
    for name in allow:
        if name not in known:
            raise UserError(
                f"--allow '{name}' is neither '{TOKENIZER}' nor a field of the config nor a tensor",
                mend=did_you_mean(name, known),
            )


def _refusal(first: Source, refused: Sequence[Difference]) -> CheckFailed:
    shown = list(_lines(refused))
    if len(shown) > SHOWN_DIFFERENCES:
        shown[SHOWN_DIFFERENCES:] = [f"… and {len(shown) - SHOWN_DIFFERENCES} more"]
    lines = "\n  ".join(shown)
    names = {found.name for found in refused}
    exception = f", or allow the one difference: --allow {names.pop()}" if len(names) == 1 else ""
    return CheckFailed(
        f"these checkpoints cannot be averaged; compared with {first.path}:\n  {lines}",
        mend=f"average checkpoints of one run only{exception}",
    )


def _lines(refused: Sequence[Difference]) -> Iterator[str]:
    """One line a difference, and one for all tensors of a checkpoint with the same."""
    groups: dict[tuple[Path, str], list[str]] = {}
    for found in refused:
        groups.setdefault((found.source.path, found.text), []).append(found.name)
    for (path, text), names in groups.items():
        if text.startswith("config") or names == [TOKENIZER]:
            yield f"{path}: {text}"
        elif len(names) == 1:
            yield f"{path}: tensor {names[0]} {text}"
        else:
            yield f"{path}: {len(names)} tensors, such as {names[0]}: each {text}"


def _differences(first: Source, other: Source) -> Iterator[Difference]:
    expected, found = asdict(first.config), asdict(other.config)
    for key, value in expected.items():
        if found[key] != value:
            yield Difference(other, key, f"config {key} is {found[key]}, not {value}")
    if _tokenizer(other) != _tokenizer(first):
        yield Difference(other, TOKENIZER, "tokenizer.json is another one")
    if other.raw_config.get(LABELS) != first.raw_config.get(LABELS):
        yield Difference(other, LABELS, f"config {LABELS} has other labels, or in another order")


def _in_tensors(
    ours: Mapping[str, StoredTensor], other: Source, theirs: Mapping[str, StoredTensor]
) -> Iterator[Difference]:
    for name in sorted(ours.keys() | theirs.keys()):
        for text in _tensor_differences(ours.get(name), theirs.get(name)):
            yield Difference(other, name, text)


def _tensor_differences(ours: StoredTensor | None, theirs: StoredTensor | None) -> Iterator[str]:
    if theirs is None:
        yield "is missing"
    elif ours is None:
        yield "is extra"
    else:
        if theirs.shape != ours.shape:
            yield f"has shape {list(theirs.shape)}, not {list(ours.shape)}"
        if theirs.dtype != ours.dtype:
            yield f"is {theirs.dtype}, not {ours.dtype}"


def _tokenizer(source: Source) -> str | None:
    # A Trainer that was given no tokenizer saves none; that is fine where none has one.
    if source.companion("tokenizer.json") is None:
        return None
    return source.tokenizer_sha256
