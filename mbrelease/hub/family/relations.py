"""How a published model was made, in the registry's nine words where the Hub has four."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from mbrelease.hub.family.model import ADAPTER, MERGE, PublishedModel

# What authors write among the tags of their card, in their own words.
_TAGS: Mapping[str, str] = {
    "continued-pretraining": "continued-pretraining",
    "continual-pretraining": "continued-pretraining",
    "continued-pre-training": "continued-pretraining",
    "domain-adaptation": "continued-pretraining",
    "dapt": "continued-pretraining",
    "distillation": "distillation",
    "distilled": "distillation",
    "knowledge-distillation": "distillation",
    "model-soup": "averaging",
    "checkpoint-averaging": "averaging",
    "context-extension": "context-extension",
    "long-context-extension": "context-extension",
}
_OF_TASKS = frozenset({"sentence-transformers", "sentence-similarity", "PyLate", "span-marker"})
_TASK_HEADS = (
    "ForSequenceClassification", "ForTokenClassification", "ForQuestionAnswering",
    "ForMultipleChoice",
)  # fmt: skip
_SHAPE = ("layers", "hidden_size")


@dataclass(frozen=True)
class Judgement:
    """A relation, whether it is more than a guess, and what speaks for it."""

    relation: str
    is_sure: bool
    why: str


def judge(child: PublishedModel, base: PublishedModel | None) -> Judgement:
    """How ``child`` was made from ``base``, which is ``None`` where it cannot be read."""
    said = f"the card says {child.relation_said}" if child.relation_said else None
    if child.is_adapter:
        return Judgement("adapter", True, f"it has an {ADAPTER}")
    if child.relation == "adapter":
        return Judgement("adapter", said is not None, said or "the Hub takes it for an adapter")
    if child.merge is not None and child.merge.is_average:
        why = f"its {MERGE} averages states of {child.merge.models[0]}"
        return Judgement("averaging", True, why)
    if child.merge is not None and child.merge.models:
        return Judgement("merging", True, f"it has a {MERGE} ({child.merge.method})")
    tagged = {relation: tag for tag, relation in _TAGS.items() if tag in child.tags}
    if child.relation == "merge":
        if "averaging" in tagged:
            return Judgement("averaging", True, f"it is tagged {tagged['averaging']}")
        why = said or "it has several base models, and the card does not say how"
        return Judgement("merging", said is not None, why)
    if child.is_quantized and child.relation in ("quantized", "finetune"):
        sure = child.relation_said != "finetune"
        why = "its files are quantized" + ("" if sure else ", though the card says finetune")
        return Judgement("quantization", sure, why)
    if child.relation == "quantized":
        why = said or "the Hub takes it for quantized"
        return Judgement("quantization", said is not None, why)
    if len(tagged) == 1:
        (relation, tag), = tagged.items()  # fmt: skip
        return Judgement(relation, True, f"it is tagged {tag}")
    return _finetune(child, base, said)


def _finetune(child: PublishedModel, base: PublishedModel | None, said: str | None) -> Judgement:
    """Of the six that are a finetune to the Hub, what the configs tell."""
    head = next((n for n in child.architectures if n.endswith(_TASK_HEADS)), None)
    if head is not None:
        return Judgement("fine-tuning", True, f"its config names {head}")
    if library := min(_OF_TASKS & child.tags, default=None):
        return Judgement("fine-tuning", True, f"it is tagged {library}")
    lead = said or "the card does not say how"
    if base is None or not child.architecture or not base.architecture:
        return Judgement("fine-tuning", False, f"{lead}, and there are no two configs to compare")
    ours, theirs = child.architecture, base.architecture
    if any(ours.get(key) != theirs.get(key) for key in _SHAPE):
        is_smaller = ours.get("layers", 0) < theirs.get("layers", 0)
        # Never weight-initialization: of that a card names no base model, and this one does.
        guess = "distillation" if is_smaller else "fine-tuning"
        return Judgement(guess, False, f"{lead}, but it has another shape than its base")
    if not (child.is_masked_lm and base.is_masked_lm):
        return Judgement("fine-tuning", False, f"{lead}, and its config does not tell for what")
    if ours.get("context", 0) > theirs.get("context", 0):
        contexts = f"{theirs.get('context', 0):,} to {ours.get('context', 0):,} tokens"
        return Judgement("context-extension", True, f"it reads more: {contexts}")
    if child.merge is not None:
        return Judgement("merging", False, f"its {MERGE} cannot be read")
    return Judgement("continued-pretraining", True, "both fill in masked words, in one shape")
