"""mteb: ``results/<org__model>/<revision>/<Task>.json`` with a ``model_meta.json`` beside them.

The layout is that of mteb's ``TaskResult`` since 1.11.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from mbrelease.errors import UserError
from mbrelease.evaluation.evidence import UNDETERMINED
from mbrelease.evaluation.importers.contract import Reported, finite, is_number, read_object
from mbrelease.evaluation.reported import RESERVED, ReportedResult, ReportSource
from mbrelease.files import read_json

META = "model_meta.json"


def recognises(path: Path) -> bool:
    """A task's result, or the description of the model beside it."""
    content = read_object(path)
    if content is None:
        return False
    if path.name == META:
        return {"name", "revision"} <= content.keys()
    return "mteb_dataset_name" in content or (
        {"task_name", "scores"} <= content.keys() and isinstance(content["scores"], dict)
    )


def read(path: Path) -> list[Reported]:
    """Every metric of every split and subset; nothing from ``model_meta.json``."""
    if path.name == META:
        return []
    content = read_json(path)
    if "mteb_dataset_name" in content:
        raise UserError(
            f"{path} was written by mteb before 1.11",
            mend="load and save it with a newer mteb: TaskResult.from_disk(…).to_disk(…)",
        )
    version = content.get("mteb_version")
    source = ReportSource(name=f"mteb {version}" if version else "mteb")
    details = _details(path, content)
    try:
        return [
            found
            for split, entries in content["scores"].items()
            for entry in entries
            for found in _of_entry(path, content["task_name"], split, entry, source, details)
        ]
    except (KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{path}: not what mteb writes: {error!r}") from error


def _of_entry(
    path: Path,
    task: str,
    split: str,
    entry: Mapping[str, Any],
    source: ReportSource,
    details: Mapping[str, str],
) -> Iterator[Reported]:
    subset = entry["hf_subset"]
    place = f"{path}: {split}, {subset}"
    n_examples = entry.get("n_examples")
    for metric, value in _metrics(entry, place).items():
        result = ReportedResult(
            task_name=task,
            split=split,
            metric=metric,
            value=value,
            source=source,
            subset=subset,
            n_examples=n_examples if isinstance(n_examples, int) else None,
            languages=tuple(entry["languages"]) or (UNDETERMINED,),
            details=details,
        )
        yield Reported(result, f"{place}, {metric}")


def _metrics(entry: Mapping[str, Any], place: str) -> dict[str, float]:
    """The numbers of an entry, the one that mteb calls the main score first."""
    main = finite(entry["main_score"], f"{place}, main_score")
    metrics = {
        key: finite(value, f"{place}, {key}")
        for key, value in entry.items()
        if is_number(value) and key not in RESERVED and not _undefined(key, value)
    }
    name = next((key for key, value in metrics.items() if value == main), "score")
    return {name: main} | metrics


def _undefined(key: str, value: float) -> bool:
    """mteb writes NaN where the nAUC of its abstention study is undefined; that is no result."""
    return key.startswith("nauc_") and value != value


def _details(path: Path, content: Mapping[str, Any]) -> dict[str, str]:
    """What says which data and which model it was."""
    found = {"dataset_revision": content.get("dataset_revision")}
    if (path.parent / META).is_file():
        meta = read_json(path.parent / META)
        if isinstance(meta, dict):
            found |= {"model": meta.get("name"), "model_revision": meta.get("revision")}
    return {key: value for key, value in found.items() if isinstance(value, str)}
