"""The results in a card's metadata (``model-index``), as the Hub lists them beside the card."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

# Beyond these the metadata are broken or hostile; the page would be of no use to anybody.
_MAX_SETS, _MAX_RESULTS = 500, 200


@dataclass(frozen=True)
class Result:
    """One number; ``exact`` is the value as it stands in the metadata."""

    metric: str
    value: str
    exact: str


@dataclass(frozen=True)
class ResultSet:
    """The results on one set of data, from one source.

    Fields:
        dataset: its name, with the subset and split as far as they are named.
        source, href: who says so, and where; empty and ``None`` where nobody is named.
    """

    task: str
    dataset: str
    results: tuple[Result, ...]
    source: str
    href: str | None


def result_sets(metadata: Mapping[str, Any]) -> list[ResultSet]:
    """All results that can be read; what has another shape is passed over, as on the Hub."""
    found: list[ResultSet] = []
    for model in _mappings(metadata.get("model-index")):
        for entry in _mappings(model.get("results")):
            metrics = tuple(map(_result, _mappings(entry.get("metrics"))))
            if metrics and len(found) < _MAX_SETS:
                found.append(_set(entry, metrics[:_MAX_RESULTS]))
    return found


def _set(entry: Mapping[str, Any], results: tuple[Result, ...]) -> ResultSet:
    task, dataset, source = (_mapping(entry.get(key)) for key in ("task", "dataset", "source"))
    where = [_text(dataset, key) for key in ("config", "split")]
    # A subset called "default" says nothing.
    named = ", ".join(part for part in where if part and part != "default")
    name = _text(dataset, "name") or _text(dataset, "type") or "unnamed data"
    return ResultSet(
        task=_text(task, "name") or _text(task, "type"),
        dataset=f"{name} ({named})" if named else name,
        results=results,
        source=_text(source, "name"),
        href=_address(_text(source, "url")),
    )


def _result(metric: Mapping[str, Any]) -> Result:
    value = metric.get("value")
    name = _text(metric, "name") or _text(metric, "type") or "unnamed metric"
    return Result(name, value_text(value), str(value)[:100])


def value_text(value: object) -> str:
    """A value to at most four digits, as far as it is a number."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return "none" if value is None else str(value)[:100]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if abs(value) >= 1000:
        return f"{value:,.0f}" if abs(value) < 10**15 else f"{value:.4g}"
    return f"{value:.4g}"


def _mappings(value: object) -> Iterator[Mapping[str, Any]]:
    values = value if isinstance(value, list) else []
    return (each for each in values if isinstance(each, dict))


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _text(values: Mapping[str, Any], key: str) -> str:
    value = values.get(key)
    return str(value) if isinstance(value, str | int | float) else ""


def _address(value: str) -> str | None:
    try:
        return value if urlsplit(value).scheme in {"http", "https"} else None
    except ValueError:
        return None
