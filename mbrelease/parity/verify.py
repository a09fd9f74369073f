"""Ask every check, in an order in which a later one may rely on the earlier."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mbrelease.checkpoints.checkpoint import Checkpoint, open_checkpoint
from mbrelease.checkpoints.config import ModernBertConfig, normal_form
from mbrelease.errors import UserError
from mbrelease.parity.checks import config as config_checks
from mbrelease.parity.checks import lineage, loading, tensors
from mbrelease.parity.checks import tokenizer as tokenizer_checks
from mbrelease.parity.checks.files import check_files
from mbrelease.parity.checks.values import check_values
from mbrelease.parity.reference import head_of
from mbrelease.parity.report import CheckResult, Report, skipped
from mbrelease.progress import SILENT, Progress

TRAINER_STATE = "trainer_state.json"
BEFORE_LOADING = frozenset(
    {"config.readable", "tensors.header", "tensors.names", "tensors.shapes", "tensors.finite"}
)


def verify(
    path: Path,
    *,
    against: Path | None = None,
    relation: str | None = None,
    load: bool = True,
    progress: Progress = SILENT,
) -> Report:
    """Is the folder ``path`` a ModernBERT, fit to be published, and does it compute?

    A folder with ``trainer_state.json`` is a trainer's own: what a release mends on the way only
    warns there.

    Args:
        path: a folder with config.json, safetensors and a tokenizer.
        against: the folder of the parent, to compare config and tokenizer with.
        relation: how ``path`` came from the parent; it says what may differ.
        load: also read every value and run the model; ``False`` reads headers and JSON alone.
        progress: is told how far the reading is.

    Raises:
        UserError: there is no checkpoint in ``path`` or ``against``, or it is not a ModernBERT.
    """
    checkpoint = open_modernbert(path)
    parent = open_modernbert(against) if against is not None else None
    publishable = not (path / TRAINER_STATE).exists()
    results = config_checks.check_config(checkpoint.raw_config, publishable=publishable)
    config = _readable(checkpoint)
    if config is not None:
        results += _lineage(checkpoint.raw_config, config, parent, relation)
    results += _weights(checkpoint, config, load=load, progress=progress)
    results += tokenizer_checks.check_tokenizer(
        checkpoint,
        config,
        publishable=publishable,
        parent=parent,
        new_vocabulary="vocab_size" in lineage.MAY_CHANGE.get(relation or "", ()),
    )
    results += check_files(path, publishable=publishable)
    results += _loading(checkpoint, results, load=load, progress=progress)
    return Report(path=path, results=tuple(results))


def _lineage(
    raw: Mapping[str, Any],
    config: ModernBertConfig,
    parent: Checkpoint | None,
    relation: str | None,
) -> list[CheckResult]:
    results = [lineage.check_family(config, raw, judged=parent is not None)]
    if parent is not None:
        origin = lineage.origin_of_folder(parent.config, parent.raw_config)
        results.append(lineage.check_against_parent(config, raw, origin, relation))
    return results


def open_modernbert(path: Path) -> Checkpoint:
    """The checkpoint in ``path``.

    Raises:
        UserError: there is none, or it is another model (which is named).
    """
    checkpoint = open_checkpoint(path)
    model_type = checkpoint.raw_config.get("model_type")
    if model_type != "modernbert":
        kind = f"a {model_type!r}" if model_type else "a model of no stated model_type"
        raise UserError(
            f"{path / 'config.json'}: {kind}, not a ModernBERT",
            mend="give a folder whose config.json has model_type 'modernbert'",
        )
    return checkpoint


def _readable(checkpoint: Checkpoint) -> ModernBertConfig | None:
    try:
        return normal_form(checkpoint.raw_config)
    except ValueError:
        return None  # config.readable says why


def _weights(
    checkpoint: Checkpoint, config: ModernBertConfig | None, *, load: bool, progress: Progress
) -> list[CheckResult]:
    if config is None:
        reason = "the config cannot be read"
        return [skipped("tensors.names", expected="the tensors of the config", reason=reason)]
    results = tensors.check_tensors(checkpoint, config)
    finite = "every value is finite"
    if any(result.name == "tensors.header" for result in results):
        return results
    if not load:
        return [*results, skipped("tensors.finite", expected=finite, reason="headers only")]
    return [*results, *check_values(checkpoint, progress)]


def _loading(
    checkpoint: Checkpoint, before: list[CheckResult], *, load: bool, progress: Progress
) -> list[CheckResult]:
    # A config may ask for any amount of memory; only one that its own weights bear out is built.
    blocking = [r.name for r in before if r.name in BEFORE_LOADING and r.status in ("fail", "skip")]
    head = head_of(checkpoint.raw_config)
    if not load:
        reason = "headers only"
    elif blocking or head is None:
        reason = f"{', '.join(blocking)} did not pass, so nothing was loaded"
    else:
        progress.start("loading with transformers", 1, "model")
        results = loading.check_loading(checkpoint.path, head)
        progress.advance()
        return results
    expected = "it loads with transformers and computes"
    return [skipped("loading.model", expected=expected, reason=reason)]
