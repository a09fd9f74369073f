"""What the weights of a variant have seen: tokens and data, its own and those that it inherited.

A training counts once, however many ways lead to it: of a mean of two runs that began at one base,
the base counts once and each run once. It counts where it left its trace in the weights:

- continued pretraining, fine-tuning, averaging, merging, quantization, an adapter and context
  extension hand the weights on, and with them what they have seen;
- weight initialization does not: first weights that were tiled or cut out of another model are a
  place to begin at, and the new model sees its own tokens. ModernBERT-large was trained on two
  trillion tokens, and not on the two of ModernBERT-base besides;
- distillation does not: the student never saw what the teacher read.

What is not counted is told, and so is what nobody stated: the sum is then a lower bound.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from mbrelease.registry.lineage import Step
from mbrelease.registry.schema import DataSource, Registry, Training, Variant

HANDS_WEIGHTS_ON = frozenset(
    {
        "continued-pretraining", "fine-tuning", "averaging", "merging", "quantization", "adapter",
        "context-extension",
    }
)  # fmt: skip
WITHOUT_TRAINING = frozenset({"averaging", "merging", "quantization"})
"""Relations by which weights are made from weights; who states no training had none."""


@dataclass(frozen=True)
class Part:
    """What one variant of the line adds to a sum."""

    variant: str
    amount: int | None
    """``None``: nobody stated it."""
    at_least: bool = False
    """It is stated in part."""
    note: str | None = None

    @property
    def known(self) -> bool:
        """Whether all of it is stated."""
        return self.amount is not None and not self.at_least


@dataclass(frozen=True)
class Total:
    """A sum over the line; with parts that nobody stated, a lower bound."""

    parts: tuple[Part, ...]

    @property
    def amount(self) -> int | None:
        """The sum of what is stated; ``None`` where nothing is."""
        stated = [part.amount for part in self.parts if part.amount is not None]
        return sum(stated) if stated else None

    @property
    def unknown(self) -> tuple[str, ...]:
        """The variants that do not state all of theirs."""
        return tuple(part.variant for part in self.parts if not part.known)

    def as_json(self) -> dict[str, Any]:
        """For ``--json``."""
        return {
            "total": self.amount,
            "lower_bound": bool(self.unknown),
            "parts": [asdict(part) for part in self.parts],
        }


@dataclass(frozen=True)
class SeenData:
    """A data set, and which variants of the line were trained on it."""

    source: DataSource
    by: tuple[str, ...]


@dataclass(frozen=True)
class Seen:
    """What the weights of a variant have seen."""

    tokens: Total
    documents: Total
    data: tuple[SeenData, ...]
    not_counted: tuple[Step, ...]
    """The steps at which the line ends, though a parent is named: it handed no weights on."""

    def as_json(self) -> dict[str, Any]:
        """For ``--json``."""
        return {
            "tokens": self.tokens.as_json(),
            "documents": self.documents.as_json(),
            "data": [
                {**one.source.model_dump(mode="json", exclude_none=True), "by": list(one.by)}
                for one in self.data
            ],
            "not_counted": [asdict(step) for step in self.not_counted],
        }


def seen(registry: Registry, name: str) -> Seen:
    """What the weights of ``name`` have seen, its own part first."""
    line, ends = weights_line(registry, name)
    trained = [each for each in line if not _untrained(registry.variants[each])]
    tokens = [_tokens(each, registry.variants[each].training) for each in trained]
    data, documents = _data(registry, trained)
    return Seen(Total(tuple(tokens)), Total(tuple(documents)), tuple(data), tuple(ends))


def weights_line(registry: Registry, name: str) -> tuple[list[str], list[Step]]:
    """``name`` and the ancestors whose weights live on in it, and the steps that hand none on."""
    found: dict[str, None] = {name: None}
    ends: list[Step] = []
    waiting = deque([name])
    while waiting:
        child = waiting.popleft()
        for parent in registry.variants[child].parents:
            if parent.relation not in HANDS_WEIGHTS_ON:
                ends.append(Step(child, parent.variant, parent.relation))
            elif parent.variant not in found:
                found[parent.variant] = None
                waiting.append(parent.variant)
    return list(found), [step for step in ends if step.parent not in found]


def own_tokens(name: str, training: Training | None) -> Part:
    """The tokens of a variant's own training: as stated, else those of its phases."""
    return _tokens(name, training)


def _untrained(variant: Variant) -> bool:
    relations = {parent.relation for parent in variant.parents}
    states = variant.training is not None or variant.data or variant.corpus is not None
    return bool(relations) and relations <= WITHOUT_TRAINING and not states


def _tokens(name: str, training: Training | None) -> Part:
    phases = training.phases if training is not None else []
    stated = [phase.tokens for phase in phases if phase.tokens is not None]
    if training is not None and training.tokens is not None:
        differ = len(stated) == len(phases) > 0 and sum(stated) != training.tokens
        note = f"its phases add up to {sum(stated):,}" if differ else None
        return Part(name, training.tokens, note=note)
    if not stated:
        return Part(name, None)
    if len(stated) == len(phases):
        return Part(name, sum(stated), note="the sum of its phases")
    silent = ", ".join(phase.name for phase in phases if phase.tokens is None)
    return Part(name, sum(stated), True, f"without those of its phase {silent}")


def _data(registry: Registry, trained: Sequence[str]) -> tuple[list[SeenData], list[Part]]:
    """The data sets of the line, each once, and the documents that each variant adds."""
    sources: dict[str, DataSource] = {}
    by: dict[str, list[str]] = {}
    documents: list[Part] = []
    for name in trained:
        variant = registry.variants[name]
        keys = [(source.hub_id or source.name).casefold() for source in variant.data]
        again = any(key in sources for key in keys)
        new = [source for key, source in zip(keys, variant.data, strict=True) if key not in sources]
        documents.append(_documents(name, variant, new, again=again))
        for key, source in zip(keys, variant.data, strict=True):
            sources.setdefault(key, source)
            by.setdefault(key, []).append(name)
    return [SeenData(sources[key], tuple(by[key])) for key in sources], documents


def _documents(name: str, variant: Variant, new: Sequence[DataSource], *, again: bool) -> Part:
    """The documents of a variant's data that nobody nearer was trained on."""
    if not again and variant.corpus is not None and variant.corpus.documents is not None:
        return Part(name, variant.corpus.documents)
    if not variant.data:
        return Part(name, None)
    stated = [source.documents for source in new if source.documents is not None]
    note = "of data sets not counted yet" if again else None
    if new and not stated:
        return Part(name, None, note=note)
    return Part(name, sum(stated), at_least=len(stated) < len(new), note=note)
