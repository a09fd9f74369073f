"""Whether checkpoints are the same model at different times, told from headers and configs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict

from mbrelease.checkpoints.checkpoint import Checkpoint
from mbrelease.errors import CheckFailed

SHOWN_DIFFERENCES = 12


def check_compatible(checkpoints: Sequence[Checkpoint]) -> None:
    """Compare every checkpoint with the first: config, tokenizer, tensor names, shapes, dtypes.

    No tensor is read.

    Raises:
        CheckFailed: they differ; every difference is listed (a long list is cut, with its length).
        UserError: a file is missing or malformed.
    """
    first = checkpoints[0]
    differences = [
        f"{other.path}: {difference}"
        for other in checkpoints[1:]
        for difference in _differences(first, other)
    ]
    if not differences:
        return
    shown = differences[:SHOWN_DIFFERENCES]
    if len(differences) > len(shown):
        shown.append(f"… and {len(differences) - len(shown)} more")
    lines = "\n  ".join(shown)
    raise CheckFailed(
        f"these checkpoints cannot be averaged; compared with {first.path}:\n  {lines}",
        mend="average checkpoints of one run only",
    )


def _differences(first: Checkpoint, other: Checkpoint) -> Iterator[str]:
    expected, found = asdict(first.config), asdict(other.config)
    for key, value in expected.items():
        if found[key] != value:
            yield f"config {key} is {found[key]}, not {value}"
    if _tokenizer(other) != _tokenizer(first):
        yield "tokenizer.json is another one"
    tensors, others = first.tensors, other.tensors
    for name in sorted(tensors.keys() | others.keys()):
        if name not in others:
            yield f"tensor {name} is missing"
        elif name not in tensors:
            yield f"tensor {name} is extra"
        else:
            ours, theirs = tensors[name], others[name]
            if theirs.shape != ours.shape:
                yield f"tensor {name} has shape {list(theirs.shape)}, not {list(ours.shape)}"
            if theirs.dtype != ours.dtype:
                yield f"tensor {name} is {theirs.dtype}, not {ours.dtype}"


def _tokenizer(checkpoint: Checkpoint) -> str | None:
    # A Trainer that was given no tokenizer saves none; that is fine where none has one.
    if not (checkpoint.path / "tokenizer.json").is_file():
        return None
    return checkpoint.tokenizer_sha256
