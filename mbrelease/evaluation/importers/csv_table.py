"""A plain CSV: one number a row, of one model or several, each with its source.

The columns are ``model, task, metric, value, split`` and, where known, ``step, seed, source,
source_name, place, subset, n_examples, higher_is_better``. ``source`` is a URL, or who says it;
``source_name`` is who says it where ``source`` is a URL; ``place`` is where in it, such as
``Table 5``; ``step`` is the training step of the checkpoint that was measured.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from mbrelease.errors import UserError, did_you_mean
from mbrelease.evaluation.importers.contract import Reported, finite, read_header, read_rows
from mbrelease.evaluation.importers.sentence_transformers import COLUMNS as OF_SENTENCE_TRANSFORMERS
from mbrelease.evaluation.metric_names import lower_is_better, metric_key
from mbrelease.evaluation.reported import ReportedResult, ReportSource

NEEDED = ["model", "task", "metric", "value", "split"]
KNOWN = [
    *NEEDED, "step", "seed", "source", "source_name", "place", "subset", "n_examples",
    "higher_is_better",
]  # fmt: skip


def recognises(path: Path) -> bool:
    """Any CSV file that is not of sentence-transformers."""
    header = read_header(path)
    return header is not None and header[:2] != OF_SENTENCE_TRANSFORMERS


def read(path: Path) -> list[Reported]:
    """Every row, whichever model it is of."""
    numbered = list(read_rows(path))
    if not numbered:
        raise UserError(f"{path} is empty", mend=f"the columns are {', '.join(KNOWN)}")
    (line, header), *rows = numbered
    _check_header(f"{path}:{line}", header)
    found = []
    for line, row in rows:
        place = f"{path}:{line}"
        if len(row) != len(header):
            raise UserError(f"{place}: {len(row)} values for {len(header)} columns")
        found.append(_reported(dict(zip(header, row, strict=True)), place))
    return found


def _check_header(place: str, header: list[str]) -> None:
    if missing := [name for name in NEEDED if name not in header]:
        raise UserError(
            f"{place}: no column {', '.join(missing)}", mend=f"the columns are {', '.join(KNOWN)}"
        )
    for name in header:
        if name not in KNOWN:
            raise UserError(
                f"{place}: unknown column '{name}'",
                mend=did_you_mean(name, KNOWN) or f"the columns are {', '.join(KNOWN)}",
            )
        if header.count(name) > 1:
            raise UserError(f"{place}: column '{name}' stands there twice")


def _reported(row: Mapping[str, str], place: str) -> Reported:
    for name in NEEDED:
        if not row[name]:
            raise UserError(f"{place}: no {name}")
    step = _count(row, "step", place)
    result = ReportedResult(
        task_name=row["task"],
        split=row["split"],
        metric=metric_key(row["metric"]),
        value=finite(row["value"], place),
        source=_source(row, place),
        subset=row.get("subset") or "default",
        seed=_count(row, "seed", place),
        n_examples=_count(row, "n_examples", place),
        higher_is_better=_direction(row, place),
        details={} if step is None else {"step": step},
    )
    return Reported(result, place, row["model"])


def _source(row: Mapping[str, str], place: str) -> ReportSource:
    source, name = row.get("source", ""), row.get("source_name", "")
    is_url = source.startswith(("http://", "https://"))
    if source and name and not is_url:
        raise UserError(
            f"{place}: source and source_name both say who says it",
            mend="write a URL in the column 'source', or leave it empty",
        )
    return ReportSource(
        url=source if is_url else None,
        name=name or (None if is_url else source or None),
        place=row.get("place") or None,
    )


def _count(row: Mapping[str, str], name: str, place: str) -> int | None:
    text = row.get(name)
    if not text:
        return None
    if not (text.isascii() and text.isdecimal() and len(text) < 16):
        raise UserError(f"{place}: {name} is {text!r}, not a whole number")
    return int(text)


def _direction(row: Mapping[str, str], place: str) -> bool | None:
    """Whether higher is better, as the row says or as is known of the metric."""
    text = row.get("higher_is_better", "").lower()
    if text not in ("", "true", "false"):
        raise UserError(f"{place}: higher_is_better is {text!r}, not true or false")
    if text:
        return text == "true"
    return False if lower_is_better(row["metric"]) else None
