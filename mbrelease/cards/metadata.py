"""The front matter: what the Hub reads of a card.

The Hub's client checks nothing and its server rejects late, so the rules are kept here: base
models are repo ids and never paths, their relation is always written, no value is null or NaN.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from mbrelease.cards.escape import one_line
from mbrelease.cards.lineage import Lineage
from mbrelease.cards.model_index import model_index, slug
from mbrelease.cards.reports import Report
from mbrelease.cards.scores import Evaluation
from mbrelease.metadata.licenses import license_of
from mbrelease.metadata.source import is_url
from mbrelease.registry.entry import REPO_ID
from mbrelease.registry.schema import DataSource, Emissions
from mbrelease.registry.tasks import AnyTask

PIPELINE_TAG = "fill-mask"
FAMILY_TAG = "modernbert"
LICENSE_FILE = "LICENSE"
"""Beside the card, for a licence that has no id."""


class CardDumper(yaml.CSafeDumper):
    """Quotes also what only YAML 1.2, which the Hub reads, takes for a number: ``1e3``, ``0o7``."""


def _string(dumper: yaml.CSafeDumper, text: str) -> yaml.ScalarNode:
    number = re.fullmatch(r"[-+]?(?:\.\d+|\d+(?:\.\d*)?)(?:[eE][-+]?\d+)?|0[ox][0-9a-fA-F]+", text)
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="'" if number else None)


CardDumper.add_representer(str, _string)


def front_matter(
    name: str,
    *,
    license_id: str | None,
    languages: Sequence[str],
    tags: Sequence[str],
    data: Sequence[DataSource],
    lineage: Lineage,
    evaluation: Evaluation | None,
    emissions: Emissions | None = None,
    reported: Sequence[Report] = (),
    tasks: Sequence[AnyTask] = (),
    root: Path | None = None,
) -> str:
    """The YAML block of a card, with its fences and a final newline.

    Args:
        name: of the model.
        license_id: an id of the Hub; anything else is a licence of one's own, and its text lies
            in ``LICENSE`` beside the card, or at the address that is given.
        languages, tags, data, lineage: as the registry has them.
        evaluation: what was measured.
        emissions: of the training.
        reported, tasks, root: as ``model_index`` takes them.

    Raises:
        UserError: a value is no finite number.
    """
    datasets = [s.hub_id for s in data if s.hub_id and re.fullmatch(REPO_ID, s.hub_id)]
    merged = lineage.hub_relation == "merge"
    bases = list(lineage.base_models)
    content: dict[str, Any] = {
        "language": [one_line(code) for code in languages],
        **_license(license_id),
        "library_name": "transformers",
        "pipeline_tag": PIPELINE_TAG,
        "base_model": bases[0] if len(bases) == 1 else bases,
        "base_model_relation": lineage.hub_relation,
        "new_version": lineage.new_version,
        "datasets": list(dict.fromkeys(datasets)),
        "tags": _tags(tags, merged=merged),
        "co2_eq_emissions": _emissions(emissions) if emissions is not None else None,
        "model-index": model_index(name, evaluation, reported, tasks, root),
    }
    return f"---\n{yaml_text({key: value for key, value in content.items() if value})}---\n"


def yaml_text(value: Any) -> str:
    """``value`` as YAML that every reader takes for the same, ending in a newline."""
    return yaml.dump(value, Dumper=CardDumper, sort_keys=False, allow_unicode=True, width=10_000)


def _license(given: str | None) -> dict[str, str]:
    """``license``, with name and link where the Hub has no id for it."""
    text = one_line(given) if given is not None else ""
    if not text:
        return {}
    if is_url(text):
        last = text.rstrip("/").rpartition("/")[2]
        return {
            "license": "other",
            "license_name": slug(re.sub(r"\.(?:html?|md|txt|pdf)$", "", last)),
            "license_link": text,
        }
    known = license_of(text)
    if known is not None:
        return {"license": known}
    return {
        "license": "other",
        "license_name": re.sub(r"[^a-z0-9.]+", "-", text.lower()).strip("-.") or "license",
        "license_link": LICENSE_FILE,
    }


def _emissions(emissions: Emissions) -> dict[str, Any]:
    """As https://huggingface.co/docs/hub/model-cards-co2 has it; grams."""
    found = {
        "emissions": emissions.co2_grams,
        "source": emissions.source,
        "geographical_location": emissions.location,
        "hardware_used": emissions.hardware,
    }
    return {
        key: one_line(value) if isinstance(value, str) else value
        for key, value in found.items()
        if value is not None
    }


def _tags(given: Sequence[str], *, merged: bool) -> list[str]:
    tags = [FAMILY_TAG, *(["merge"] if merged else []), *(one_line(tag) for tag in given)]
    return [tag for tag in dict.fromkeys(tags) if tag]
