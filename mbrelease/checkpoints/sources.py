"""Find and open checkpoints of every format, on disk and on the Hub."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from mbrelease.checkpoints.checkpoint import (
    SHARD_INDEX,
    SINGLE_FILE,
    STEP_FOLDER,
    has_file,
    has_safetensors,
    open_checkpoint,
    step_of,
)
from mbrelease.checkpoints.composer import open_composer
from mbrelease.checkpoints.dcp import FSDP_FOLDER, open_dcp
from mbrelease.checkpoints.dcp_metadata import METADATA_FILE
from mbrelease.checkpoints.discover import COMPOSER_SAVE, composer_saves, in_order, step_folders
from mbrelease.checkpoints.hub_source import SCHEME, open_hub, parse_hub_id
from mbrelease.checkpoints.pytorch_bin import BIN_FILE, BIN_INDEX, open_bin
from mbrelease.checkpoints.source import Source
from mbrelease.errors import UserError

ZERO_SCRIPT = "zero_to_fp32.py"

_WEIGHTS = (SINGLE_FILE, SHARD_INDEX, BIN_FILE, BIN_INDEX, METADATA_FILE)
_RANK_FILE = re.compile(r"(.*rank)(\d+)\.pt")
_TRAINER_STATE = re.compile(
    r"(optimizer|scheduler|scaler)\.(pt|bin)|training_args\.bin|rng_state.*|trainer_state\.json"
    r"|.*\.(pkl|pickle)"
)
_SHAPE_OF_HUB_ID = re.compile(r"[A-Za-z0-9_][\w.-]*/[A-Za-z0-9_][\w.-]*")
_WHAT_TO_GIVE = (
    "give a folder with model.safetensors, pytorch_model.bin or a .metadata, a Composer .pt file, "
    "a run's folder, or org/name@revision"
)


def discover_sources(targets: Sequence[str]) -> list[Source]:
    """The checkpoints that ``targets`` name: by step where each has one, else as given.

    Args:
        targets: Each a checkpoint's folder or file, a Trainer's output folder (``checkpoint-*``
            inside), a folder that Composer saved into, or a model on the Hub (``org/name@main``,
            ``hf://org/name``). A path that exists goes before a model of the same name.

    Raises:
        UserError: a target holds no checkpoint or a broken one, or two are the same.
        CheckFailed: the Hub has no such model, or cannot be asked.
    """
    return in_order([source for target in targets for source in _found(target)])


def open_source(path: Path) -> Source:
    """Open the one checkpoint at ``path``, in whatever format it is.

    Where a folder holds several, safetensors goes before ``pytorch_model.bin``, and that before
    torch DCP. A trainer's other files are never opened.

    Raises:
        UserError: there are no weights, or they are broken.
    """
    if not path.exists():
        raise UserError(f"{path} does not exist", mend=_mend_of_missing(str(path)))
    return _open_folder(path) if path.is_dir() else _open_file(path)


def _found(target: str) -> list[Source]:
    path = Path(target)
    if target.startswith(SCHEME) or not path.exists():
        wanted = parse_hub_id(target)
        if wanted is None:
            raise UserError(f"{target} does not exist", mend=_mend_of_missing(target))
        return [open_hub(wanted)]
    saved = [folder for _step, folder in step_folders(path)] or composer_saves(path)
    return [open_source(entry) for entry in saved] or [open_source(path)]


def _mend_of_missing(target: str) -> str:
    if _SHAPE_OF_HUB_ID.fullmatch(target):
        return f"a model on the Hub is written with its revision: {target}@main"
    return _WHAT_TO_GIVE


def _open_folder(path: Path) -> Source:
    if has_safetensors(path):
        return open_checkpoint(path)
    if has_file(path, (BIN_FILE, BIN_INDEX)):
        return open_bin(path, step_of(path))
    if has_file(path, (METADATA_FILE,)):
        return open_dcp(path)
    if (path / FSDP_FOLDER / METADATA_FILE).is_file():
        return open_dcp(path / FSDP_FOLDER)
    if inside := [folder for _step, folder in step_folders(path)] or composer_saves(path):
        raise UserError(
            f"{path} holds {len(inside)} checkpoints", mend=f"give one of them: {inside[-1]}"
        )
    raise _no_weights(path)


def _no_weights(folder: Path) -> UserError:
    if (folder / ZERO_SCRIPT).is_file():
        return UserError(
            f"{folder} holds the shards of DeepSpeed ZeRO, which only its own script puts together",
            mend=f"python {folder / ZERO_SCRIPT} {folder} {folder}",
        )
    if STEP_FOLDER.match(folder.name) or COMPOSER_SAVE.match(folder.name):
        return UserError(
            f"{folder} holds no weights: saving did not end, or they were deleted",
            mend="move it away, or give the finished checkpoints one by one",
        )
    return UserError(f"no weights in {folder}", mend=_WHAT_TO_GIVE)


def _open_file(path: Path) -> Source:
    if _TRAINER_STATE.fullmatch(path.name):
        raise UserError(f"{path} is the trainer's own state, not weights", mend=_WHAT_TO_GIVE)
    if path.suffix == ".pt":
        return _open_composer(path)
    if path.name in _WEIGHTS and has_file(path.parent, {*_WEIGHTS} - {path.name}):
        raise UserError(
            f"{path} is not the only weights in {path.parent}",
            mend=f"give the folder ({SINGLE_FILE} goes first), or move one of them away",
        )
    if path.name in (SINGLE_FILE, BIN_FILE):
        return _open_folder(path.parent)
    if path.suffix in (".safetensors", ".bin", ".distcp", ".json") or path.name == METADATA_FILE:
        raise UserError(f"{path} is a part of a checkpoint", mend=f"give its folder: {path.parent}")
    raise UserError(f"{path} is no checkpoint", mend=_WHAT_TO_GIVE)


def _open_composer(path: Path) -> Source:
    """Open a file of weights; ``latest-rank0.pt`` is a link to one."""
    real = path.resolve()
    if match := _RANK_FILE.fullmatch(real.name):
        ranks = sorted(p.name for p in real.parent.iterdir() if _is_other_rank(p.name, match[1]))
        if ranks:
            raise UserError(
                f"{path} is one piece of a checkpoint in pieces by rank ({ranks[0]}), which only "
                "the Composer that wrote it can put together",
                mend="load it there, and save it with fsdp state_dict_type: full",
            )
    return open_composer(path)


def _is_other_rank(name: str, stem: str) -> bool:
    match = _RANK_FILE.fullmatch(name)
    return match is not None and match[1] == stem and int(match[2]) > 0
