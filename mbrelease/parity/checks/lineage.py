"""config.json against the parent's: identical, legitimately different, or wrong."""

from __future__ import annotations

from dataclasses import fields

from mbrelease.checkpoints.config import ModernBertConfig
from mbrelease.parity.report import CheckResult, failed, passed, shortened, warned

THETAS = frozenset({"global_rope_theta", "local_rope_theta"})
HEAD = frozenset({"classifier_activation", "classifier_pooling", "classifier_bias", "decoder_bias"})
SIZES = frozenset(
    {"hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "layer_types"}
)
VOCABULARY = frozenset({"vocab_size"})

# What each relation of the registry may change; all that is not named here may not change.
MAY_CHANGE: dict[str, frozenset[str]] = {
    "continued-pretraining": frozenset(),
    "fine-tuning": HEAD,
    "averaging": frozenset(),
    "merging": frozenset(),
    "distillation": SIZES | VOCABULARY | HEAD,
    "quantization": frozenset(),
    "adapter": HEAD,
    "context-extension": THETAS | {"max_position_embeddings"},
    "weight-initialization": SIZES | VOCABULARY | THETAS | HEAD | {"max_position_embeddings"},
}


def check_against_parent(
    config: ModernBertConfig, parent: ModernBertConfig, relation: str | None
) -> CheckResult:
    """Compare two configs in their normal form, by the relation that is declared (or none)."""
    name = "config.parent"
    legitimate = MAY_CHANGE.get(relation or "", frozenset())
    declared = relation or "no declared relation"
    differing = [
        field.name
        for field in fields(config)
        if getattr(config, field.name) != getattr(parent, field.name)
    ]
    said = shortened((_difference(config, parent, key) for key in differing), shown=4)
    if not differing:
        return passed(name, "the same architecture as the parent")
    expected = f"what {declared} may change: {', '.join(sorted(legitimate)) or 'nothing'}"
    wrong = [key for key in differing if key not in legitimate]
    if not wrong:
        return passed(name, f"{said} (legitimate in {declared})", expected)
    if wrong == ["classifier_pooling"]:
        # It is read by a classifier that these weights do not have.
        return warned(name, expected=expected, found=said, mend="give the pooling of the parent")
    return failed(
        name,
        expected=expected,
        found=shortened((_difference(config, parent, key) for key in wrong), shown=4),
        mend="restore the parent's value, or declare the relation that explains it",
    )


def _difference(config: ModernBertConfig, parent: ModernBertConfig, key: str) -> str:
    mine, theirs = getattr(config, key), getattr(parent, key)
    if key == "layer_types":
        return "another layer pattern"
    return f"{key} {_said(mine)} (parent {_said(theirs)})"


def _said(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
