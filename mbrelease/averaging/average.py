"""Average checkpoints into a folder that loads like any checkpoint."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import lcm
from pathlib import Path
from typing import Any

from mbrelease import __version__
from mbrelease.averaging.compatibility import Merge, check_compatible
from mbrelease.averaging.engine import Member
from mbrelease.averaging.fingerprint import by_content
from mbrelease.averaging.recipes.recipe import LARGEST_DENOMINATOR
from mbrelease.averaging.write_model import Storage, model_files, write_model
from mbrelease.checkpoints.checkpoint import Checkpoint, open_checkpoint
from mbrelease.checkpoints.source import Source
from mbrelease.errors import UserError
from mbrelease.file_hashes import file_sha256
from mbrelease.files import canonical_json, read_json, sha256_bytes, sha256_file
from mbrelease.progress import SILENT, Progress

RECORD_FILE = "averaging.json"
UNKNOWN_SHA256 = "0" * 64
ANY_FORMAT = Storage()


@dataclass(frozen=True)
class Plan:
    """What will be averaged: the members with a weight, and where the mean goes."""

    members: tuple[Member, ...]
    output: Path
    recipe: str
    storage: Storage
    allow: frozenset[str]

    @property
    def last(self) -> Source:
        """The last contributing checkpoint, which gives config and tokenizer."""
        return self.members[-1].source

    def parents(self, digests: Mapping[Source, str]) -> list[dict[str, str]]:
        """The sha256 and weight of each member, in an order that is the content's own."""
        rows = sorted((digests[member.source], member.weight) for member in self.members)
        return [{"sha256": digest, "weight": str(weight)} for digest, weight in rows]


def average_checkpoints(
    members: Sequence[tuple[Source, Fraction]],
    output: Path,
    *,
    recipe: str,
    storage: Storage = ANY_FORMAT,
    allow: frozenset[str] = frozenset(),
    ranked_by: str | None = None,
    search: Mapping[str, Any] | None = None,
    progress: Progress = SILENT,
) -> Checkpoint:
    """Write the weighted mean of ``members`` as the folder ``output`` and return it.

    The folder appears whole or not at all; one that already holds exactly this average is kept,
    and one that was killed goes on from its finished tiles.

    Args:
        members: Checkpoints in training order with weights that sum to 1 (see ``recipes``); those
            with weight 0 are not read. Config and tokenizer are those of the last one that is.
        output: A folder that is missing, empty, or an earlier average.
        recipe: What the average is called.
        storage: The dtype and the size of shards; as the last member has it, in one file.
        allow: Differences that are let pass, see ``check_compatible``.
        ranked_by: The metric by which a recipe chose, for the record.
        search: How a recipe found the members by measuring, for the record.
        progress: Told the bytes that were read.

    Raises:
        CheckFailed: the members differ in more than their weights, or hold NaN or Inf.
        UserError: an input cannot be read, or ``output`` is an input or another folder.
    """
    plan = _plan(members, output, recipe, storage, allow)
    earlier = find_average(members, output, recipe=recipe, storage=storage, allow=allow)
    if earlier and _read_record(output).get("search") == search:
        progress.note(f"{output}: unchanged")
        return earlier
    check_replaceable(output)
    merge = check_compatible([member.source for member in plan.members], allow)
    chosen_by = {"ranked_by": ranked_by} | ({} if search is None else {"search": search})
    _write(plan, merge, chosen_by, progress)
    return open_checkpoint(output)


def find_average(
    members: Sequence[tuple[Source, Fraction]],
    output: Path,
    *,
    recipe: str,
    storage: Storage = ANY_FORMAT,
    allow: frozenset[str] = frozenset(),
) -> Checkpoint | None:
    """The average in ``output`` if it was made from these members by this recipe, and is whole.

    Raises:
        UserError: ``output`` is one of the members, or a member cannot be read.
    """
    plan = _plan(members, output, recipe, storage, allow)
    if not (output / RECORD_FILE).is_file():
        return None
    record = _read_record(output)
    listed = record["files"]
    if any(record.get(key) != value for key, value in _decided(plan).items()):
        return None
    if not any(name.endswith(".safetensors") for name in listed):
        return None
    digests = {member.source: member.source.weights_sha256 for member in plan.members}
    if record.get("parents") != plan.parents(digests):
        return None
    wanted = {n: sha256_bytes(data) for n, data in model_files(plan.last, storage).items()}
    if {name: listed.get(name) for name in wanted} != wanted:
        return None
    for name, digest in listed.items():
        if not (output / name).is_file() or sha256_file(output / name) != digest:
            return None
    return open_checkpoint(output)


def check_no_input(sources: Iterable[Source], output: Path) -> None:
    """Stop if ``output`` is one of ``sources``.

    Raises:
        UserError: it is.
    """
    if any(source.path.resolve() == output.resolve() for source in sources):
        raise UserError(
            f"the output {output} is one of the inputs", mend="choose another output with -o"
        )


def check_replaceable(output: Path) -> None:
    """Stop unless ``output`` is free: missing, empty, or an earlier average as it was written.

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
    for name, digest in _read_record(output)["files"].items():
        # Somebody may have trained on in this folder.
        if name in found and file_sha256(output / name) != digest:
            raise UserError(
                f"{output / name} was changed since it was averaged",
                mend="delete the folder if it is not needed, or choose another output with -o",
            )


def _plan(
    members: Sequence[tuple[Source, Fraction]],
    output: Path,
    recipe: str,
    storage: Storage,
    allow: frozenset[str],
) -> Plan:
    if sum(weight for _, weight in members) != 1 or any(weight < 0 for _, weight in members):
        raise ValueError("the weights of an average are not negative and sum to 1")
    if lcm(*(weight.denominator for _, weight in members)) > LARGEST_DENOMINATOR:
        raise ValueError("weights this fine have no exact sums; see recipes.recipe.round_weights")
    check_no_input([source for source, _ in members], output)
    contributing = tuple(Member(source, weight) for source, weight in members if weight > 0)
    return Plan(contributing, output, recipe, storage, allow)


def average_metadata(plan: Plan, digests: Mapping[Source, str]) -> dict[str, str]:
    """What the header of the average says; ``digests`` are the members' ``weights_sha256``."""
    return {
        "format": "pt",
        "mbrelease_version": __version__,
        "mbrelease_recipe": plan.recipe,
        "mbrelease_parents": canonical_json(plan.parents(digests)),
    }


def _write(plan: Plan, merge: Merge, chosen_by: Mapping[str, Any], progress: Progress) -> None:
    unknown = dict.fromkeys((member.source for member in plan.members), UNKNOWN_SHA256)

    def digests() -> dict[Source, str]:
        return {member.source: member.source.weights_sha256 for member in plan.members}

    def record(files: Mapping[str, str]) -> dict[str, Any]:
        return {RECORD_FILE: _record(plan, digests(), chosen_by, files)}

    write_model(
        by_content(plan.members),
        merge,
        plan.last,
        plan.output,
        storage=plan.storage,
        draft_metadata=average_metadata(plan, unknown),
        metadata=lambda: average_metadata(plan, digests()),
        record=record,
        check_output=lambda: check_replaceable(plan.output),
        progress=progress,
    )


def _decided(plan: Plan) -> dict[str, Any]:
    """What, besides its members, makes an average what it is."""
    return {
        "recipe": plan.recipe,
        "dtype": plan.storage.dtype,
        "max_shard_bytes": plan.storage.max_shard_bytes,
        "allowed_differences": sorted(plan.allow),
    }


def _record(
    plan: Plan,
    digests: Mapping[Source, str],
    chosen_by: Mapping[str, Any],
    files: Mapping[str, str],
) -> dict[str, Any]:
    """What ``averaging.json`` says; names and steps help people, the hashes decide."""
    return {
        **_decided(plan),
        **chosen_by,
        "mbrelease_version": __version__,
        "parents": plan.parents(digests),
        "members": [
            {
                "name": member.source.name,
                "step": member.source.step,
                **_origin(member.source),
                "weight": str(member.weight),
                "sha256": digests[member.source],
            }
            for member in plan.members
        ],
        "files": dict(files),
    }


def _origin(source: Source) -> dict[str, str]:
    return {} if source.hub_commit is None else {"hub_commit": source.hub_commit}


def _read_record(output: Path) -> dict[str, Any]:
    path = output / RECORD_FILE
    record = read_json(path)
    files = record.get("files") if isinstance(record, dict) else None
    if not isinstance(record, dict) or not isinstance(files, dict):
        raise UserError(f"{path}: not a record of an average", mend="choose another output with -o")
    return record
