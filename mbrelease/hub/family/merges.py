"""``mergekit_config.yml``: of what, and by which method, a model was merged."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from mbrelease.metadata.front_matter import read_yaml
from mbrelease.metadata.repo_ids import fault_of_repo_id

_MOST_MODELS = 200


@dataclass(frozen=True)
class Merge:
    """What the file says; ``models`` are ids, each once."""

    method: str
    models: tuple[str, ...]

    @property
    def is_average(self) -> bool:
        """Whether several states of one model were averaged: its checkpoints, by revision."""
        return self.method == "linear" and len(self.models) == 1


def read_merge(text: object, troubles: list[str]) -> Merge | None:
    """The merge that a config describes; ``None`` where there is none."""
    if not isinstance(text, str):
        return None
    document, findings = read_yaml(text)
    value = document.value if document is not None else None
    if not isinstance(value, dict):
        what = f": {findings[0].what}" if findings else ""
        troubles.append(f"mergekit_config.yml: no mapping{what}")
        return Merge("", ())
    named = list(_models(value))[:_MOST_MODELS]
    ids = [each.partition("@")[0] for each in named]
    method = value.get("merge_method")
    return Merge(
        method if isinstance(method, str) else "",
        tuple(dict.fromkeys(each for each in ids if fault_of_repo_id(each) is None)),
    )


def _models(value: Any) -> list[str]:
    """The models of ``models``, of ``slices`` and of ``base_model``, as they are written."""
    sources = list(_mappings(value.get("models")))
    for slice_ in _mappings(value.get("slices")):
        sources += _mappings(slice_.get("sources"))
    named = [value.get("base_model"), *(source.get("model") for source in sources)]
    return [each for each in named if isinstance(each, str)]


def _mappings(value: Any) -> list[dict[str, Any]]:
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []
