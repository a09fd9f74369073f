"""The ``modelCard`` of a component: https://cyclonedx.org/docs/1.6/json/#components_items_modelCard.

The library has no classes for this part of the format, so it is built as plain JSON; the schema
that comes with the library checks it like all else.
"""

from __future__ import annotations

import html
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from markupsafe import Markup

from mbrelease.bom.components import NAMESPACE, dataset_page
from mbrelease.cards.context import CardContext
from mbrelease.cards.metadata import PIPELINE_TAG
from mbrelease.cards.model_index import UNSTATED
from mbrelease.cards.scores import Row
from mbrelease.cards.told import visible
from mbrelease.evaluation.metric_names import metric_name
from mbrelease.evaluation.reported import ReportedResult
from mbrelease.registry.schema import CardText, DataSource, Variant
from mbrelease.registry.tasks import AnyTask

Suites = Mapping[str, Sequence[AnyTask]]
"""The tasks of each suite, by its name."""

_SELF_SUPERVISED = frozenset({"mlm", "clm"})
_LINK = re.compile(r"\[((?:[^\]\\]|\\.)*)\]\([^)\s]*\)|<(https?://[^>\s]+)>")
_NAMED = re.compile(r"\bon this card\b|\bThis card\b")
_ESCAPED = re.compile(r"\\([!-/:-@\[-`{-~])")


def parameters(entry: Variant, data_refs: Sequence[str], suites: Suites) -> dict[str, Any]:
    """What the registry says of how a variant is built and trained.

    Args:
        entry: the variant.
        data_refs: the components of its data.
        suites: of the registry.
    """
    objective = entry.training.objective if entry.training else None
    return {
        **({"approach": {"type": "self-supervised"}} if objective in _SELF_SUPERVISED else {}),
        **({"task": PIPELINE_TAG} if _fills_masks(entry, suites) else {}),
        "architectureFamily": "transformer",
        "modelArchitecture": "ModernBERT",
        **({"datasets": [{"ref": ref} for ref in data_refs]} if data_refs else {}),
        "inputs": [{"format": "string"}],
        "outputs": [{"format": "tensor"}],
    }


def card(
    entry: Variant,
    data_refs: Sequence[str],
    suites: Suites,
    reported: Sequence[ReportedResult],
    context: CardContext | None,
) -> dict[str, Any]:
    """All that a card tells and CycloneDX has a place for.

    Args:
        entry: the variant.
        data_refs: the components of its data.
        suites: of the registry.
        reported: what others say of it.
        context: what the variant's card is made from; ``None`` before its weights are chosen.
    """
    rows = context.evaluation.rows if context and context.evaluation else ()
    metrics = [*map(_measured, rows), *(_reported(one) for one in reported if _counts(one))]
    considerations = {
        "useCases": [use.use for use in entry.card.uses],
        "technicalLimitations": _limitations(entry.card, context),
    }
    given = {key: value for key, value in considerations.items() if value}
    return {
        "modelParameters": parameters(entry, data_refs, suites),
        **({"quantitativeAnalysis": {"performanceMetrics": metrics}} if metrics else {}),
        **({"considerations": given} if given else {}),
        **_properties(entry, context),
    }


def _fills_masks(entry: Variant, suites: Suites) -> bool:
    """Whether the registry says so: by what it was trained for or measured on, or by a tag."""
    objective = (entry.training.objective or "" if entry.training else "").casefold()
    measured = suites.get(entry.suite, ()) if entry.suite is not None else ()
    return (
        objective == "mlm"
        or "masked language" in objective
        or any(task.type == "mlm" for task in measured)
        or PIPELINE_TAG in entry.card.tags
    )


def dataset(source: DataSource) -> dict[str, Any]:
    """The ``data`` of a component that is a data set."""
    url = dataset_page(source)
    facts = {
        "documents": source.documents,
        "tokens": source.tokens,
        "proportion": source.proportion,
        "skew": source.skew,
    }
    found: dict[str, Any] = {"type": "dataset", "name": source.name}
    contents = {**({"url": url} if url else {}), **_listed(facts)}
    if contents:
        found["contents"] = contents
    if source.description:
        found["description"] = source.description
    if url is not None and source.hub_id is not None and "/" in source.hub_id:
        host = {"organization": {"name": source.hub_id.split("/")[0]}}
        found["governance"] = {"custodians": [host]}
    return found


def plain_text(markdown: str) -> str:
    """The words of a sentence of a card: links, escapes and origins are for pages."""
    shown = _LINK.sub(lambda match: match[1] or match[2] or "", visible(markdown))
    shown = re.sub(r"(?<!\\)[*`]", "", shown)
    return html.unescape(_ESCAPED.sub(r"\1", shown))


def _limitations(text: CardText, context: CardContext | None) -> list[str]:
    if context is None:
        return list(text.limitations)
    said = (plain_text(Markup(one.sentence)) for one in context.limitations)  # noqa: S704
    # The sentences were made for a card.
    named = {"on this card": "in this document", "This card": "This document"}
    return [_NAMED.sub(lambda match: named[match[0]], sentence) for sentence in said]


def _measured(row: Row) -> dict[str, Any]:
    record = row.record
    bounds = record.ci95.get(row.key)
    metric = {
        "type": row.metric,
        "value": _number(record.metrics[row.key]),
        "slice": f"{row.task.name}, {row.split}",
    }
    if bounds is None or not all(map(math.isfinite, bounds)):
        return metric
    lower, upper = map(_number, bounds)
    return {**metric, "confidenceInterval": {"lowerBound": lower, "upperBound": upper}}


def _reported(one: ReportedResult) -> dict[str, Any]:
    whole = one.task_name if one.subset == "default" else f"{one.task_name}[{one.subset}]"
    seed = "" if one.seed is None else f", seed {one.seed}"
    split = "" if one.split == UNSTATED else f", {one.split}"
    says = one.source.name or one.source.url or "others"
    return {
        "type": metric_name(one.metric),
        "value": _number(one.value),
        "slice": f"{whole}{split}{seed}; reported by {says}",
    }


def _counts(one: ReportedResult) -> bool:
    """Whether it is of the released model and all of its task, and no spread of another."""
    spread = one.metric.endswith(("_sd", "_std", "_stderr"))
    return one.step is None and not spread and not one.details.get("limit")


def _number(value: float) -> str:
    """Unrounded, as JSON would have it: CycloneDX wants numbers as text."""
    return repr(float(value))


def _properties(entry: Variant, context: CardContext | None) -> dict[str, Any]:
    architecture = entry.architecture.model_dump(exclude_none=True) if entry.architecture else {}
    sizes = asdict(context.model.sizes) if context else {}
    facts: dict[str, object] = {
        **{f"architecture:{name}": value for name, value in (architecture | sizes).items()},
        **{f"training:{name}": value for name, value in _training(entry)},
        **{
            f"corpus:{name}": value
            for name, value in (entry.corpus.model_dump() if entry.corpus else {}).items()
        },
        "weights_sha256": context.model.weights_sha256 if context else None,
        "averaging_recipe": context.model.average.recipe
        if context and context.model.average
        else None,
    }
    return _listed(facts)


def _training(entry: Variant) -> Iterable[tuple[str, object]]:
    facts: Mapping[str, Any] = entry.training.model_dump() if entry.training else {}
    for name, value in facts.items():
        if isinstance(value, dict):  # emissions
            yield from ((f"{name}:{inner}", fact) for inner, fact in value.items())
        elif not isinstance(value, list):  # phases and software are no single fact
            yield name, value


def _listed(facts: Mapping[str, object]) -> dict[str, Any]:
    """``properties`` of the facts that there are, by name."""
    found = [
        {"name": f"{NAMESPACE}:{name}", "value": _text(value)}
        for name, value in sorted(facts.items())
        if value is not None
    ]
    return {"properties": found} if found else {}


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
