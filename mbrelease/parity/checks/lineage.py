"""config.json against where the model comes from: its parent, its family, what is declared of it.

Each field is identical, legitimately different (the declared relation says so, or the registry
declares the very value), or wrong.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from mbrelease.checkpoints.config import ModernBertConfig
from mbrelease.parity.family import (
    IDS,
    PATTERN,
    SIZES,
    THETAS,
    Fields,
    Match,
    Member,
    Value,
    described,
    matches,
)
from mbrelease.parity.reference import architecture_of
from mbrelease.parity.report import CheckResult, failed, passed, shortened, warned

Verdict = Literal["identical", "legitimate", "wrong"]
Raw = Mapping[str, Any]

HEAD = frozenset({"classifier_activation", "classifier_pooling", "classifier_bias", "decoder_bias"})
OTHER_SIZES = frozenset({*SIZES, PATTERN})
VOCABULARY = frozenset({"vocab_size", *IDS})
CONTEXT = frozenset({*THETAS, "max_position_embeddings"})

# What each relation of the registry may change; all that is not named here may not change.
MAY_CHANGE: dict[str, frozenset[str]] = {
    "continued-pretraining": frozenset(),
    "fine-tuning": HEAD,
    "averaging": frozenset(),
    "merging": frozenset(),
    "distillation": OTHER_SIZES | VOCABULARY | HEAD,
    "quantization": frozenset(),
    "adapter": HEAD,
    "context-extension": CONTEXT,
    "weight-initialization": OTHER_SIZES | VOCABULARY | CONTEXT | HEAD,
}
# The registry's words for what a variant is, and config.json's.
DECLARED = {
    "layers": "num_hidden_layers",
    "hidden_size": "hidden_size",
    "attention_heads": "num_attention_heads",
    "intermediate_size": "intermediate_size",
    "context": "max_position_embeddings",
    "vocabulary": "vocab_size",
}
READS_POOLING = "ModernBertForSequenceClassification"


@dataclass(frozen=True)
class Origin:
    """What a config is compared with: a folder's config or a member of the family."""

    name: str
    said: Fields
    architecture: str | None = None


@dataclass(frozen=True)
class Comparison:
    """One field beside that of the origin."""

    field: str
    mine: Value
    theirs: Value
    verdict: Verdict

    def __str__(self) -> str:
        return f"{self.field} {_said(self.mine)} (parent {_said(self.theirs)})"


def origin_of_folder(config: ModernBertConfig, raw: Raw) -> Origin:
    """The parent in a folder, by its config in both forms."""
    return Origin("the parent", described(config, raw), architecture_of(raw))


def origin_of_member(member: Member) -> Origin:
    """A known member of the family as the parent; only what is known of it is compared."""
    return Origin(member.name, member.fields, member.architecture)


def compare(
    said: Fields,
    origin: Fields,
    relation: str | None = None,
    declared: Mapping[str, int | None] | None = None,
) -> list[Comparison]:
    """Every field that both sides state.

    Args:
        said: what the config says (:func:`~mbrelease.parity.family.described`).
        origin: what the parent says.
        relation: how the model came from it; ``None`` allows what makes it a known member of
            another size, and nothing else.
        declared: the registry's ``architecture``; a value that it declares is legitimate.
    """
    allowed = MAY_CHANGE.get(relation or "", frozenset())
    if relation is None:
        allowed = _of_another_size(said, origin)
    announced = {DECLARED[key]: value for key, value in (declared or {}).items() if key in DECLARED}
    return [
        Comparison(key, said[key], origin[key], _verdict(key, said, origin, allowed, announced))
        for key in origin
        if key in said
    ]


def check_lineage(
    config: ModernBertConfig,
    raw: Raw,
    origin: Origin | None,
    relation: str | None,
    declared: Mapping[str, int | None],
) -> list[CheckResult]:
    """Every question about where the model comes from that can be asked.

    Args: as of :func:`compare`; ``origin`` is the parent, if there is one to compare with.
    """
    results = [check_family(config, raw, declared, judged=origin is not None)]
    if declared:
        results.append(check_declared(config, declared))
    if origin is not None:
        results.append(check_against_parent(config, raw, origin, relation, declared))
    return results


def check_against_parent(
    config: ModernBertConfig,
    raw: Raw,
    origin: Origin,
    relation: str | None,
    declared: Mapping[str, int | None] | None = None,
) -> CheckResult:
    """The config against its parent's, field by field, by the declared relation (or none).

    Args: as of :func:`compare`; ``raw`` is the parsed config.json.
    """
    fields = compare(described(config, raw), origin.said, relation, declared)
    different = [field for field in fields if field.verdict != "identical"]
    wrong = [field for field in different if field.verdict == "wrong"]
    result = _against_parent(config, raw, origin, relation, different, wrong)
    return replace(result, details=_details(origin.name, fields))


def check_declared(config: ModernBertConfig, declared: Mapping[str, int | None]) -> CheckResult:
    """The sizes, context and vocabulary are those that the registry declares for the variant."""
    name = "config.declared"
    stated = {key: declared[key] for key in DECLARED if declared.get(key) is not None}
    said = described(config)
    wrong = [key for key, value in stated.items() if said[DECLARED[key]] != value]
    if not wrong:
        what = ", ".join(f"{key} {value:,}" for key, value in stated.items())
        return passed(name, what or "nothing declared", "the registry's architecture")
    return failed(
        name,
        expected=", ".join(f"{key} {stated[key]:,}" for key in wrong) + ", as the registry says",
        found=", ".join(f"{DECLARED[key]} {_said(said[DECLARED[key]])}" for key in wrong),
        mend="correct config.json, or the architecture in registry.yaml",
    )


def check_family(
    config: ModernBertConfig,
    raw: Raw,
    declared: Mapping[str, int | None] | None = None,
    *,
    judged: bool = False,
) -> CheckResult:
    """Which known member of the family this is, or is nearest to, and how it differs from it.

    A model of its own size may be as it likes. One of a known size that differs otherwise is
    likely that member with a mistake in its config.

    Args:
        config: the normal form.
        raw: the parsed config.json, for the ids of special tokens.
        declared: the registry's ``architecture``; a value that it declares needs no more reason.
        judged: whether a parent was compared; then the differences have been judged.
    """
    said = described(config, raw)
    found = matches(said, architecture_of(raw))
    fields = compare(said, found[0].member.fields, declared=declared)
    result = _family(said, found, [] if judged else fields)
    sources = {"sources": list(found[0].member.sources)}
    return replace(result, details=_details(found[0].member.name, fields) | sources)


def _family(said: Fields, found: list[Match], fields: list[Comparison]) -> CheckResult:
    name, expected = "config.family", "a known member of the family, or a size of its own"
    nearest = found[0]
    member = nearest.member
    if not nearest.differing:
        same = [match.member.name for match in found[1:] if not match.differing]
        also = f" (the same config: {', '.join(same)})" if same else ""
        return passed(name, f"{member.name}{also}", expected)
    listed = shortened(
        (f"{key} {_said(said[key])} ({_said(member.fields[key])})" for key in nearest.differing),
        shown=4,
    )
    if not nearest.same_size:
        return passed(name, f"a size of its own, nearest {member.name}: {listed}", expected)
    # Of the biases and the pooling of a head the weights and the parent know more.
    ignored = HEAD - {"classifier_activation"}
    if all(field.verdict != "wrong" or field.field in ignored for field in fields):
        return passed(name, f"{member.name} but for {listed}", expected)
    return warned(
        name,
        expected=f"{member.name}, whose size it has",
        found=f"{member.name} but for {listed}",
        mend="correct what was not trained so; where it was, declare the parent and the relation",
    )


def _against_parent(
    config: ModernBertConfig,
    raw: Raw,
    origin: Origin,
    relation: str | None,
    different: list[Comparison],
    wrong: list[Comparison],
) -> CheckResult:
    name = "config.parent"
    if not different:
        return passed(name, f"the same architecture as {origin.name}")
    legitimate = sorted(MAY_CHANGE.get(relation or "", frozenset()) - {*IDS})
    stated = relation or "no declared relation"
    expected = f"what {stated} may change: {', '.join(legitimate) or 'nothing'}"
    if not wrong:
        why = relation or f"another member, {matches(described(config))[0].member.name}"
        return passed(name, f"{_listed(different)} (legitimate in {why})", expected)
    pooling_alone = {field.field for field in wrong} == {"classifier_pooling"}
    if pooling_alone and READS_POOLING not in (architecture_of(raw), origin.architecture):
        # Only a classifier of texts reads it, and neither side is one.
        mend = "give the pooling of the parent"
        return warned(name, expected=expected, found=_listed(wrong), mend=mend)
    return failed(
        name,
        expected=expected,
        found=_listed(wrong),
        mend="restore the parent's value, or declare the relation or the value that explains it",
    )


def _of_another_size(said: Fields, origin: Fields) -> frozenset[str]:
    """The fields that may differ where nothing is declared: those of a known, other size."""
    if all(said.get(key) == origin[key] for key in SIZES if key in origin):
        return frozenset()
    same = next((match for match in matches(said) if match.same_size), None)
    if same is None:
        return frozenset()
    member = same.member.fields
    return frozenset(key for key in origin if key in member and said.get(key) == member[key])


def _verdict(
    key: str,
    said: Fields,
    origin: Fields,
    allowed: frozenset[str],
    announced: Mapping[str, int | None],
) -> Verdict:
    if said[key] == origin[key]:
        return "identical"
    if announced.get(key) == said[key]:
        return "legitimate"
    if key in IDS and _announces_vocabulary(announced, said, origin):
        return "legitimate"  # another vocabulary has other ids
    if key not in allowed:
        return "wrong"
    if allowed == CONTEXT and _less(said[key], origin[key]):
        return "wrong"  # nothing is extended by less
    return "legitimate"


def _announces_vocabulary(announced: Fields, said: Fields, origin: Fields) -> bool:
    size = said.get("vocab_size")
    return announced.get("vocab_size") == size != origin.get("vocab_size")


def _less(mine: Value, theirs: Value) -> bool:
    return isinstance(mine, int | float) and isinstance(theirs, int | float) and mine < theirs


def _details(name: str, fields: Iterable[Comparison]) -> dict[str, Any]:
    rows = [
        {"field": one.field, "found": one.mine, "expected": one.theirs, "verdict": one.verdict}
        for one in fields
    ]
    return {"compared_with": name, "fields": rows}


def _listed(fields: Iterable[Comparison]) -> str:
    return shortened(map(str, fields), shown=4)


def _said(value: Value) -> str:
    if value is None:
        return "none"
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) else str(value)
