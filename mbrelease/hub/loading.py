"""Does what was downloaded load? Headers and config always; the model itself where it can."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from pathlib import Path

from mbrelease.checkpoints.checkpoint import SHARD_INDEX, SINGLE_FILE, open_checkpoint
from mbrelease.checkpoints.safetensors_header import read_header
from mbrelease.errors import UserError
from mbrelease.parity.checks.loading import check_loading
from mbrelease.parity.checks.tensors import check_tensors
from mbrelease.parity.reference import architecture_of, head_of
from mbrelease.parity.report import CheckResult

LIBRARIES = ("torch", "transformers")
WEIGHTS = (SINGLE_FILE, SHARD_INDEX)


@dataclass(frozen=True)
class Loading:
    """What was tried with a folder, and what came of it."""

    passed: tuple[str, ...]
    """The names of the checks, such as ``loading.masked_lm``."""
    failures: tuple[str, ...]
    """Sentences."""
    not_loaded: str | None
    """Why no library loaded it; ``None`` where one did, or tried."""


def check_downloaded(folder: Path) -> Loading:
    """Read the headers and the config of what is in ``folder``, and load it as people will.

    ``from_pretrained`` is called where torch and transformers are installed. Weights of another
    kind than a model's own, such as a module of sentence-transformers, have their headers read.
    """
    failures = [
        fault for path in sorted(folder.rglob("*.safetensors")) if (fault := _header_fault(path))
    ]
    if failures:
        return Loading((), tuple(failures), "its headers cannot be read")
    if not any((folder / name).is_file() for name in WEIGHTS):
        return Loading((), (), "it holds no weights of a model")
    try:
        checkpoint = open_checkpoint(folder)
        if checkpoint.raw_config.get("model_type") != "modernbert":
            return Loading((), (), "it is not a ModernBERT")
        results = check_tensors(checkpoint, checkpoint.config)
    except UserError as error:
        return Loading((), (error.message,), "its config cannot be read")
    if any(result.status == "fail" for result in results):
        return _loading(results, "the names or shapes of its tensors are wrong")
    head = head_of(checkpoint.raw_config)
    if head is None:
        return _loading(results, f"a {architecture_of(checkpoint.raw_config)} is not tried")
    missing = [name for name in LIBRARIES if importlib.util.find_spec(name) is None]
    if missing:
        return _loading(results, f"not installed where it was checked: {', '.join(missing)}")
    loaded, _model = check_loading(folder, head)
    return _loading([*results, *loaded], None)


def _loading(results: list[CheckResult], not_loaded: str | None) -> Loading:
    return Loading(
        passed=tuple(result.name for result in results if result.status == "pass"),
        failures=tuple(
            f"{result.name}: {result.found}" for result in results if result.status == "fail"
        ),
        not_loaded=not_loaded,
    )


def _header_fault(path: Path) -> str | None:
    try:
        read_header(path)
    except UserError as error:
        return error.message
    return None
