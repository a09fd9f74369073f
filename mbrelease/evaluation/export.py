"""Measured evidence as mteb's results: ``results/<org__model>/<revision>/<task>.json``.

mteb reads them with ``mteb.ResultCache(FOLDER).load_results()``. What mteb does not know stays
inside the score entries: intervals, sample sizes, provenance.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mbrelease.checkpoints.checkpoint import Checkpoint
from mbrelease.errors import UserError
from mbrelease.evaluation.comparable import comparable_records
from mbrelease.evaluation.evidence import (
    UNDETERMINED,
    EvidenceRecord,
    measured_tasks,
    task_result,
)
from mbrelease.files import json_text, write_text

META = "model_meta.json"
SPLITS = ("dev", "test")
# mteb takes no model name without an organisation.
NO_ORGANISATION = "local"

# ISO 639-1 to ISO 639-3 with the usual script, which is how mteb names languages.
_LANGUAGES = {
    "ar": "ara-Arab", "bg": "bul-Cyrl", "ca": "cat-Latn", "cs": "ces-Latn", "da": "dan-Latn",
    "de": "deu-Latn", "el": "ell-Grek", "en": "eng-Latn", "es": "spa-Latn", "et": "est-Latn",
    "fa": "fas-Arab", "fi": "fin-Latn", "fr": "fra-Latn", "he": "heb-Hebr", "hi": "hin-Deva",
    "hr": "hrv-Latn", "hu": "hun-Latn", "id": "ind-Latn", "it": "ita-Latn", "ja": "jpn-Jpan",
    "ko": "kor-Hang", "lt": "lit-Latn", "lv": "lav-Latn", "nl": "nld-Latn", "no": "nor-Latn",
    "pl": "pol-Latn", "pt": "por-Latn", "ro": "ron-Latn", "ru": "rus-Cyrl", "sk": "slk-Latn",
    "sl": "slv-Latn", "sr": "srp-Cyrl", "sv": "swe-Latn", "th": "tha-Thai", "tr": "tur-Latn",
    "uk": "ukr-Cyrl", "ur": "urd-Arab", "vi": "vie-Latn", "zh": "zho-Hans",
}  # fmt: skip


@dataclass(frozen=True)
class Model:
    """A checkpoint and how mteb is to call it."""

    checkpoint: Checkpoint
    name: str
    """A repo id, or any name; one without an organisation gets ``local/``."""
    license: str | None = None
    languages: tuple[str, ...] = ()
    url: str | None = None
    parent: str | None = None
    """The repo id of the model that it was made from."""

    @property
    def full_name(self) -> str:
        """``org/model``."""
        return self.name if "/" in self.name else f"{NO_ORGANISATION}/{self.name}"

    @property
    def revision(self) -> str:
        """The weights themselves: the digits that name the folder of their evidence."""
        return self.checkpoint.weights_sha256[:16]

    @property
    def folder(self) -> Path:
        """Where its results lie, below the folder of the export."""
        return Path("results") / self.full_name.replace("/", "__") / self.revision


def export_mteb(models: Sequence[Model], evidence: Path, output: Path) -> list[Path]:
    """Write the measured results of ``models`` below ``output``.

    mteb has one score a task, split and subset; of records made under several conditions those are
    taken that most of ``models`` share, so that the exported scores may be compared.

    Returns:
        The files, whether they were there before or not; none of a model that has no evidence.

    Raises:
        UserError: there is no evidence of any, or it is malformed.
    """
    files: dict[Path, Any] = {}
    for (index, task), records in _chosen(models, evidence).items():
        model = models[index]
        if task == Path(META).stem:
            raise UserError(f"a task called '{task}' would overwrite {META}", mend="rename it")
        files[output / model.folder / META] = _model_meta(model)
        files[output / model.folder / f"{task}.json"] = _task_json(task, records)
    if not files:
        names = ", ".join(model.name for model in models)
        raise UserError(f"nothing was measured of {names}", mend="measure first: mbrelease eval")
    for path, content in files.items():
        text = json_text(content)
        if not path.is_file() or path.read_text(encoding="utf-8") != text:
            write_text(path, text)
    return list(files)


def _chosen(models: Sequence[Model], evidence: Path) -> dict[tuple[int, str], list[EvidenceRecord]]:
    """The records to export, a split each, by the model's place and the task."""
    checkpoints = [model.checkpoint for model in models]
    measured = [measured_tasks(evidence, one.weights_sha256) for one in checkpoints]
    chosen: dict[tuple[int, str], list[EvidenceRecord]] = {}
    for task in sorted({task for tasks in measured for task in tasks}):
        for split in SPLITS:
            for index, record in enumerate(comparable_records(evidence, checkpoints, task, split)):
                if record is not None:
                    chosen.setdefault((index, task), []).append(record)
    return chosen


def _task_json(task: str, records: Sequence[EvidenceRecord]) -> dict[str, Any]:
    languages = {record.languages for record in records}
    spelt = {one: tuple(map(_language, one)) or (UNDETERMINED,) for one in languages}
    content = task_result(
        task, [replace(record, languages=spelt[record.languages]) for record in records]
    )
    for entries in content["scores"].values():
        for entry in entries:
            # The scores of examples are not exported; their hash says which they were.
            if "per_example" in entry:
                entry["per_example"] = {"sha256": entry["per_example"]["sha256"]}
    return content


def _language(code: str) -> str:
    return _LANGUAGES.get(code, code)


def _model_meta(model: Model) -> dict[str, Any]:
    """The fields of mteb's ``ModelMeta`` that it wants, with what is known of the model."""
    config = model.checkpoint.config
    known = [_LANGUAGES[code] for code in model.languages if code in _LANGUAGES]
    return {
        "name": model.full_name,
        "revision": model.revision,
        "release_date": None,
        "languages": known or None,
        "n_parameters": sum(tensor.elements for tensor in model.checkpoint.stored.values()),
        "memory_usage_mb": None,
        "max_tokens": config.max_position_embeddings,
        "embed_dim": config.hidden_size,
        "license": model.license,
        "open_weights": None,
        "public_training_code": None,
        "public_training_data": None,
        "framework": ["Transformers", "safetensors"],
        "reference": model.url,
        "similarity_fn_name": "cosine",
        "use_instructions": False,
        "training_datasets": None,
        "adapted_from": model.parent,
        "loader": None,
    }
