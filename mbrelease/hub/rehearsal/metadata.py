"""The metadata of a model card: the YAML block at the head of README.md, and the Hub's rules."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import yaml

from mbrelease.hub.rehearsal.names import NAME, is_repo_id
from mbrelease.hub.rehearsal.refusals import Refused
from mbrelease.metadata.languages import language_codes
from mbrelease.metadata.licenses import LICENSE_IDS
from mbrelease.metadata.pipeline_tags import PIPELINE_TAGS

# An alias costs a card a few characters and repeats any amount; this much is more than any holds.
MAX_METADATA_SIZE = 1_000_000
BASE_MODEL_RELATIONS = ("adapter", "finetune", "merge", "quantized")


def split_readme(text: str) -> tuple[str | None, str]:
    """The YAML between the two ``---`` lines (``None`` if there is none) and the rest."""
    text = text.removeprefix("\ufeff").replace("\r\n", "\n")
    if not text.startswith("---\n"):
        return None, text
    block, found, body = text[4:].partition("\n---\n")
    if found:
        return block, body
    if text[4:].startswith("---\n"):
        return "", text[8:]
    if block.endswith("\n---"):
        return block.removesuffix("\n---"), ""
    return None, text


def readme_metadata(text: str) -> dict[str, Any]:
    """The metadata of a card as JSON can hold it; empty if there is none or it cannot be read."""
    block, _ = split_readme(text)
    try:
        value = _plain(_parsed(block or ""), [MAX_METADATA_SIZE])
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def _parsed(block: str) -> Any:
    """The value of a YAML block.

    Raises:
        ValueError: it is not YAML, or cannot be written out as JSON.
    """
    try:
        value = yaml.load(block, _Loader)  # noqa: S506  a safe one
        _plain(value, [MAX_METADATA_SIZE])
    except yaml.YAMLError as error:
        raise ValueError(str(error).splitlines()[0]) from error
    except RecursionError as error:
        raise ValueError("nested too deep") from error
    return value


class _Loader(yaml.SafeLoader):
    """Refuses what the Hub's own reader refuses: the same key twice."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        written = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        for key in written:
            # Of two merges (<<) both are read.
            if key != "<<" and written.count(key) > 1:
                raise yaml.constructor.ConstructorError(
                    None, None, f"duplicated mapping key {key!r}", node.start_mark
                )
        return super().construct_mapping(node, deep)


def _plain(value: Any, left: list[int]) -> Any:
    """``value`` with text for all that JSON lacks: dates, bytes, NaN, keys that are no text."""
    left[0] -= 1 + (len(value) if isinstance(value, str | bytes) else 0)
    if left[0] < 0:
        raise ValueError(f"spelt out it is longer than {MAX_METADATA_SIZE:,} characters")
    if isinstance(value, dict):
        return {str(_plain(key, left)): _plain(item, left) for key, item in value.items()}
    if isinstance(value, list | tuple | set):
        return [_plain(item, left) for item in value]
    if (
        value is None
        or isinstance(value, str | int)
        or (isinstance(value, float) and math.isfinite(value))
    ):
        return value
    return str(value)


def checked_readme(data: bytes) -> None:
    """Check a README.md that is about to be committed.

    Raises:
        Refused: 400, its metadata break the rules.
    """
    errors, _ = validate(data.decode(errors="replace"))
    if errors:
        raise Refused(400, "Invalid metadata in README.md: " + "; ".join(errors))


def validate(text: str) -> tuple[list[str], list[str]]:
    """What is wrong with a card's metadata: errors (the Hub refuses) and warnings."""
    block, _ = split_readme(text)
    if block is None or not block.strip():
        return [], ["empty or missing yaml metadata in repo card"]
    try:
        value = _parsed(block)
    except ValueError as error:
        return [f"the metadata is not YAML: {error}"], []
    if not isinstance(value, dict):
        return ["the metadata is not a mapping"], []
    errors, warnings = (
        [
            f'"{key}" {fault}'
            for key, rule in rules.items()
            if key in value and (fault := rule(value[key])) is not None
        ]
        for rules in (_RULES, _ADVICE)
    )
    if "base_model_relation" in value and "base_model" not in value:
        errors.append('"base_model_relation" needs "base_model"')
    return errors, warnings


def as_list(value: object) -> list[Any]:
    """``value`` as a list: many fields of a card take one value or several."""
    if value is None:
        return []
    return value if isinstance(value, list) else [value]


def _text(value: object) -> str | None:
    return None if isinstance(value, str) and value else "must be a string"


def _texts(value: object) -> str | None:
    if all(isinstance(item, str) and item for item in as_list(value)):
        return None
    return "must be a string or a list of strings"


def _text_list(value: object) -> str | None:
    return _texts(value) if isinstance(value, list) else "must be a list of strings"


def _licenses(value: object) -> str | None:
    for item in as_list(value):
        if isinstance(item, str) and item and item not in LICENSE_IDS:
            return f"must be a license id of the Hub, such as apache-2.0; {item!r} is none"
    return _texts(value)


def _languages(value: object) -> str | None:
    for item in as_list(value):
        if isinstance(item, str) and item != item.lower():
            return f"must only contain lowercase characters; {item!r} does not"
        if isinstance(item, str) and item and item not in language_codes():
            return f"must be ISO 639-1, 639-2 or 639-3 codes; {item!r} is none"
    return _texts(value)


def _in_the_list_of_tasks(value: object) -> str | None:
    if not isinstance(value, str) or value in PIPELINE_TAGS:
        return None
    return f"with value {value!r} is not in the Hub's list of tasks"


def _ids_of_datasets(value: object) -> str | None:
    for item in as_list(value):
        if isinstance(item, str) and not (is_repo_id(item) or NAME.fullmatch(item)):
            return f"should be dataset ids on the Hub; {item!r} is none"
    return None


def _models(value: object) -> str | None:
    for item in as_list(value):
        # A few old models have no namespace: bert-base-uncased.
        if not isinstance(item, str) or not (is_repo_id(item) or NAME.fullmatch(item)):
            return f"must be model ids on the Hub (namespace/name); {item!r} is none"
    return None


def _relation(value: object) -> str | None:
    if value in BASE_MODEL_RELATIONS:
        return None
    return "must be one of " + ", ".join(BASE_MODEL_RELATIONS)


def _model_index(value: object) -> str | None:
    if not isinstance(value, list):
        return "must be a list"
    for model in value:
        if not isinstance(model, dict) or not isinstance(model.get("name"), str):
            return "needs a name for each model"
        results = model.get("results")
        if not isinstance(results, list):
            return f"needs a list of results for {model['name']!r}"
        for number, result in enumerate(results):
            fault = _result(result)
            if fault is not None:
                return f"[0].results[{number}] {fault}"
    return None


def _result(result: object) -> str | None:
    if not isinstance(result, dict):
        return "must be a mapping"
    for part, keys in {"task": ("type",), "dataset": ("type", "name")}.items():
        block = result.get(part)
        for key in keys:
            if not isinstance(block, dict) or not isinstance(block.get(key), str):
                return f"needs {part}.{key}"
    metrics = result.get("metrics")
    if not isinstance(metrics, list) or not metrics:
        return "needs a list of metrics"
    for metric in metrics:
        if not isinstance(metric, dict) or "value" not in metric or not metric.get("type"):
            return "needs a type and a value for each metric"
    return None


_RULES: dict[str, Callable[[object], str | None]] = {
    "license": _licenses,
    "language": _languages,
    "tags": _text_list,
    "datasets": _texts,
    "metrics": _texts,
    "pipeline_tag": _text,
    "library_name": _text,
    "base_model": _models,
    "base_model_relation": _relation,
    "model-index": _model_index,
}
_ADVICE: dict[str, Callable[[object], str | None]] = {
    "pipeline_tag": _in_the_list_of_tasks,
    "datasets": _ids_of_datasets,
}
