"""``model-index``: evaluation results in the card's own metadata.

Specification: https://github.com/huggingface/hub-docs/blob/main/modelcard.md. The Hub checks it
whenever it is there; its client reads it into ``EvalResult`` and leaves out what does not fit.
"""

from __future__ import annotations

from collections.abc import Iterator

from mbrelease.metadata.finding import Finding, shown
from mbrelease.metadata.kinds import (
    has,
    is_list,
    is_mapping,
    is_number,
    spelt_in_camel_case,
    texts_in,
)
from mbrelease.metadata.source import check_source
from mbrelease.metadata.spot import Spot

_Identity = tuple[str, ...]


def check_model_index(index: Spot) -> Iterator[Finding]:
    """The list of models, each with a name and results."""
    yield from is_list(index, "models, each with name and results")
    if not isinstance(index.value, list):
        return
    if len(index.value) > 1:
        yield index.warning("model-index has several models; readers take the first")
    for model in index.items():
        yield from is_mapping(model, "a mapping with name and results")
        yield from has(model, "name", "results")
        yield from texts_in(model, "name")
        results = model.get("results")
        if results is not None:
            yield from _results(results)


def _results(results: Spot) -> Iterator[Finding]:
    yield from is_list(results, "results")
    if not isinstance(results.value, list):
        return
    seen: dict[_Identity, Spot] = {}
    for result in results.items():
        yield from is_mapping(result, "a mapping with task, dataset and metrics")
        yield from has(result, "task", "dataset", "metrics")
        yield from _part(result, "task", ("type",), ("name",))
        yield from _part(result, "dataset", ("type", "name"), ("config", "split", "revision"))
        yield from check_source(result)
        yield from _metrics(result, seen)


def _part(
    result: Spot, key: str, required: tuple[str, ...], optional: tuple[str, ...]
) -> Iterator[Finding]:
    spot = result.get(key)
    if spot is None:
        return
    yield from is_mapping(spot, f"a mapping with {' and '.join(required)}")
    yield from has(spot, *required)
    yield from texts_in(spot, *required, *optional)


def _metrics(result: Spot, seen: dict[_Identity, Spot]) -> Iterator[Finding]:
    metrics = result.get("metrics")
    if metrics is None:
        return
    yield from is_list(metrics, "metrics, each with type and value")
    if not isinstance(metrics.value, list):
        return
    for metric in metrics.items():
        yield from is_mapping(metric, "a mapping with type and value")
        yield from has(metric, "type", "value")
        yield from texts_in(metric, "type", "name", "config")
        yield from spelt_in_camel_case(metric, "verifyToken")
        value = metric.get("value")
        if value is not None and value.value is not None:
            yield from _value(value)
        if isinstance(metric.value, dict):
            yield from _twice(result, metric, seen)


def _value(value: Spot) -> Iterator[Finding]:
    # The specification has a number; cards with "20.0 ± 1.2" are accepted.
    if not is_number(value.value) and not (isinstance(value.value, str) and value.value.strip()):
        yield value.error(f"{value.name} is {shown(value.value)} and must be a number")


def _twice(result: Spot, metric: Spot, seen: dict[_Identity, Spot]) -> Iterator[Finding]:
    """The client tells results apart by these fields and by no others: not by ``args``."""
    identity = (
        *(_text(result, "task", key) for key in ("type", "name")),
        *(_text(result, "dataset", key) for key in ("type", "name", "config", "split", "revision")),
        *(_text(result, "source", key) for key in ("url", "name")),
        *(str(metric.value.get(key, "")) for key in ("type", "name", "config")),
    )
    first = seen.setdefault(identity, metric)
    if first is not metric:
        what = f"{metric.name} repeats the metric of line {first.line}: readers merge them"
        yield metric.warning(what, "tell them apart by dataset.config or dataset.split")


def _text(result: Spot, part: str, key: str) -> str:
    spot = result.get(part)
    found = spot.value.get(key, "") if spot is not None and isinstance(spot.value, dict) else ""
    return str(found)
