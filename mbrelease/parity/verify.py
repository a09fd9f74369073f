"""Ask every check, in an order in which a later one may rely on the earlier."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from mbrelease.checkpoints.checkpoint import Checkpoint, open_checkpoint
from mbrelease.checkpoints.config import ModernBertConfig, normal_form
from mbrelease.checkpoints.hub_folder import HubFolder
from mbrelease.errors import UserError
from mbrelease.parity.checks import config as config_checks
from mbrelease.parity.checks import lineage, loading, tensors
from mbrelease.parity.checks import tokenizer as tokenizer_checks
from mbrelease.parity.checks.drift import check_drift, skip_drift
from mbrelease.parity.checks.files import check_files
from mbrelease.parity.checks.hashes import Recorded, check_hashes
from mbrelease.parity.checks.numerics import check_numerics
from mbrelease.parity.checks.pooling import check_pooling, pooling_of
from mbrelease.parity.checks.shapes import SmTable, check_shapes
from mbrelease.parity.checks.size import check_size
from mbrelease.parity.checks.values import check_values
from mbrelease.parity.checks.versions import check_versions, skip_versions
from mbrelease.parity.drift import Drift, drift
from mbrelease.parity.family import Member
from mbrelease.parity.reference import architecture_of, head_of
from mbrelease.parity.report import CheckResult, Report, skipped
from mbrelease.progress import SILENT, Progress

TRAINER_STATE = "trainer_state.json"
BEFORE_LOADING = frozenset(
    {"config.readable", "tensors.header", "tensors.names", "tensors.shapes", "tensors.finite"}
)
BEFORE_DRIFT = frozenset({"tensors.header", "tensors.index", "tensors.finite"})


def verify(
    path: Path | Checkpoint,
    *,
    against: Path | Checkpoint | Member | None = None,
    relation: str | None = None,
    declared: Mapping[str, int | None] | None = None,
    sm_table: SmTable = "product",
    release: bool = False,
    receipt: Recorded | None = None,
    load: bool = True,
    versions: Sequence[str] = (),
    progress: Progress = SILENT,
) -> Report:
    """Is the folder ``path`` a ModernBERT, fit to be published, and does it compute?

    A folder with ``trainer_state.json`` is a trainer's own: what a release mends on the way only
    warns there. What is on the Hub is published, whatever lies in it.

    Args:
        path: a folder with config.json, safetensors and a tokenizer, or a checkpoint that is open.
        against: the folder of the parent, to compare config, tokenizer and weights with, or a
            known member of the family, of which there is a config alone.
        relation: how ``path`` came from the parent; it says what may differ.
        declared: the registry's ``architecture`` of the variant, which must be so.
        sm_table: the SMs of the GPUs that the shapes are held to.
        release: ``path`` is a release, whatever lies in it.
        receipt: what the receipt of its publication says of its files.
        load: also read every value and run the model; ``False`` reads headers and JSON alone.
        versions: of transformers that must compute the same, such as ``4.48.3``.
        progress: is told how far the reading is.

    Raises:
        NoSuchVersion: the package index does not have one of ``versions``.
        UserError: there is no checkpoint in ``path`` or ``against``, or it is not a ModernBERT.
    """
    checkpoint = open_modernbert(path)
    parent = open_modernbert(against) if isinstance(against, Path | Checkpoint) else None
    known = release or isinstance(checkpoint, HubFolder)
    publishable = known or not (checkpoint.path / TRAINER_STATE).exists()
    results = config_checks.check_config(checkpoint.raw_config, publishable=publishable)
    config = _readable(checkpoint)
    if config is not None:
        origin = _origin(against, parent)
        results += lineage.check_lineage(
            config, checkpoint.raw_config, origin, relation, declared or {}
        )
        results += check_pooling(
            checkpoint.path, config, parent=_pooling(against, parent), relation=relation
        )
        results += check_shapes(config, sm_table)
    results += _weights(checkpoint, config, load=load, progress=progress)
    found, moved = _drift(checkpoint, parent, results, load=load, progress=progress)
    results += found
    results += tokenizer_checks.check_tokenizer(
        checkpoint,
        config,
        publishable=publishable,
        parent=parent,
        new_vocabulary=_has_new_vocabulary(config, parent, relation, declared or {}),
    )
    results += check_files(checkpoint, publishable=publishable)
    results.append(check_hashes(checkpoint, read=load, receipt=receipt))
    results += _loading(checkpoint, results, load=load, progress=progress)
    if blocked := _blocked(results, load=load):
        results += skip_versions(versions, blocked)
    elif versions:
        results += check_versions(checkpoint, versions, publishable=publishable, progress=progress)
    # A model on the Hub is known by its id, and not by where the cache keeps it.
    shown = Path(checkpoint.name) if isinstance(checkpoint, HubFolder) else checkpoint.path
    return Report(path=shown, results=tuple(results), drift=moved)


def _origin(
    against: Path | Checkpoint | Member | None, parent: Checkpoint | None
) -> lineage.Origin | None:
    if isinstance(against, Member):
        return lineage.origin_of_member(against)
    if parent is None:
        return None
    return lineage.origin_of_folder(parent.config, parent.raw_config)


def _pooling(against: Path | Checkpoint | Member | None, parent: Checkpoint | None) -> str | None:
    if parent is not None:
        return pooling_of(parent.path)
    return against.pooling if isinstance(against, Member) else None


def open_modernbert(path: Path | Checkpoint) -> Checkpoint:
    """The checkpoint in ``path``, or the one that it is.

    Raises:
        UserError: there is none, or it is another model (which is named).
    """
    checkpoint = path if isinstance(path, Checkpoint) else open_checkpoint(path)
    model_type = checkpoint.raw_config.get("model_type")
    if model_type != "modernbert":
        kind = f"a {model_type!r}" if model_type else "a model of no stated model_type"
        raise UserError(
            f"{_place(checkpoint)}: {kind}, not a ModernBERT",
            mend="give a folder whose config.json has model_type 'modernbert'",
        )
    return checkpoint


def _has_new_vocabulary(
    config: ModernBertConfig | None,
    parent: Checkpoint | None,
    relation: str | None,
    declared: Mapping[str, int | None],
) -> bool:
    """Whether another tokenizer than the parent's is declared: by the relation, or by its size."""
    if "vocab_size" in lineage.MAY_CHANGE.get(relation or "", ()):
        return True
    if config is None or parent is None:
        return False
    return declared.get("vocabulary") == config.vocab_size != parent.config.vocab_size


def _place(checkpoint: Checkpoint) -> str:
    if isinstance(checkpoint, HubFolder):
        return f"config.json of {checkpoint.name}"
    return str(checkpoint.path / "config.json")


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
    results = tensors.check_tensors(checkpoint, config) + check_size(checkpoint, config)
    finite = "every value is finite"
    if any(result.name == "tensors.header" for result in results):
        return results
    if not load:
        return [*results, skipped("tensors.finite", expected=finite, reason="headers only")]
    return [*results, *check_values(checkpoint, progress)]


def _drift(
    checkpoint: Checkpoint,
    parent: Checkpoint | None,
    before: Sequence[CheckResult],
    *,
    load: bool,
    progress: Progress,
) -> tuple[list[CheckResult], Drift | None]:
    if parent is None:
        return [], None
    broken = [r.name for r in before if r.name in BEFORE_DRIFT and r.status == "fail"]
    if not load or broken:
        reason = f"{', '.join(broken)} did not pass" if load else "headers only"
        return [skip_drift(reason)], None
    found = drift(checkpoint, parent, progress)
    return check_drift(found), found


def _loading(
    checkpoint: Checkpoint, before: list[CheckResult], *, load: bool, progress: Progress
) -> list[CheckResult]:
    head, reason = head_of(checkpoint.raw_config), _blocked(before, load=load)
    if reason is None and head is None:
        reason = f"no check for {architecture_of(checkpoint.raw_config)}"
    if head is None or reason is not None:
        expected = "it loads with transformers and computes"
        return [skipped("loading.auto_model", expected=expected, reason=str(reason))]
    progress.start("loading with transformers", 1, "model")
    results, loaded = loading.check_loading(checkpoint.path, head)
    progress.advance()
    return results + (check_numerics(loaded, progress) if loaded else [])


def _blocked(before: Sequence[CheckResult], *, load: bool) -> str | None:
    """Why nothing may be loaded, if so.

    A config may ask for any amount of memory; only one that its own weights bear out is built.
    """
    if not load:
        return "headers only"
    blocking = [r.name for r in before if r.name in BEFORE_LOADING and r.status in ("fail", "skip")]
    return f"{', '.join(blocking)} did not pass, so nothing was loaded" if blocking else None
