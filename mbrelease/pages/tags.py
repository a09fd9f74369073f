"""The tags at the head of a model's page, as the Hub makes them from a card."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlsplit

from mbrelease.pages.addresses import PUBLIC_HUB

_ARXIV = re.compile(
    r"\b(?:arxiv\.org/(?:abs|pdf|html)|huggingface\.co/papers|hf\.co/papers)/(\d{4}\.\d{4,5})",
    re.IGNORECASE,
)
_REPO_ID = re.compile(r"[\w.-]+/[\w.-]+")
# Those that the Hub does not write as they are, or in capitals.
_NAMES = {"fill-mask": "Fill-Mask", "zero-shot-classification": "Zero-Shot Classification"}
_LIBRARIES = {"transformers": "Transformers", "safetensors": "Safetensors", "onnx": "ONNX"}


@dataclass(frozen=True)
class Tag:
    """One tag.

    Fields:
        kind: what stands before the text, such as ``license``; empty where nothing does.
        href: the page of what it names; ``None`` where it names nothing that has one.
    """

    text: str
    kind: str = ""
    href: str | None = None


def tags(
    metadata: Mapping[str, Any],
    *,
    task: str | None,
    libraries: Iterable[str],
    body: str,
) -> list[Tag]:
    """The tags of a model, in the Hub's order, each once.

    Args:
        libraries: the library of the model, and formats that the Hub reads off its files.
        body: the text of the card; the papers that it links become tags.
    """
    libraries = [name for name in libraries if name]
    found = [Tag(task_name(task))] if task else []
    found += [Tag(_LIBRARIES.get(name, name)) for name in libraries]
    found += [
        Tag(name, "dataset", dataset_page(name)) for name in as_texts(metadata.get("datasets"))
    ]
    found += [Tag(name) for name in as_texts(metadata.get("language"))]
    said = {task, *libraries, *as_texts(metadata.get("language"))}
    found += [Tag(name) for name in as_texts(metadata.get("tags")) if name not in said]
    found += [Tag("Eval Results")] if metadata.get("model-index") else []
    found += [Tag("Carbon Emissions")] if metadata.get("co2_eq_emissions") else []
    found += [Tag(paper, "arxiv", paper_page(paper)) for paper in papers(body)]
    found += [
        Tag(name, "license", _address(metadata.get("license_link"))) for name in _licenses(metadata)
    ]
    return list(dict.fromkeys(found))


def papers(body: str) -> list[str]:
    """The arXiv ids that a card links, in order."""
    return list(dict.fromkeys(_ARXIV.findall(body)))


def paper_page(paper: str) -> str:
    """Where a paper can be read."""
    return f"https://arxiv.org/abs/{paper}"


def model_page(name: str) -> str | None:
    """The page of a model on the public Hub, if ``name`` is an id."""
    return f"{PUBLIC_HUB}/{quote(name)}" if _REPO_ID.fullmatch(name) else None


def dataset_page(name: str) -> str | None:
    """The page of a dataset on the public Hub, if ``name`` is an id."""
    return f"{PUBLIC_HUB}/datasets/{quote(name)}" if _REPO_ID.fullmatch(name) else None


def task_name(task: str) -> str:
    """``fill-mask`` as ``Fill-Mask``, ``sentence-similarity`` as ``Sentence Similarity``."""
    return _NAMES.get(task, task.replace("-", " ").title())


def as_texts(value: object) -> list[str]:
    """A value of a card, which may be one or several, as texts."""
    values = value if isinstance(value, list) else [value]
    return [
        str(each) for each in values if isinstance(each, str | int | float) and str(each).strip()
    ]


def _licenses(metadata: Mapping[str, Any]) -> list[str]:
    named = as_texts(metadata.get("license_name"))
    stated = as_texts(metadata.get("license"))
    return named if named and stated in ([], ["other"]) else stated


def _address(value: object) -> str | None:
    if not isinstance(value, str):
        return None
    try:
        return value if urlsplit(value).scheme in {"http", "https"} else None
    except ValueError:
        return None
