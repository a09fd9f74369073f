"""The weights that two variants are compared by, and the config that belongs to them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mbrelease.cards.model_record import ModelRecord, read_record, record_path
from mbrelease.cards.weights import find_weights, read_decision_of
from mbrelease.checkpoints.checkpoint import Checkpoint
from mbrelease.checkpoints.config import FULL, ModernBertConfig, read_config
from mbrelease.errors import UserError
from mbrelease.registry.project import Project
from mbrelease.selection.decision import Decision

_NAMES_IN_CONFIG = {
    "layers": "num_hidden_layers",
    "hidden_size": "hidden_size",
    "attention_heads": "num_attention_heads",
    "intermediate_size": "intermediate_size",
    "context": "max_position_embeddings",
    "vocabulary": "vocab_size",
    "local_window": "local_attention",
    "norm_epsilon": "norm_eps",
    "norm_bias": "norm_bias",
    "rope_theta": "global_rope_theta",
    "local_rope_theta": "local_rope_theta",
}
"""The names that the registry's ``architecture`` has for what a config says."""


@dataclass(frozen=True)
class Side:
    """One of two variants, with what can be found of its weights."""

    name: str
    decision: Decision | None
    weights_sha256: str | None
    """``None``: nobody knows which weights they are."""
    weights: str
    """Which they are, in words."""
    checkpoint: Checkpoint | None
    """Where they are on this machine."""
    record: ModelRecord | None
    config: ModernBertConfig | None
    config_file: str | None
    notes: tuple[str, ...]
    """What could not be read, and why."""


@dataclass(frozen=True)
class Design:
    """The design of a variant, by the names of one vocabulary."""

    source: str
    """The file that it was read from, or that the registry states it."""
    values: Mapping[str, Any]


def read_sides(project: Project, first: str, second: str) -> tuple[Side, Side]:
    """What can be found of both; what one knows of the other's weights is used too."""
    one, two = _side(project, first), _side(project, second)
    return _known_by(project, one, two), _known_by(project, two, one)


def designs(project: Project, first: Side, second: Side) -> tuple[Design, Design]:
    """Both designs by the same names: config.json's where both have one, else the registry's."""
    if first.config is not None and second.config is not None:
        one, two = (
            Design(str(side.config_file), _config(side.config))
            for side in (first, second)
            if side.config is not None
        )
        return one, two
    return _design(project, first), _design(project, second)


def _side(project: Project, name: str) -> Side:
    notes: list[str] = []
    decision = checkpoint = None
    sha256, what = None, "no weights are known"
    try:
        decision = read_decision_of(project, name)
    except UserError as problem:
        notes.append(problem.message)
    record = read_record(record_path(project.evidence, name))
    try:
        found = find_weights(project, name, decision)
        sha256, checkpoint = found.sha256, found.checkpoint
        what = _words(project, sha256, checkpoint, decision)
    except UserError as problem:
        notes.append(problem.message)
    config, file, problems = _read_config(project, name, decision, checkpoint)
    return Side(name, decision, sha256, what, checkpoint, record, config, file, (*notes, *problems))


def _words(
    project: Project, sha256: str | None, checkpoint: Checkpoint | None, decision: Decision | None
) -> str:
    if sha256 is None:
        return "no weights are known"
    if decision is not None and decision.chosen is not None:
        return f"{decision.chosen}, as decided"
    if checkpoint is not None:
        return _shown(project, checkpoint.path)
    return "as they were when its last card was written"


def _known_by(project: Project, side: Side, other: Side) -> Side:
    """``side`` with the weights that the other was held against, where its own are not here."""
    if side.weights_sha256 is not None:
        return side
    sha256, what = None, side.weights
    if other.decision is not None:
        reference = other.decision.policy.reference
        if project.registry.aliases.get(reference, reference) == side.name:
            sha256 = other.decision.reference.weights_sha256
            what = f"the reference that {other.name} was decided against"
    if sha256 is None and other.record is not None and side.name in other.record.beside:
        sha256 = other.record.beside[side.name]
        what = f"as the last card of {other.name} knew it"
    return Side(
        side.name, side.decision, sha256, what, None, side.record, side.config, side.config_file,
        side.notes if sha256 is None else (),
    )  # fmt: skip


def _read_config(
    project: Project, name: str, decision: Decision | None, checkpoint: Checkpoint | None
) -> tuple[ModernBertConfig | None, str | None, list[str]]:
    entry = project.registry.variants[name]
    chosen = decision.chosen_candidate if decision is not None else None
    folders = [
        checkpoint.path if checkpoint is not None else None,
        project.path(chosen.path) if chosen is not None and chosen.path else None,
        project.path(entry.weights) if entry.weights else None,
        project.release(name),
    ]
    for folder in folders:
        path = folder / "config.json" if folder is not None else None
        if path is None or not path.is_file():
            continue
        try:
            return read_config(path), _shown(project, path), []
        except UserError as problem:
            return None, None, [problem.message]
    return None, None, []


def _design(project: Project, side: Side) -> Design:
    if side.config is not None:
        values = {ours: getattr(side.config, name) for ours, name in _NAMES_IN_CONFIG.items()}
        return Design(str(side.config_file), values)
    stated = project.registry.variants[side.name].architecture
    values = stated.model_dump(exclude_none=True) if stated is not None else {}
    return Design("stated in the registry" if values else "nothing is stated", values)


def _config(config: ModernBertConfig) -> dict[str, Any]:
    values = asdict(config)
    values["layer_types"] = "".join("G" if kind == FULL else "l" for kind in config.layer_types)
    return values


def _shown(project: Project, path: Path) -> str:
    return str(path.relative_to(project.root) if path.is_relative_to(project.root) else path)
