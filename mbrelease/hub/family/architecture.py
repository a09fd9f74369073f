"""The settings of a config.json under the names that a registry has for them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from mbrelease.checkpoints.config import ModernBertConfig, normal_form, regular_interval

_COUNTS = {
    "layers": "num_hidden_layers",
    "hidden_size": "hidden_size",
    "attention_heads": "num_attention_heads",
    "intermediate_size": "intermediate_size",
    "context": "max_position_embeddings",
    "vocabulary": "vocab_size",
}
# Their positions begin behind the padding token's id, so two of the table are no positions.
_OFFSET_TYPES = frozenset({"roberta", "xlm-roberta", "camembert", "xlm-roberta-xl"})
_OFFSET = 2
_ACTIVATIONS = {"gelu": "GeLU", "silu": "SiLU", "relu": "ReLU"}
_MOST = 10**12


def architecture_of(config: Mapping[str, Any]) -> dict[str, Any]:
    """What ``config`` says of a model's design; only numbers and words that can be right."""
    if config.get("model_type") == "modernbert":
        try:
            return _modernbert(normal_form(config))
        except ValueError:
            pass  # no ModernBERT that could be loaded; its sizes may still be told
    found = {name: value for name, key in _COUNTS.items() if (value := _count(config.get(key)))}
    if config.get("model_type") in _OFFSET_TYPES and found.get("context", 0) > _OFFSET:
        found["context"] -= _OFFSET
    return found


def _modernbert(config: ModernBertConfig) -> dict[str, Any]:
    every = regular_interval(config.layer_types)
    biased = {config.attention_bias, config.mlp_bias}
    values = {
        **{name: _count(getattr(config, key)) for name, key in _COUNTS.items()},
        "activation": _ACTIVATIONS.get(config.hidden_activation),
        "linear_bias": biased.pop() if len(biased) == 1 else None,
        "global_attention_every": every,
        # All tokens are within reach where every layer is global.
        "local_window": _count(config.local_attention) if every != 1 else None,
        "norm_epsilon": _number(config.norm_eps),
        "norm_bias": config.norm_bias,
        "rope_theta": _number(config.global_rope_theta),
        "local_rope_theta": _number(config.local_rope_theta) if every != 1 else None,
    }
    return {name: value for name, value in values.items() if value is not None}


def _count(value: object) -> int | None:
    is_count = isinstance(value, int) and not isinstance(value, bool) and 0 < value < _MOST
    return int(value) if is_count and isinstance(value, int) else None


def _number(value: float) -> float | int | None:
    if not math.isfinite(value) or not 0 < value < _MOST:
        return None
    return int(value) if value == int(value) else value
