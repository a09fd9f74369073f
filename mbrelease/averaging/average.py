"""Average checkpoints into a folder that loads like any checkpoint."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from mbrelease import __version__
from mbrelease.averaging.compatibility import check_compatible
from mbrelease.averaging.engine import write_average
from mbrelease.checkpoints.checkpoint import SINGLE_FILE, Checkpoint, open_checkpoint
from mbrelease.checkpoints.normalize import config_files, tokenizer_files
from mbrelease.errors import UserError
from mbrelease.files import (
    atomic_folder,
    canonical_json,
    read_json,
    sha256_bytes,
    sha256_file,
    write_bytes,
    write_json,
)
from mbrelease.progress import SILENT, Progress

RECORD_FILE = "averaging.json"


@dataclass(frozen=True)
class Plan:
    """What will be averaged: the members with a weight, and where the mean goes."""

    members: tuple[tuple[Checkpoint, Fraction], ...]
    output: Path
    recipe: str

    @property
    def last(self) -> Checkpoint:
        """The last contributing checkpoint, which gives config and tokenizer."""
        return self.members[-1][0]

    @property
    def by_content(self) -> list[tuple[Checkpoint, Fraction]]:
        """The members ordered by the sha256 of their weights, so that no name decides a byte."""
        return sorted(self.members, key=lambda member: (member[0].weights_sha256, member[1]))

    @property
    def parents(self) -> list[dict[str, str]]:
        """The sha256 and weight of each member."""
        return [
            {"sha256": checkpoint.weights_sha256, "weight": str(weight)}
            for checkpoint, weight in self.by_content
        ]


def average_checkpoints(
    members: Sequence[tuple[Checkpoint, Fraction]],
    output: Path,
    *,
    recipe: str,
    progress: Progress = SILENT,
) -> Checkpoint:
    """Write the weighted mean of ``members`` as the folder ``output`` and return it.

    ``members`` are in training order; their weights sum to 1 (see ``recipes``), and those with
    weight 0 are not read. Config and tokenizer are those of the last contributing checkpoint. The
    folder appears whole or not at all; one that already holds exactly this average is kept.

    Raises:
        CheckFailed: the members differ in more than their weights, or hold NaN or Inf.
        UserError: an input cannot be read, or ``output`` is an input or another folder.
    """
    plan = _plan(members, output, recipe)
    if earlier := find_average(members, output, recipe=recipe):
        progress.note(f"{output}: unchanged")
        return earlier
    check_replaceable(output)
    check_compatible([checkpoint for checkpoint, _ in plan.members])
    with atomic_folder(output) as folder:
        write_average(plan.by_content, folder / SINGLE_FILE, _metadata(plan), progress=progress)
        for name, data in _model_files(plan.last).items():
            write_bytes(folder / name, data)
        write_json(folder / RECORD_FILE, _record(plan, folder))
    return open_checkpoint(output)


def find_average(
    members: Sequence[tuple[Checkpoint, Fraction]], output: Path, *, recipe: str
) -> Checkpoint | None:
    """The average in ``output`` if it was made from these members by this recipe, and is whole.

    Raises:
        UserError: ``output`` is one of the members, or a member cannot be read.
    """
    plan = _plan(members, output, recipe)
    if not (output / RECORD_FILE).is_file():
        return None
    record = _read_record(output)
    wanted = {name: sha256_bytes(data) for name, data in _model_files(plan.last).items()}
    listed = record["files"]
    if record.get("recipe") != recipe or record.get("parents") != plan.parents:
        return None
    if {name: digest for name, digest in listed.items() if name != SINGLE_FILE} != wanted:
        return None
    for name, digest in listed.items():
        if not (output / name).is_file() or sha256_file(output / name) != digest:
            return None
    return open_checkpoint(output)


def check_replaceable(output: Path) -> None:
    """Stop unless ``output`` is free: missing, empty, or an earlier average and nothing else.

    Raises:
        UserError: something would be lost.
    """
    mend = "choose another output with -o"
    if not output.exists():
        return
    if not output.is_dir():
        raise UserError(f"{output} is a file", mend=mend)
    found = {entry.name for entry in output.iterdir()}
    if not found:
        return
    if RECORD_FILE not in found:
        raise UserError(f"{output} holds something that is not an average", mend=mend)
    if others := sorted(found - {RECORD_FILE, *_read_record(output)["files"]}):
        raise UserError(
            f"{output} is an earlier average, and also holds {', '.join(others[:3])}", mend=mend
        )


def _plan(members: Sequence[tuple[Checkpoint, Fraction]], output: Path, recipe: str) -> Plan:
    if sum(weight for _, weight in members) != 1 or any(weight < 0 for _, weight in members):
        raise ValueError("the weights of an average are not negative and sum to 1")
    contributing = tuple((checkpoint, weight) for checkpoint, weight in members if weight > 0)
    for checkpoint, _ in members:
        if checkpoint.path.resolve() == output.resolve():
            raise UserError(
                f"the output {output} is one of the inputs", mend="choose another output with -o"
            )
    return Plan(contributing, output, recipe)


def _metadata(plan: Plan) -> Mapping[str, str]:
    return {
        "format": "pt",
        "mbrelease_version": __version__,
        "mbrelease_recipe": plan.recipe,
        "mbrelease_parents": canonical_json(plan.parents),
    }


def _record(plan: Plan, folder: Path) -> dict[str, Any]:
    """What ``averaging.json`` says; names and steps help people, the hashes decide."""
    names = sorted(entry.name for entry in folder.iterdir())
    return {
        "recipe": plan.recipe,
        "mbrelease_version": __version__,
        "parents": plan.parents,
        "members": [
            {
                "name": checkpoint.name,
                "step": checkpoint.step,
                "weight": str(weight),
                "sha256": checkpoint.weights_sha256,
            }
            for checkpoint, weight in plan.members
        ],
        "files": {name: sha256_file(folder / name) for name in names},
    }


def _read_record(output: Path) -> dict[str, Any]:
    path = output / RECORD_FILE
    record = read_json(path)
    files = record.get("files") if isinstance(record, dict) else None
    if not isinstance(record, dict) or not isinstance(files, dict):
        raise UserError(f"{path}: not a record of an average", mend="choose another output with -o")
    return record


def _model_files(checkpoint: Checkpoint) -> dict[str, bytes]:
    """Config and tokenizer, as a release has them; a run may have left no tokenizer."""
    if not (checkpoint.path / "tokenizer.json").is_file():
        return config_files(checkpoint)
    return {**config_files(checkpoint), **tokenizer_files(checkpoint)}
