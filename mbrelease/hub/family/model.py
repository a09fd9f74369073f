"""A published model: what its card, its config and the Hub's page of it say.

All of it is written by strangers. What is no id, no licence, no language and no sane number is
left out here, and told.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mbrelease.hub.family.architecture import architecture_of
from mbrelease.hub.family.kept import Kept
from mbrelease.hub.family.merges import Merge, read_merge
from mbrelease.metadata.base_models import RELATIONS
from mbrelease.metadata.finding import shown
from mbrelease.metadata.front_matter import read_yaml
from mbrelease.metadata.languages import language_codes
from mbrelease.metadata.licenses import LICENSE_IDS
from mbrelease.metadata.repo_ids import fault_of_repo_id

CARD, CONFIG, ADAPTER, MERGE = (
    "README.md", "config.json", "adapter_config.json", "mergekit_config.yml",
)  # fmt: skip
FILES = (CARD, CONFIG, ADAPTER, MERGE)
"""What is read of a model."""
MOST_BASES = 50
_PAPER = re.compile(r"arxiv:(\d{4}\.\d{4,5})")
_LICENSE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9 .+_-]{0,79}")


@dataclass(frozen=True)
class PublishedModel:
    """A model on the Hub at a commit.

    Fields:
        repo_id: as the Hub has it now.
        asked_as: as it was asked for; another id where the repository was renamed.
        bases: what the card (or an adapter's config) names as base models, in order.
        relation_said: the ``base_model_relation`` of the card.
        relation: what the Hub makes of it: what is said, else what it guesses.
        architectures: the classes that config.json names.
        architecture: settings under the names that a registry has for them.
        troubles: what could not be read, in words.
    """

    repo_id: str
    asked_as: str
    commit: str
    private: bool
    gated: bool
    bases: tuple[str, ...]
    relation_said: str | None
    relation: str | None
    new_version: str | None
    license: str | None
    languages: tuple[str, ...]
    tags: frozenset[str]
    architectures: tuple[str, ...]
    architecture: Mapping[str, Any]
    papers: tuple[str, ...]
    is_adapter: bool
    is_quantized: bool
    merge: Merge | None
    troubles: tuple[str, ...]

    @property
    def is_masked_lm(self) -> bool:
        """Whether it fills in masked words, by its config or by its page."""
        return any(name.endswith("ForMaskedLM") for name in self.architectures)


def read_model(asked_as: str, kept: Kept) -> PublishedModel:
    """What is known of a model from what was read of it."""
    troubles: list[str] = [f"{path}: {file['trouble']}" for path, file in _troubled(kept)]
    card = _card(kept, troubles)
    config = _json_file(kept, CONFIG, troubles)
    adapter = _json_file(kept, ADAPTER, troubles)
    tags = frozenset(each for each in _list(kept.info.get("tags")) if isinstance(each, str))
    bases = _bases(card, adapter, troubles)
    said = _relation_said(card, troubles)
    merge = read_merge(kept.files.get(MERGE, {}).get("text"), troubles)
    is_adapter = ADAPTER in kept.files
    is_quantized = "quantization_config" in config or bool(kept.info.get("gguf"))
    tagged = _tagged(tags)
    guess = _guess(bases, is_adapter=is_adapter, is_quantized=is_quantized, merge=merge)
    architecture = architecture_of(config)
    parameters = _parameters(kept)
    if parameters is not None and not is_adapter and not is_quantized:
        architecture = {"parameters": parameters, **architecture}
    return PublishedModel(
        repo_id=str(kept.info["id"]),
        asked_as=asked_as,
        commit=kept.commit,
        private=kept.info.get("private") is True,
        gated=kept.info.get("gated") not in (False, None),
        bases=bases,
        relation_said=said,
        relation=said or tagged or guess,
        new_version=_id("new_version", card.get("new_version"), troubles),
        license=_license(card, troubles),
        languages=_languages(card),
        tags=tags | {each for each in _list(card.get("tags")) if isinstance(each, str)},
        architectures=tuple(a for a in _list(config.get("architectures")) if isinstance(a, str)),
        architecture=architecture,
        papers=tuple(sorted({m[1] for tag in tags if (m := _PAPER.fullmatch(tag))})),
        is_adapter=is_adapter,
        is_quantized=is_quantized,
        merge=merge,
        troubles=tuple(troubles),
    )


def _troubled(kept: Kept) -> list[tuple[str, Mapping[str, Any]]]:
    return [(path, file) for path, file in kept.files.items() if file.get("trouble")]


def _card(kept: Kept, troubles: list[str]) -> Mapping[str, Any]:
    """The metadata of the card; what the Hub read of them, where they cannot be read here."""
    text = kept.files.get(CARD, {}).get("text")
    served = kept.info.get("cardData")
    if isinstance(text, str) and text.strip():
        document, findings = read_yaml(text, 1)
        if document is not None and isinstance(document.value, dict):
            return document.value
        first = next((each for each in findings if each.is_error), None)
        what = first.what if first else "the metadata are no mapping"
        troubles.append(f"{CARD}: {shown(what)[1:-1]}")
    return served if isinstance(served, dict) else {}


def _json_file(kept: Kept, path: str, troubles: list[str]) -> Mapping[str, Any]:
    text = kept.files.get(path, {}).get("text")
    if not isinstance(text, str):
        return {}
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        troubles.append(f"{path}: no JSON object")
        return {}
    return value


def _bases(
    card: Mapping[str, Any], adapter: Mapping[str, Any], troubles: list[str]
) -> tuple[str, ...]:
    given = _list(card.get("base_model"))
    if not given:
        # PEFT writes it, often as a path on the disk of who trained.
        named = adapter.get("base_model_name_or_path")
        given = [named] if isinstance(named, str) and fault_of_repo_id(named) is None else []
    if len(given) > MOST_BASES:
        troubles.append(f"{len(given)} base models; the first {MOST_BASES} are read")
    ids = [_id("base_model", each, troubles) for each in given[:MOST_BASES]]
    return tuple(dict.fromkeys(each for each in ids if each is not None))


def _relation_said(card: Mapping[str, Any], troubles: list[str]) -> str | None:
    said = card.get("base_model_relation")
    if said is None or said in RELATIONS:
        return said
    troubles.append(f"base_model_relation {shown(said)} is none that the Hub knows")
    return None


def _tagged(tags: frozenset[str]) -> str | None:
    """The relation that the Hub itself derived: it stands in the tags of the model."""
    found = {tag.split(":")[1] for tag in tags if tag.startswith("base_model:")} & set(RELATIONS)
    return min(found, default=None)


def _guess(
    bases: tuple[str, ...], *, is_adapter: bool, is_quantized: bool, merge: Merge | None
) -> str | None:
    """What the Hub would guess; https://huggingface.co/docs/hub/model-cards."""
    if not bases:
        return None
    if is_adapter:
        return "adapter"
    if len(bases) > 1 or merge is not None:
        return "merge"
    return "quantized" if is_quantized else "finetune"


def _license(card: Mapping[str, Any], troubles: list[str]) -> str | None:
    given = next(iter(_list(card.get("license"))), None)
    if given == "other":
        name = card.get("license_name")
        return name if isinstance(name, str) and _LICENSE_NAME.fullmatch(name) else "other"
    if given is None or (isinstance(given, str) and given in LICENSE_IDS):
        return given
    troubles.append(f"license {shown(given)} is none that the Hub knows")
    return None


def _languages(card: Mapping[str, Any]) -> tuple[str, ...]:
    given = [each for each in _list(card.get("language")) if isinstance(each, str)]
    return tuple(dict.fromkeys(each for each in given if each in language_codes()))


def _parameters(kept: Kept) -> int | None:
    stated = kept.info.get("safetensors")
    total = stated.get("total") if isinstance(stated, dict) else None
    is_count = isinstance(total, int) and not isinstance(total, bool) and 0 < total < 10**15
    return total if is_count else None


def _id(field: str, value: object, troubles: list[str]) -> str | None:
    if value is None:
        return None
    fault = fault_of_repo_id(value) if isinstance(value, str) else "is no text"
    if fault is None and isinstance(value, str):
        return value
    troubles.append(f"{field} {shown(value)} {fault}")
    return None


def _list(value: object) -> list[Any]:
    if value is None:
        return []
    return value if isinstance(value, list) else [value]
