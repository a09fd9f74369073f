"""Write a model as a folder that loads everywhere: weights, config, tokenizer; whole or not at all.

What was written before a kill stays beside the output, and the same call goes on from there.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mbrelease.averaging.compatibility import Merge
from mbrelease.averaging.dtypes import FLOATING
from mbrelease.averaging.engine import Member, Work, write_tensors
from mbrelease.averaging.journal import boot_id
from mbrelease.averaging.tiles import TILE_ELEMENTS, OutputFile, plan_files
from mbrelease.checkpoints.checkpoint import SHARD_INDEX
from mbrelease.checkpoints.normalize import config_files, tokenizer_files
from mbrelease.checkpoints.safetensors_layout import TensorSpec, lay_out, total_bytes
from mbrelease.checkpoints.source import Source
from mbrelease.errors import UserError
from mbrelease.file_hashes import file_sha256
from mbrelease.files import (
    RESUME,
    canonical_json,
    resumable_folder,
    sync,
    write_bytes,
    write_json,
)
from mbrelease.progress import SILENT, Progress


@dataclass(frozen=True)
class Storage:
    """How weights are stored."""

    dtype: str | None = None
    """As safetensors names it (F32, BF16, F16, F64); ``None`` keeps what there is."""
    max_shard_bytes: int | None = None
    """``None`` for one file."""


def write_model(
    members: tuple[Member, ...],
    merge: Merge,
    last: Source,
    output: Path,
    *,
    storage: Storage,
    draft_metadata: Mapping[str, str],
    metadata: Callable[[], Mapping[str, str]],
    record: Callable[[Mapping[str, str]], Mapping[str, Any]] = lambda files: {},
    check_output: Callable[[], None] = lambda: None,
    progress: Progress = SILENT,
) -> None:
    """Write the weighted sum of ``members`` with the config and tokenizer of ``last``.

    Args:
        members: In an order of their content, see ``fingerprint``.
        merge: Which tensors there are.
        last: Gives the config, the tokenizer, and the tensors that are copied.
        output: Takes the place of what is there.
        storage: The dtype and the size of shards.
        draft_metadata: As long as ``metadata`` will be, which may not be known before all is read.
        metadata: Asked when the tensors are written.
        record: JSON files that lie beside, from the sha256 of each file that was written.
        check_output: Raises if ``output`` may not be replaced; asked last, for something may have
            come to lie there meanwhile.
        progress: Told the bytes that were read.

    Raises:
        CheckFailed: a value is NaN, infinite, or too large for the dtype.
        UserError: an input cannot be read or changed meanwhile, or the output cannot be written.
    """
    specs = {
        name: stored_as(spec, storage.dtype)
        for name, spec in {**merge.averaged, **merge.copied}.items()
    }
    files = plan_files(specs, draft_metadata, storage.max_shard_bytes)
    beside = model_files(last, storage)
    keys = {source: _keys(source) for source in (*(member.source for member in members), last)}
    with resumable_folder(output, _state(members, files, last)) as folder:
        _check_space(folder, files)
        work = Work(members, tuple(files), folder, frozenset(merge.copied), last)
        write_tensors(work, journal=folder / RESUME / "tiles", progress=progress)
        final = dict(metadata())
        for file in files:
            _write_header(folder / file.name, file, final)
        if len(files) > 1:
            write_json(folder / SHARD_INDEX, _index(files))
        for name, data in beside.items():
            write_bytes(folder / name, data)
        index = [SHARD_INDEX] if len(files) > 1 else []
        names = sorted([*(file.name for file in files), *index, *beside])
        # The disk takes the bytes while they are hashed.
        with ThreadPoolExecutor(1) as pool:
            synced = [pool.submit(sync, folder / file.name) for file in files]
            digests = {name: file_sha256(folder / name) for name in names}
            for future in synced:
                future.result()
        for name, content in record(digests).items():
            write_json(folder / name, content)
        _check_unchanged(keys)
        check_output()


def stored_as(spec: TensorSpec, dtype: str | None) -> TensorSpec:
    """A tensor in ``dtype``; whole numbers stay as they are."""
    return spec if dtype is None or spec.dtype not in FLOATING else replace(spec, dtype=dtype)


def model_files(source: Source, storage: Storage) -> dict[str, bytes]:
    """Config and tokenizer, as a release has them; a run may have left no tokenizer.

    Raises:
        UserError: they cannot be read, or not be written for all transformers.
    """
    config = config_files(source, dtype=storage.dtype)
    if source.companion("tokenizer.json") is None:
        return config
    return {**config, **tokenizer_files(source)}


def _state(members: tuple[Member, ...], files: list[OutputFile], last: Source) -> str:
    """What must be the same for finished tiles to be worth keeping."""
    return canonical_json(
        {
            "boot": boot_id(),
            "members": [[_keys(member.source), str(member.weight)] for member in members],
            "files": [[file.name, file.layout.header.decode("latin-1")] for file in files],
            "last": _keys(last),
            "tile_elements": TILE_ELEMENTS,
        }
    )


def _keys(source: Source) -> list[str]:
    """What changes with the files of ``source``."""
    return [stream.key for stream in source.hash_streams]


def _check_unchanged(keys: Mapping[Source, list[str]]) -> None:
    """Stop if a file is another than when ``keys`` were taken: old and new would be mixed."""
    for source, before in keys.items():
        if _keys(source) != before:
            raise UserError(
                f"{source.path} changed while it was read",
                mend="is something still writing it? run the same command when that has ended",
            )


def _check_space(folder: Path, files: list[OutputFile]) -> None:
    """Stop before an hour of work if the disk cannot hold the result."""
    needed = sum(file.layout.size_bytes for file in files)
    for file in files:
        if (folder / file.name).exists():
            needed -= (folder / file.name).stat().st_blocks * 512
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise UserError(
            f"the disk of {folder.parent} is too full: {needed / 1e6:,.0f} MB are needed, "
            f"{free / 1e6:,.0f} MB are free",
            mend="free some space, or choose another output with -o",
        )


def _write_header(path: Path, file: OutputFile, metadata: Mapping[str, str]) -> None:
    header = lay_out(file.tensors, metadata).header
    assert len(header) == len(file.layout.header)
    with path.open("r+b") as opened:
        opened.write(header)


def _index(files: list[OutputFile]) -> dict[str, Any]:
    names = {tensor: file.name for file in files for tensor in file.tensors}
    size = sum(total_bytes(file.tensors.values()) for file in files)
    return {"metadata": {"total_size": size}, "weight_map": dict(sorted(names.items()))}
