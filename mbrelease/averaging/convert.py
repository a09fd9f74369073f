"""Write one checkpoint, whatever its format, as a folder of safetensors that loads everywhere.

A conversion is an average of one: the same streaming engine, so nothing is rounded that is not
asked for, NaN is refused, and a killed one goes on.
"""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

from mbrelease.averaging.compatibility import check_compatible
from mbrelease.averaging.engine import Member
from mbrelease.averaging.write_model import (
    Storage,
    model_files,
    stored_as,
    write_model,
)
from mbrelease.checkpoints.checkpoint import Checkpoint, open_checkpoint
from mbrelease.checkpoints.foreign import CONVERTED_METADATA, as_safetensors
from mbrelease.checkpoints.source import Source, stream_sha256
from mbrelease.errors import UserError
from mbrelease.progress import SILENT, Progress

KEPT = Storage()


def convert_checkpoint(
    source: Source, output: Path, *, storage: Storage = KEPT, progress: Progress = SILENT
) -> tuple[Checkpoint, bool]:
    """Write ``source`` as the folder ``output``; returns it, and whether it was written now.

    The folder appears whole or not at all. One that already holds exactly this is kept; anything
    else is never replaced.

    Raises:
        CheckFailed: a value is NaN or infinite, or too large for the dtype.
        UserError: the source cannot be read, or ``output`` holds something else.
    """
    if not _is_free(output) and _is_converted(source, output, storage):
        progress.note(f"{output}: unchanged")
        return open_checkpoint(output), False
    _check_free(output)
    merge = check_compatible([source])
    write_model(
        (Member(source, Fraction(1)),),
        merge,
        source,
        output,
        storage=storage,
        draft_metadata=CONVERTED_METADATA,
        metadata=lambda: CONVERTED_METADATA,
        check_output=lambda: _check_free(output),
        progress=progress,
    )
    return open_checkpoint(output), True


def _is_free(output: Path) -> bool:
    return not output.exists() or (output.is_dir() and not any(output.iterdir()))


def _check_free(output: Path) -> None:
    if not _is_free(output):
        raise UserError(
            f"{output} is there and holds something else", mend="choose another output with -o"
        )


def _is_converted(source: Source, output: Path, storage: Storage) -> bool:
    """Whether ``output`` is what would be written; told for one file in the source's own dtype."""
    if source.path.resolve() == output.resolve():
        raise UserError(f"the output {output} is the input", mend="choose another output with -o")
    if not (output / "config.json").is_file() or storage.max_shard_bytes is not None:
        return False
    beside = model_files(source, storage)
    weights = {"model.safetensors"}
    if {entry.name for entry in output.iterdir()} != beside.keys() | weights:
        return False
    specs = check_compatible([source]).averaged
    if any(stored_as(spec, storage.dtype) != spec for spec in specs.values()):
        return False
    stream = as_safetensors({name: source.stored[name] for name in specs})
    return all((output / name).read_bytes() == data for name, data in beside.items()) and (
        open_checkpoint(output).weights_sha256 == stream_sha256(stream, source.stored)
    )
