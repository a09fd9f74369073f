"""Whether a step changed weights and tokenizer, as far as files beside the registry tell.

What is read are hashes that stand somewhere already, and a tokenizer.json where one lies: no
weights are hashed for a question. What cannot be read tells nothing here; the commands that need it
complain.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mbrelease.errors import UserError
from mbrelease.file_hashes import SHA256
from mbrelease.files import read_json, sha256_file
from mbrelease.registry.lineage import Step
from mbrelease.registry.project import Project


@dataclass(frozen=True)
class Parts:
    """The sha256 of what a model is made of; ``None`` where nobody knows."""

    weights: str | None
    tokenizer: str | None


def changed_parts(project: Project, step: Step) -> dict[str, str]:
    """``changed`` or ``the same`` for weights and tokenizer, where both sides are known."""
    child = known_parts(project, step.child)
    parent = known_parts(project, step.parent, held_against_by=step.child)
    found = {}
    for part in ("weights", "tokenizer"):
        before, after = getattr(parent, part), getattr(child, part)
        if before is not None and after is not None:
            found[part] = "the same" if before == after else "changed"
    return found


def known_parts(project: Project, name: str, held_against_by: str | None = None) -> Parts:
    """What is known of the decided, released or last described weights of a variant.

    Args:
        project: the registry with the files beside it.
        name: the variant.
        held_against_by: a variant whose decision or card may know these weights.
    """
    decision = _read(project.decision(name))
    chosen = next(
        (c for c in _list(decision.get("candidates")) if c.get("name") == decision.get("chosen")),
        {},
    )
    record = _read(_record(project, name))
    weights = _sha256(chosen.get("weights_sha256")) or _sha256(record.get("weights_sha256"))
    if weights is None and held_against_by is not None:
        weights = _beside(project, name, held_against_by)
    folders = [project.release(name)]
    folders += [project.path(chosen["path"])] if chosen.get("path") else []
    stated = project.registry.variants[name].weights
    folders += [project.path(stated)] if stated else []
    return Parts(weights, _tokenizer(folders) or _measured_tokenizer(project, weights))


def _beside(project: Project, name: str, other: str) -> str | None:
    decision = _read(project.decision(other))
    policy = decision.get("policy")
    reference = policy.get("reference") if isinstance(policy, dict) else None
    if project.registry.aliases.get(str(reference), reference) == name:
        side = decision.get("reference")
        return _sha256(side.get("weights_sha256")) if isinstance(side, dict) else None
    beside = _read(_record(project, other)).get("beside")
    return _sha256(beside.get(name)) if isinstance(beside, dict) else None


def _tokenizer(folders: list[Path]) -> str | None:
    for folder in folders:
        path = folder / "tokenizer.json"
        try:
            if path.is_file():
                return sha256_file(path)
        except UserError:
            continue
    return None


def _measured_tokenizer(project: Project, weights: str | None) -> str | None:
    """The tokenizer that the weights were measured with."""
    folder = project.evidence / (weights or "")[:16]
    for path in sorted(folder.glob("[!.]*.json")) if weights else []:
        for entry in _entries(_read(path)):
            provenance = entry.get("provenance")
            if isinstance(provenance, dict) and provenance.get("weights_sha256") == weights:
                return _sha256(provenance.get("tokenizer_sha256"))
    return None


def _entries(content: dict[str, Any]) -> Iterator[dict[str, Any]]:
    scores = content.get("scores")
    for entries in scores.values() if isinstance(scores, dict) else ():
        yield from _list(entries)


def _record(project: Project, name: str) -> Path:
    return project.evidence / "models" / f"{name}.json"


def _read(path: Path) -> dict[str, Any]:
    try:
        content = read_json(path) if path.is_file() else {}
    except UserError:
        return {}
    return content if isinstance(content, dict) else {}


def _list(value: Any) -> list[dict[str, Any]]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def _sha256(value: Any) -> str | None:
    return value if isinstance(value, str) and SHA256.fullmatch(value) else None
