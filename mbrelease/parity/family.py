"""Known members of the family: what their configs say, each figure from a source that is named.

A field that no source states is left out and never compared. Fields are those of
:class:`~mbrelease.checkpoints.config.ModernBertConfig`, but that the layer pattern is
``global_attn_every_n_layers``, and the ids of special tokens, as config.json has them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from mbrelease.checkpoints.config import FULL, ModernBertConfig, normal_form, regular_interval

Value = int | float | str | bool | None
Fields = Mapping[str, Value]

PATTERN = "global_attn_every_n_layers"
SIZES = ("num_hidden_layers", "hidden_size", "intermediate_size", "num_attention_heads")
THETAS = ("global_rope_theta", "local_rope_theta")
IDS = ("bos_token_id", "cls_token_id", "eos_token_id", "sep_token_id", "pad_token_id")


@dataclass(frozen=True)
class Member:
    """One published model, or one phase of its training."""

    name: str
    repo: str | None
    fields: Fields
    sources: tuple[str, ...]
    architecture: str = "ModernBertForMaskedLM"
    pooling: str | None = None
    """How its sentence embeddings were trained to be pooled, whatever config.json says."""

    @property
    def complete(self) -> bool:
        """Whether enough is known of it that a config may be said to be its own."""
        return {*SIZES, *THETAS} <= set(self.fields)

    def config(self) -> ModernBertConfig:
        """Its config in the normal form; what no source states has the default of the class."""
        known = {field.name for field in fields(ModernBertConfig)} | {PATTERN}
        return normal_form({key: value for key, value in self.fields.items() if key in known})


@dataclass(frozen=True)
class Match:
    """A member, and the fields that are known of it and differ."""

    member: Member
    differing: tuple[str, ...]

    @property
    def same_size(self) -> bool:
        """Whether the weights could be the member's, going by their shapes."""
        return not set(SIZES) & set(self.differing)


def described(config: ModernBertConfig, raw: Mapping[str, Any] | None = None) -> dict[str, Value]:
    """What a config says, by the names that members use; ids from ``raw``, the parsed JSON."""
    said: dict[str, Value] = {
        field.name: getattr(config, field.name)
        for field in fields(config)
        if field.name != "layer_types"
    }
    irregular = "".join("F" if kind == FULL else "S" for kind in config.layer_types)
    said[PATTERN] = regular_interval(config.layer_types) or irregular
    # 4.x may say null for an id that it has not.
    ids = {key: raw[key] for key in IDS if raw and isinstance(raw.get(key), int)}
    return said | ids


def differing(mine: Fields, theirs: Fields) -> tuple[str, ...]:
    """The fields that both state and that differ, in the order of ``theirs``."""
    return tuple(key for key in theirs if key in mine and mine[key] != theirs[key])


def matches(said: Fields, architecture: str | None = None) -> list[Match]:
    """The members that are well known, nearest first: by size, other fields, then the class."""
    known = [member for member in MEMBERS if member.complete]
    found = [Match(member, differing(said, member.fields)) for member in known]
    return sorted(found, key=lambda match: _distance(said, match, architecture))


def member_named(name: str) -> Member | None:
    """The member of that name or Hub id; ``base`` and ``large`` are ModernBERT's."""
    wanted = {"base": "modernbert-base", "large": "modernbert-large"}.get(name, name).lower()
    names = ((member, (member.name, (member.repo or "").lower())) for member in MEMBERS)
    return next((member for member, known in names if wanted in known), None)


def _distance(said: Fields, match: Match, architecture: str | None) -> tuple[float, ...]:
    sizes = [key for key in SIZES if key in match.differing]
    away = sum(abs(math.log2(_size(said, key) / _size(match.member.fields, key))) for key in sizes)
    others = len(match.differing) - len(sizes)
    another_class = architecture is not None and architecture != match.member.architecture
    # Of equals the one of which more is known; sorted() then keeps the order of MEMBERS.
    return (away, others, another_class, -len(match.member.fields))


def _size(said: Fields, key: str) -> float:
    value = said[key]
    return float(value) if isinstance(value, int | float) else math.nan


# Table 4 of the paper, but the sizes. Its "Linear bias: False" leaves out the decoder (its note 2).
TABLE_4: Fields = {
    "vocab_size": 50_368,
    PATTERN: 3,
    "local_attention": 128,
    "global_rope_theta": 160_000.0,
    "local_rope_theta": 10_000.0,
    "hidden_activation": "gelu",
    "norm_eps": 1e-5,
    "norm_bias": False,
    "attention_bias": False,
    "mlp_bias": False,
    "classifier_bias": False,
    "decoder_bias": True,
}
PAPER = "Warner et al. 2024, arXiv:2412.13663, Table 4"
PAPER_PHASES = "Warner et al. 2024, arXiv:2412.13663, Table 3 and section 2.2"
HUB_CONFIG = "config.json on the Hub"
FLEXBERT_YAML = "AnswerDotAI/ModernBERT: yamls/modernbert/modernbert-base-pretrain.yaml"

# As a training config of FlexBERT, the trainer of the paper, states them: head_pred_act is the
# activation of the head, sliding_window the whole window, and the embedding is tied.
FLEXBERT: Fields = {
    PATTERN: 3,
    "local_attention": 128,
    "hidden_activation": "gelu",
    "classifier_activation": "gelu",
    "norm_eps": 1e-5,
    "norm_bias": False,
    "attention_bias": False,
    "mlp_bias": False,
}
MODERNBERT_IDS: Fields = {
    "bos_token_id": 50_281,
    "cls_token_id": 50_281,
    "eos_token_id": 50_282,
    "sep_token_id": 50_282,
    "pad_token_id": 50_283,
}
GEMMA_IDS: Fields = {
    "bos_token_id": 2,
    "eos_token_id": 1,
    "sep_token_id": 1,
    "pad_token_id": 0,
}


def _sizes(layers: int, hidden: int, intermediate: int, heads: int) -> Fields:
    return dict(zip(SIZES, (layers, hidden, intermediate, heads), strict=True))


def _thetas(full: float, sliding: float) -> Fields:
    return dict(zip(THETAS, (full, sliding), strict=True))


def _joined(*parts: Fields) -> Fields:
    return {key: value for part in parts for key, value in part.items()}


BASE, LARGE = _sizes(22, 768, 1_152, 12), _sizes(28, 1_024, 2_624, 16)
PUBLISHED = _joined(
    TABLE_4,
    MODERNBERT_IDS,
    {
        "max_position_embeddings": 8_192,
        "classifier_activation": "gelu",
        "classifier_pooling": "mean",
        "tie_word_embeddings": True,
    },
)
PRETRAINING = _joined(FLEXBERT, _thetas(1e4, 1e4), {"vocab_size": 50_368})
BIO_CARD = "model card of almanach/ModernBERT-bio-base"


def _ettin(size: str, yaml: str, sizes: Fields) -> Member:
    repository = "JHU-CLSP/ettin-encoder-vs-decoder"
    path = f"pretraining/configs/standard/{yaml}/prolong_decay/encoder_{yaml}.yaml"
    own = {"vocab_size": 50_368, "max_position_embeddings": 7_999}
    return Member(
        name=f"ettin-encoder-{size}",
        repo=f"jhu-clsp/ettin-encoder-{size}",
        fields=_joined(sizes, FLEXBERT, _thetas(160_000.0, 160_000.0), own),
        sources=(f"{repository}: README.md, Model Architecture", f"{repository}: {path}"),
    )


def _mmbert(size: str, sizes: Fields) -> Member:
    own = {"vocab_size": 256_000, "max_position_embeddings": 8_192}
    return Member(
        name=f"mmbert-{size}",
        repo=f"jhu-clsp/mmBERT-{size}",
        fields=_joined(sizes, FLEXBERT, _thetas(160_000.0, 160_000.0), own, GEMMA_IDS),
        sources=(
            "JHU-CLSP/mmBERT: README.md",
            f"JHU-CLSP/mmBERT: configs/mmBERT-{size}-decay.yaml",
        ),
    )


def _bioclinical(size: str, sizes: Fields) -> Member:
    own = {"vocab_size": 50_368, "max_position_embeddings": 8_192}
    path = f"pretraining_configs/phase2/phase2_{size}.yaml"
    return Member(
        name=f"bioclinical-modernbert-{size}",
        repo=f"thomas-sounack/BioClinical-ModernBERT-{size}",
        fields=_joined(sizes, FLEXBERT, _thetas(160_000.0, 10_000.0), own),
        sources=(f"lindvalllab/BioClinical-ModernBERT: {path}",),
    )


def _granite(name: str, pooling: str, sizes: Fields, own: Fields, *sources: str) -> Member:
    return Member(
        name=name,
        repo=f"ibm-granite/{name}",
        fields=_joined(sizes, {PATTERN: 3, "local_attention": 128}, own),
        sources=sources,
        architecture="ModernBertModel",
        pooling=pooling,
    )


MEMBERS: Sequence[Member] = (
    Member(
        "modernbert-base",
        "answerdotai/ModernBERT-base",
        _joined(BASE, PUBLISHED),
        (PAPER, HUB_CONFIG),
    ),
    Member(
        "modernbert-large",
        "answerdotai/ModernBERT-large",
        _joined(LARGE, PUBLISHED),
        (PAPER, HUB_CONFIG),
    ),
    Member(
        "modernbert-base-pretraining",
        None,
        _joined(BASE, PRETRAINING),
        (PAPER_PHASES, FLEXBERT_YAML),
    ),
    Member(
        "modernbert-large-pretraining",
        None,
        _joined(LARGE, PRETRAINING),
        (PAPER_PHASES, PAPER),
    ),
    Member(
        "gte-modernbert-base",
        "Alibaba-NLP/gte-modernbert-base",
        # Its config.json says classifier_pooling mean, as its parent's does; it was trained on CLS.
        _joined(BASE, {key: value for key, value in PUBLISHED.items() if "pooling" not in key}),
        ("model card", "config.json of elucidator8918/frugal-ai-text, saved from it"),
        architecture="ModernBertModel",
        pooling="cls",
    ),
    _ettin("17m", "very_tiny", _sizes(7, 256, 384, 4)),
    _ettin("32m", "tiny", _sizes(10, 384, 576, 6)),
    _ettin("68m", "mini", _sizes(19, 512, 768, 8)),
    _ettin("150m", "base", BASE),
    _ettin("400m", "large", LARGE),
    _ettin("1b", "huge", _sizes(28, 1_792, 3_840, 28)),
    _mmbert("small", _sizes(22, 384, 1_152, 6)),
    _mmbert("base", BASE),
    _granite(
        "granite-embedding-english-r2",
        "cls",
        BASE,
        _joined(
            _thetas(80_000.0, 10_000.0),
            {"max_position_embeddings": 8_192, "hidden_activation": "gelu"},
        ),
        "model card; arXiv:2508.21085",
        "ollama/ollama: IMPLEMENTATION_SUMMARY.md, which lists its config.json",
    ),
    _granite(
        "granite-embedding-small-english-r2",
        "cls",
        _sizes(12, 384, 1_536, 12),
        _joined(
            _thetas(80_000.0, 10_000.0),
            {"vocab_size": 50_368, "max_position_embeddings": 8_192, "pad_token_id": 50_283},
        ),
        "model card; arXiv:2508.21085",
        "config.json, as public code quotes it; the 47 million parameters of the card follow",
    ),
    _granite(
        "granite-embedding-311m-multilingual-r2",
        "cls",
        BASE,
        _joined(
            _thetas(150_000.0, 160_000.0),
            {
                "vocab_size": 262_152,
                "max_position_embeddings": 32_768,
                "hidden_activation": "gelu",
                "classifier_pooling": "cls",
                "pad_token_id": 0,
            },
        ),
        "model card; arXiv:2605.13521",
        "config.json, as public code quotes it; the 311 million parameters of the card follow",
    ),
    _granite(
        "granite-embedding-97m-multilingual-r2",
        "cls",
        _sizes(12, 384, 1_536, 12),
        _joined(
            _thetas(150_000.0, 160_000.0),
            {
                "vocab_size": 180_000,
                "max_position_embeddings": 32_768,
                "hidden_activation": "silu",
                "norm_eps": 1e-5,
                "norm_bias": False,
                "attention_bias": False,
                "mlp_bias": False,
                "bos_token_id": 179_934,
                "cls_token_id": 179_934,
                "eos_token_id": 179_938,
                "sep_token_id": 179_938,
                "pad_token_id": 179_935,
            },
        ),
        "model card; arXiv:2605.13521",
        "config.json at revision 835ad14, as public code quotes it; 97,441,152 parameters follow",
    ),
    _bioclinical("base", BASE),
    _bioclinical("large", LARGE),
    # Of both ModernBERT-bio the sizes are the parent's, whose weights they continue. Their thetas,
    # vocabulary and activations stand in no card.
    Member(
        "modernbert-bio-base",
        "almanach/ModernBERT-bio-base",
        _joined(BASE, {"max_position_embeddings": 8_192}),
        (BIO_CARD,),
    ),
    Member("modernbert-bio-large", "almanach/ModernBERT-bio-large", LARGE, (BIO_CARD,)),
    # Of its base size no source states more than 150 million parameters.
    Member(
        "moderncamembert-bio-large",
        "almanach/ModernCamemBERT-bio-large",
        {
            "num_hidden_layers": 28,
            "hidden_size": 1_024,
            "num_attention_heads": 16,
            "max_position_embeddings": 8_192,
        },
        ("model card",),
    ),
)
