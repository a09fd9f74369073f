"""``.eval_results/*.yaml``: results for datasets that are benchmarks of the Hub.

Specification: https://huggingface.co/docs/hub/eval-results and
https://github.com/huggingface/hub-docs/blob/main/eval_results.yaml; the client's reading of it is
``huggingface_hub.EvalResultEntry``. A file that breaks it is taken by the Hub and shown nowhere.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime

from mbrelease.metadata.finding import Finding, shown
from mbrelease.metadata.front_matter import read_yaml
from mbrelease.metadata.kinds import (
    has,
    is_mapping,
    is_number,
    nothing_is_null,
    numbers_are_finite,
    spelt_in_camel_case,
    texts_in,
)
from mbrelease.metadata.repo_ids import fault_of_repo_id
from mbrelease.metadata.source import check_source
from mbrelease.metadata.spot import Spot
from mbrelease.metadata.yaml_versions import read_differently

FOLDER = ".eval_results"


def check_eval_results(text: str, file: str) -> list[Finding]:
    """What is wrong with one file of results, by line.

    Args:
        text: the YAML.
        file: what findings call it, such as ``.eval_results/nfcorpus.yaml``.
    """
    document, findings = read_yaml(text)
    findings = [
        replace(each, file=file, what=each.what.removeprefix("front matter: ")) for each in findings
    ]
    if document is None:
        return findings
    top = Spot(document, file=file)
    found = [*nothing_is_null(top), *numbers_are_finite(top), *read_differently(top)]
    if not isinstance(top.value, list) or not top.value:
        what = "the file is not a list of results, each with dataset and value"
        return [
            *findings,
            *found,
            Finding(1, "", what, "- dataset: {id: …, task_id: …}", file=file),
        ]
    for entry in top.items():
        found += _entry(entry)
    return sorted([*findings, *found], key=lambda each: each.line)


def _entry(entry: Spot) -> Iterator[Finding]:
    yield from is_mapping(entry, "a mapping with dataset and value")
    yield from has(entry, "dataset", "value")
    yield from texts_in(entry, "notes", "verifyToken", "evaluation_framework")
    yield from spelt_in_camel_case(entry, "verifyToken")
    yield from check_source(entry, "user", "org")
    dataset = entry.get("dataset")
    if dataset is not None:
        yield from _dataset(dataset)
    value = entry.get("value")
    if value is not None and value.value is not None and not is_number(value.value):
        yield value.error(f"{value.name} is {shown(value.value)} and must be a number")
    date = entry.get("date")
    if date is not None and date.value is not None and not _is_date(date.value):
        yield date.error(f"{date.name} {shown(date.value)} is no date of ISO 8601", '"2025-01-15"')


def _dataset(dataset: Spot) -> Iterator[Finding]:
    yield from is_mapping(dataset, "a mapping with id and task_id")
    yield from has(dataset, "id", "task_id")
    yield from texts_in(dataset, "id", "task_id", "revision")
    repo_id = dataset.get("id")
    if repo_id is not None and isinstance(repo_id.value, str):
        fault = fault_of_repo_id(repo_id.value)
        if fault is None and "/" not in repo_id.value:
            fault = "names no account"
        if fault is not None:
            yield repo_id.error(f"{repo_id.name} {shown(repo_id.value)} {fault}", "org/dataset")


def _is_date(value: object) -> bool:
    if not isinstance(value, str):
        return False
    try:
        datetime.fromisoformat(value)
    except ValueError:
        return False
    return len(value) >= len("2025-01-15")
