"""The checks of a release, run once: a pass is remembered with the bytes that passed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mbrelease import __version__
from mbrelease.cards.lock import LOCK_NAME
from mbrelease.checkpoints.checkpoint import Checkpoint, open_checkpoint
from mbrelease.errors import UserError
from mbrelease.evaluation.candidates import NoWeights, released_checkpoint
from mbrelease.file_hashes import file_sha256
from mbrelease.files import read_json, sha256_file, sha256_json, write_json
from mbrelease.hub.signed_files import SIGNATURE
from mbrelease.progress import SILENT, Progress
from mbrelease.registry.project import Project

if TYPE_CHECKING:
    from mbrelease.parity.report import Report

# What may be deleted at any time: it only saves work.
STATE = ".mbrelease"
# What is written after the checks, and says nothing of the model.
WRITTEN_LATER = ("README.md", LOCK_NAME, "figures", ".eval_results", SIGNATURE)


@dataclass(frozen=True)
class Pass:
    """A remembered pass."""

    files: dict[str, str]
    """The sha256 of each file that was looked at, by path."""
    mbrelease: str
    """The version that looked."""


def verify_release(project: Project, variant: str, *, progress: Progress = SILENT) -> Report | None:
    """Check the release of ``variant``, against its parent where that is on disk.

    A pass is remembered, and how far the weights moved is kept as evidence.

    Returns:
        The report, or ``None`` where the same bytes passed before.

    Raises:
        UserError: there is no release that could be checked.
    """
    from mbrelease.parity.verify import verify

    release, parent = project.release(variant), _parent(project, variant)
    stated = project.variant(variant).architecture
    declared = stated.model_dump() if stated else None
    inputs = {
        "declared": declared,
        "release": release_contents(release),
        "parent": _identity(parent.checkpoint) if parent else None,
        "relation": parent.relation if parent else None,
        "mbrelease": __version__,
    }
    known = _known(project, variant)
    if known.get("inputs") == inputs:
        drift = known.get("drift")
        if drift is None or (project.root / drift).exists():
            return None
    report = verify(
        release,
        against=parent.checkpoint.path if parent else None,
        relation=parent.relation if parent else None,
        declared=declared,
        release=True,
        progress=progress,
    )
    if report.passed:
        drift = _keep_drift(project, variant, report, parent)
        shown = str(drift.relative_to(project.root)) if drift else None
        content = {"inputs": inputs, "report": report.as_json(), "drift": shown}
        write_json(_record(project, variant), content)
    return report


def remembered_pass(project: Project, variant: str) -> Pass | None:
    """The last pass of the release of ``variant``, of whatever bytes; ``None`` without one."""
    inputs = _known(project, variant).get("inputs")
    if not isinstance(inputs, dict) or not isinstance(inputs.get("release"), dict):
        return None
    return Pass(inputs["release"], str(inputs.get("mbrelease")))


def release_contents(folder: Path) -> dict[str, str]:
    """The sha256 of each file of a release that the checks can look at, by path."""
    return {
        file.relative_to(folder).as_posix(): file_sha256(file)
        for file in sorted(folder.rglob("*"))
        if file.is_file() and file.relative_to(folder).parts[0] not in WRITTEN_LATER
    }


@dataclass(frozen=True)
class _Parent:
    """What a release came from, where that is on this machine."""

    variant: str
    relation: str
    checkpoint: Checkpoint


def _parent(project: Project, variant: str) -> _Parent | None:
    for parent in project.variant(variant).parents:
        try:
            checkpoint = released_checkpoint(project, parent.variant)
        except NoWeights:
            # A parent that was never on this machine cannot be compared with.
            continue
        return _Parent(parent.variant, parent.relation, checkpoint)
    return None


def _identity(parent: Checkpoint) -> dict[str, str]:
    """The sha256 of all of a parent that the checks look at."""
    names = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json")
    return {
        "weights": parent.weights_sha256,
        "config": sha256_json(dict(parent.raw_config)),
        **{n: sha256_file(parent.path / n) for n in names if (parent.path / n).is_file()},
    }


def _keep_drift(
    project: Project, variant: str, report: Report, parent: _Parent | None
) -> Path | None:
    """Keep how far the weights moved as evidence, from which the card tells it."""
    if parent is None or report.drift is None:
        return None
    from mbrelease.parity.drift_record import write_drift_record

    return write_drift_record(
        project.evidence,
        report.drift,
        open_checkpoint(project.release(variant)).weights_sha256,
        parent.variant,
        parent.checkpoint.weights_sha256,
    )


def _record(project: Project, variant: str) -> Path:
    return project.root / STATE / "verified" / f"{variant}.json"


def _known(project: Project, variant: str) -> dict[str, Any]:
    """The record of the last pass; empty where there is none, or it cannot be read."""
    try:
        content = read_json(_record(project, variant))
    except UserError:
        return {}
    return content if isinstance(content, dict) else {}
