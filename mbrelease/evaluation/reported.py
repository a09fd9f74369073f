"""Reported results: what a paper, a card or another harness says of a model, with its source.

They lie apart from what was measured here: ``evidence/reported/<variant>/<task>.json``, in mteb's
layout, with ``source`` where measured results have ``provenance``. A variant is named and not
hashed, because a report says which model it means by name. See docs/formats.md.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from mbrelease.errors import UserError
from mbrelease.evaluation import evidence
from mbrelease.evaluation.evidence import UNDETERMINED
from mbrelease.files import claimed, read_json, write_json

# The fields of a score entry that are not metrics.
RESERVED = evidence.RESERVED | {"seed", "higher_is_better", "stderr", "details", "source"}
AGAIN = "delete the file and import it again"


@dataclass(frozen=True)
class ReportSource:
    """Who says it and where."""

    url: str | None = None
    name: str | None = None
    """A paper, a card, or a harness with its version."""
    place: str | None = None
    """Where in it: a table, a file."""


@dataclass(frozen=True)
class ReportedResult:
    """One number that somebody reported of a variant."""

    task_name: str
    split: str
    metric: str
    """As in measured evidence: ``recall_at_1``, not ``recall@1``."""
    value: float
    """As it was reported: percent stay percent."""
    source: ReportSource
    subset: str = "default"
    seed: int | None = None
    n_examples: int | None = None
    higher_is_better: bool | None = None
    """``None`` where nobody said."""
    stderr: float | None = None
    languages: tuple[str, ...] = (UNDETERMINED,)
    details: Mapping[str, str | int | float] = field(default_factory=dict)
    """What else the harness said, such as ``limit`` or ``step``."""

    @property
    def identity(self) -> tuple[object, ...]:
        """What it is a report of: two with the same identity contradict each other or agree."""
        return (
            self.task_name, self.split, self.subset, self.seed, self.metric, self.source, self.step,
        )  # fmt: skip

    @property
    def step(self) -> int | None:
        """The training step of the checkpoint that was measured, where it was said."""
        step = self.details.get("step")
        return step if isinstance(step, int) else None


@dataclass(frozen=True)
class Change:
    """A result that is brought in, and the one that stood there before."""

    result: ReportedResult
    before: ReportedResult | None

    @property
    def state(self) -> str:
        """``new``, ``known`` or ``changed``."""
        if self.before is None:
            return "new"
        return "known" if self.before == self.result else "changed"


def reported_folder(root: Path, variant: str) -> Path:
    """Where the reported results of ``variant`` lie, a file a task, below the evidence."""
    return root / "reported" / variant


def read_reported(root: Path, variant: str) -> list[ReportedResult]:
    """All that was reported of ``variant``, by task; empty if nothing was.

    Raises:
        UserError: a file is malformed, or holds what was measured.
    """
    files = sorted(reported_folder(root, variant).glob("[!.]*.json"))
    return [result for path in files for result in _read(path)]


def read_positions(path: Path) -> list[tuple[int, ReportedResult]]:
    """The results in one file, each with the position of its entry among those of its split.

    Raises:
        UserError: the file is malformed, or holds what was measured.
    """
    try:
        content = read_json(path)
    except UserError as error:
        raise UserError(error.message, mend=error.mend or AGAIN) from error
    try:
        if content["task_name"] != path.stem:
            raise ValueError(f"it is of task {content['task_name']!r}")
        found = [
            (position, result)
            for split, entries in content["scores"].items()
            for position, entry in enumerate(entries)
            for result in _results(path.stem, split, entry)
        ]
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise UserError(f"{path}: malformed report: {error!r}", mend=AGAIN) from error
    for _, result in found:
        require_types(result, str(path))
    return found


def plan_reported(root: Path, variant: str, results: Sequence[ReportedResult]) -> list[Change]:
    """What writing ``results`` would change, in their order."""
    known = {result.identity: result for result in read_reported(root, variant)}
    return [Change(result, known.get(result.identity)) for result in results]


def write_reported(root: Path, variant: str, results: Sequence[ReportedResult]) -> list[Change]:
    """Add ``results`` to what was reported of ``variant``.

    One with the identity of another takes its place; files in which nothing changes stay as they
    are.

    Returns:
        What became of each, in their order.
    """
    changes: dict[tuple[object, ...], Change] = {}
    for task in dict.fromkeys(result.task_name for result in results):
        path = reported_folder(root, variant) / f"{task}.json"
        with claimed(evidence.scratch_folder(root) / f"reported.{variant}.{path.name}.lock"):
            known = {one.identity: one for one in (_read(path) if path.exists() else [])}
            new = {one.identity: one for one in results if one.task_name == task}
            changes |= {key: Change(one, known.get(key)) for key, one in new.items()}
            if any(changes[key].state != "known" for key in new):
                write_json(path, _task_result(task, list((known | new).values())))
    return [changes[result.identity] for result in results]


def require_types(result: ReportedResult, place: str) -> None:
    """Refuse what a file had of another type, such as a number for a name.

    Raises:
        UserError: says which, and ``place``.
    """
    fields = {name: getattr(result, name) for name in _TYPES} | asdict(result.source)
    for name, value in fields.items():
        if not isinstance(value, _TYPES.get(name, str | None)):
            raise UserError(f"{place}: {name} is {_shown(repr(value))}")
    if not all(isinstance(one, str) for one in result.languages):
        raise UserError(f"{place}: languages are {_shown(repr(result.languages))}")
    if not all(map(_is_plain, result.details.values())):
        raise UserError(f"{place}: details are {_shown(repr(result.details))}")


def require_names(result: ReportedResult, place: str) -> None:
    """Refuse names that cannot stand where they must: in file names and as keys.

    Raises:
        UserError: a name is no such name; says which, and ``place``.
    """
    for what, name in (
        ("task", result.task_name), ("split", result.split), ("metric", result.metric),
    ):  # fmt: skip
        if not _NAME.fullmatch(name):
            raise UserError(
                f"{place}: the {what} {_shown(repr(name))} cannot be the name of a file",
                mend="use up to 100 letters, digits, '.', '_' and '-', a letter or digit first",
            )
    if result.metric in RESERVED:
        raise UserError(f"{place}: no metric can be called '{result.metric}'", mend="rename it")
    if not result.subset.isprintable() or not result.subset.strip():
        raise UserError(f"{place}: the subset {_shown(repr(result.subset))} is no name")


_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_TYPES = {
    "task_name": str,
    "split": str,
    "metric": str,
    "subset": str,
    "seed": int | None,
    "n_examples": int | None,
    "higher_is_better": bool | None,
    "stderr": int | float | None,
    "languages": tuple,
    "details": Mapping,
}


def _is_plain(value: object) -> bool:
    """Whether ``value`` is a text or a number that JSON can hold."""
    return isinstance(value, str | int) or (isinstance(value, float) and math.isfinite(value))


def _shown(text: str) -> str:
    return text if len(text) <= 60 else text[:60] + "…"


def _task_result(task: str, results: Sequence[ReportedResult]) -> dict[str, Any]:
    revisions = {result.details.get("dataset_revision") for result in results}
    revision = revisions.pop() if len(revisions) == 1 else None
    return {
        "task_name": task,
        # mteb wants a text here.
        "dataset_revision": "not reported" if revision is None else str(revision),
        "mteb_version": None,
        "evaluation_time": None,
        "scores": {
            split: _entries(result for result in results if result.split == split)
            for split in dict.fromkeys(result.split for result in results)
        },
    }


def _entries(results: Iterable[ReportedResult]) -> list[dict[str, Any]]:
    """One entry for the metrics that were reported together; the first is the main one."""
    entries: dict[tuple[object, ...], list[ReportedResult]] = {}
    for one in results:
        details = tuple(sorted(one.details.items()))
        key = (one.subset, one.seed, one.source, one.n_examples, one.languages, details)
        entries.setdefault(key, []).append(one)
    return [_entry(together) for together in entries.values()]


def _entry(together: Sequence[ReportedResult]) -> dict[str, Any]:
    first = together[0]
    entry: dict[str, Any] = {
        "hf_subset": first.subset,
        "languages": list(first.languages),
        "main_score": first.value,
        **{one.metric: one.value for one in together},
    }
    optional = {
        "n_examples": first.n_examples,
        "seed": first.seed,
        "higher_is_better": _of_each(together, "higher_is_better"),
        "stderr": _of_each(together, "stderr"),
        "details": dict(first.details) or None,
    }
    entry |= {key: value for key, value in optional.items() if value is not None}
    return entry | {"source": {k: v for k, v in asdict(first.source).items() if v is not None}}


def _of_each(together: Sequence[ReportedResult], name: str) -> dict[str, Any] | None:
    """``{metric: value}`` for the metrics of which ``name`` is known."""
    values = {one.metric: getattr(one, name) for one in together}
    return {metric: value for metric, value in values.items() if value is not None} or None


def _read(path: Path) -> list[ReportedResult]:
    return [result for _, result in read_positions(path)]


def _results(task: str, split: str, entry: Mapping[str, Any]) -> list[ReportedResult]:
    if "provenance" in entry:
        raise ValueError("it was measured: it has a provenance")
    metrics = {key: float(value) for key, value in entry.items() if key not in RESERVED}
    if not metrics:
        raise ValueError("an entry has no metric")
    for key, value in metrics.items():
        if not math.isfinite(value):
            raise ValueError(f"{key} of {entry['hf_subset']} is {value}, not a finite number")
    if entry["main_score"] not in metrics.values():
        raise ValueError("main_score is the value of no metric")
    return [
        ReportedResult(
            task_name=task,
            split=split,
            metric=metric,
            value=value,
            source=ReportSource(**entry["source"]),
            subset=entry["hf_subset"],
            seed=entry.get("seed"),
            n_examples=entry.get("n_examples"),
            higher_is_better=entry.get("higher_is_better", {}).get(metric),
            stderr=entry.get("stderr", {}).get(metric),
            languages=tuple(entry["languages"]),
            details=entry.get("details", {}),
        )
        for metric, value in metrics.items()
    ]
