"""What there is to tell of a variant: in a row of a list, and at length."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from mbrelease.errors import UserError
from mbrelease.files import read_json
from mbrelease.registry.lineage import descendants, steps_to_roots
from mbrelease.registry.project import Project
from mbrelease.registry.schema import Variant
from mbrelease.registry.seen import seen
from mbrelease.registry.steps import step_changes


@dataclass(frozen=True)
class Summary:
    """A variant in one row."""

    name: str
    repo: str | None
    parents: tuple[str, ...]
    state: str
    """``released``, ``planned``, or ``unknown`` where nothing tells."""

    def as_json(self) -> dict[str, Any]:
        """For ``--json``."""
        return {**asdict(self), "parents": list(self.parents)}


def summaries(project: Project) -> list[Summary]:
    """A row for each variant, in the order of the registry."""
    published = published_repos(project)
    return [
        Summary(
            name,
            variant.repo,
            tuple(parent.variant for parent in variant.parents),
            state_of(variant, published),
        )
        for name, variant in project.registry.variants.items()
    ]


def published_repos(project: Project) -> frozenset[str]:
    """The repo ids that receipts beside the registry speak of, in lower case."""
    found = set()
    for path in sorted(project.receipts.rglob("*.json")) if project.receipts.is_dir() else []:
        try:
            receipt = read_json(path)
        except UserError:
            continue  # a broken receipt proves no publication; `push` tells of it
        if isinstance(receipt, dict) and isinstance(receipt.get("repo_id"), str):
            found.add(receipt["repo_id"].casefold())
    return frozenset(found)


def state_of(variant: Variant, published: frozenset[str]) -> str:
    """``released``, ``planned``, or ``unknown`` where nothing tells."""
    if variant.released or (variant.repo or "").casefold() in published:
        return "released"
    # Without weights or a run to release, and no word about it, nothing is known to be planned.
    known = variant.released is False or variant.run or variant.weights
    return "planned" if known else "unknown"


def details(project: Project, name: str) -> dict[str, Any]:
    """All that the registry and the files beside it tell of ``name``, ready for JSON."""
    registry = project.registry
    variant = registry.variants[name]
    entry = variant.model_dump(mode="json", exclude_none=True, exclude_defaults=True)
    entry.setdefault("license", registry.defaults.license)
    entry.setdefault("languages", registry.defaults.languages or None)
    return {
        "variant": name,
        "defined_in": _defined_in(project, name),
        "state": state_of(variant, published_repos(project)),
        "aliases": [alias for alias, target in registry.aliases.items() if target == name],
        "superseded_by": [n for n, v in registry.variants.items() if v.supersedes == name],
        **{key: value for key, value in entry.items() if value is not None},
        "lineage": [
            {**asdict(step), "changes": [c.as_json() for c in step_changes(registry, step)]}
            for step in steps_to_roots(registry, name)
        ],
        "seen": seen(registry, name).as_json(),
        "descendants": descendants(registry, name),
        "files": _files(project, name),
    }


def _defined_in(project: Project, name: str) -> dict[str, Any] | None:
    if name not in project.places:
        return None
    path, line = project.defined_in(name)
    return {"file": _relative(project, path), "line": line}


def _files(project: Project, name: str) -> dict[str, dict[str, Any]]:
    """Where the files of a variant lie, or will lie."""
    variant = project.registry.variants[name]
    places = {
        "run": project.path(variant.run) if variant.run else None,
        "weights": project.path(variant.weights) if variant.weights else None,
        "decision": project.decision(name),
        "release": project.release(name),
    }
    return {
        what: {"path": _relative(project, path), "exists": path.exists()}
        for what, path in places.items()
        if path is not None
    }


def _relative(project: Project, path: Any) -> str:
    return str(path.relative_to(project.root) if path.is_relative_to(project.root) else path)
