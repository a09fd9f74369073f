"""A ModernBERT config in one normal form, whichever transformers generation wrote it.

4.x writes ``global_rope_theta``, ``local_rope_theta`` and ``global_attn_every_n_layers``;
5.x writes ``rope_parameters`` and ``layer_types``. Where both stand, 5.x reads the newer one.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from mbrelease.errors import UserError
from mbrelease.files import read_json, sha256_json

FULL = "full_attention"
SLIDING = "sliding_attention"
KEYS_OF_5X = frozenset({"layer_types", "rope_parameters", "sliding_window"})
# Far above any real model; a tuple of layers is made before the weights can contradict it.
MAX_LAYERS = 1000


@dataclass(frozen=True)
class ModernBertConfig:
    """What the weights mean: everything that changes the output of a forward pass."""

    vocab_size: int
    hidden_size: int
    intermediate_size: int
    num_hidden_layers: int
    num_attention_heads: int
    max_position_embeddings: int
    layer_types: tuple[str, ...]
    global_rope_theta: float
    local_rope_theta: float
    local_attention: int
    hidden_activation: str
    classifier_activation: str
    classifier_pooling: str
    norm_eps: float
    norm_bias: bool
    attention_bias: bool
    mlp_bias: bool
    decoder_bias: bool
    classifier_bias: bool
    tie_word_embeddings: bool

    @cached_property
    def sha256(self) -> str:
        """The content hash of the normal form."""
        return sha256_json(asdict(self))


def read_config(path: Path) -> ModernBertConfig:
    """Read a config.json of either generation.

    Raises:
        UserError: missing, malformed, or not a ModernBERT.
    """
    content = read_json(path)
    if not isinstance(content, dict):
        raise UserError(f"{path}: not a JSON object")
    return config_from(content, path)


def config_from(content: Mapping[str, Any], place: Path) -> ModernBertConfig:
    """The normal form of a config.json that was read from ``place``.

    Raises:
        UserError: malformed, or not a ModernBERT.
    """
    if content.get("model_type") != "modernbert":
        raise UserError(f"{place}: model_type is {content.get('model_type')!r}, not 'modernbert'")
    try:
        return normal_form(content)
    except ValueError as error:
        raise UserError(f"{place}: malformed config: {error}") from error


def normal_form(raw: Mapping[str, Any]) -> ModernBertConfig:
    """The normal form of a parsed config.json, read as transformers 5.x reads it.

    Absent keys take the class defaults. Types are as strict as in 5.x: ``"768"`` is not a number
    and ``0`` is not a truth value.

    Raises:
        ValueError: a field cannot be read, or says something that is not ModernBERT.
    """
    layers = _count(raw, "num_hidden_layers", 22)
    if layers > MAX_LAYERS:
        raise ValueError(f"num_hidden_layers is {layers}, more than {MAX_LAYERS}")
    global_theta, local_theta = _thetas(raw)
    return ModernBertConfig(
        vocab_size=_count(raw, "vocab_size", 50368),
        hidden_size=_count(raw, "hidden_size", 768),
        intermediate_size=_count(raw, "intermediate_size", 1152),
        num_hidden_layers=layers,
        num_attention_heads=_count(raw, "num_attention_heads", 12),
        max_position_embeddings=_count(raw, "max_position_embeddings", 8192),
        layer_types=_layer_types(raw, layers),
        global_rope_theta=global_theta,
        local_rope_theta=local_theta,
        local_attention=_local_attention(raw),
        hidden_activation=_word(raw, "hidden_activation", "gelu"),
        classifier_activation=_word(raw, "classifier_activation", "gelu"),
        classifier_pooling=_word(raw, "classifier_pooling", "cls"),
        norm_eps=_number(raw, "norm_eps", 1e-5),
        norm_bias=_flag(raw, "norm_bias", False),
        attention_bias=_flag(raw, "attention_bias", False),
        mlp_bias=_flag(raw, "mlp_bias", False),
        decoder_bias=_flag(raw, "decoder_bias", True),
        classifier_bias=_flag(raw, "classifier_bias", False),
        tie_word_embeddings=_flag(raw, "tie_word_embeddings", True),
    )


def legacy_form(raw: Mapping[str, Any]) -> ModernBertConfig:
    """The normal form as transformers 4.x reads the same file: it knows none of 5.x's keys.

    Raises:
        ValueError: a field cannot be read.
    """
    return normal_form({key: value for key, value in raw.items() if key not in KEYS_OF_5X})


def regular_interval(layer_types: Sequence[str]) -> int | None:
    """The ``global_attn_every_n_layers`` that gives ``layer_types``, or ``None`` if none does.

    Three, ModernBERT's own, is preferred where several do (a model of one layer).
    """
    layers = len(layer_types)
    intervals: list[int] = [3, *range(1, layers + 1)]
    return next((n for n in intervals if tuple(layer_types) == _pattern(layers, n)), None)


def _pattern(layers: int, every: int) -> tuple[str, ...]:
    return tuple(FULL if layer % every == 0 else SLIDING for layer in range(layers))


def _layer_types(raw: Mapping[str, Any], layers: int) -> tuple[str, ...]:
    given = raw.get("layer_types")
    if given is None:
        return _pattern(layers, _count(raw, "global_attn_every_n_layers", 3))
    if not isinstance(given, list | tuple) or len(given) != layers:
        raise ValueError(f"layer_types does not describe {layers} layers")
    if unknown := sorted({str(kind) for kind in given} - {FULL, SLIDING}):
        raise ValueError(f"layer_types has the unknown type {unknown[0]!r}")
    return tuple(given)


def _thetas(raw: Mapping[str, Any]) -> tuple[float, float]:
    if raw.get("rope_scaling") is not None:
        raise ValueError("rope_scaling is set; ModernBERT has plain rotary embeddings")
    full = _number(raw, "global_rope_theta", 160_000.0)
    # 4.x: a null local theta means "the same as global".
    null_local = "local_rope_theta" in raw and raw["local_rope_theta"] is None
    local = full if null_local else _number(raw, "local_rope_theta", 10_000.0)
    nested = raw.get("rope_parameters")
    if nested is None:
        return full, local
    if not isinstance(nested, Mapping) or not set(nested) <= {FULL, SLIDING}:
        raise ValueError(f"rope_parameters must hold {FULL} and {SLIDING} and nothing else")
    return _nested_theta(nested, FULL, full), _nested_theta(nested, SLIDING, local)


def _nested_theta(nested: Mapping[str, Any], kind: str, flat: float) -> float:
    entry = nested.get(kind) or {}
    if not isinstance(entry, Mapping):
        raise ValueError(f"rope_parameters.{kind} is {entry!r}, not an object")
    rope_type = entry.get("rope_type", "default")
    if rope_type != "default":
        raise ValueError(f"rope_parameters.{kind}.rope_type is {rope_type!r}, not 'default'")
    return _number(entry, "rope_theta", flat)


def _local_attention(raw: Mapping[str, Any]) -> int:
    # In 5.x a key sliding_window is the setter of a property: half the window.
    if raw.get("sliding_window") is not None:
        return 2 * _count(raw, "sliding_window", 64)
    return _count(raw, "local_attention", 128)


def _count(raw: Mapping[str, Any], key: str, default: int) -> int:
    value: object = raw.get(key, default)
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise ValueError(f"{key} is {value!r}, not a whole number above 0")
    return value


def _number(raw: Mapping[str, Any], key: str, default: float) -> float:
    value: object = raw.get(key, default)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"{key} is {value!r}, not a number")
    try:
        number = float(value)
    except OverflowError as error:
        raise ValueError(f"{key} is too large a number") from error
    if not math.isfinite(number):
        raise ValueError(f"{key} is {number}, not a finite number")
    return number


def _flag(raw: Mapping[str, Any], key: str, default: bool) -> bool:
    value = raw.get(key, default)
    if not isinstance(value, bool):
        raise ValueError(f"{key} is {value!r}, not true or false")
    return value


def _word(raw: Mapping[str, Any], key: str, default: str) -> str:
    value = raw.get(key, default)
    if not isinstance(value, str):
        raise ValueError(f"{key} is {value!r}, not a text")
    return value
