"""A ModernBERT config in one normal form, whichever transformers generation wrote it.

4.x writes ``global_rope_theta``, ``local_rope_theta`` and ``global_attn_every_n_layers``;
5.x writes ``rope_parameters`` and ``layer_types``. Where both stand, 5.x reads the newer one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mbrelease.errors import UserError
from mbrelease.files import read_json, sha256_json

FULL = "full_attention"
SLIDING = "sliding_attention"


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
    tie_word_embeddings: bool

    @property
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
    if content.get("model_type") != "modernbert":
        raise UserError(f"{path}: model_type is {content.get('model_type')!r}, not 'modernbert'")
    try:
        return normal_form(content)
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"{path}: malformed config: {error}") from error


def normal_form(raw: Mapping[str, Any]) -> ModernBertConfig:
    """The normal form of a parsed config.json; absent keys take the class defaults of 5.x.

    Raises:
        KeyError, TypeError, ValueError: a field cannot be read.
    """
    layers = int(raw.get("num_hidden_layers", 22))
    global_theta, local_theta = _thetas(raw)
    return ModernBertConfig(
        vocab_size=int(raw.get("vocab_size", 50368)),
        hidden_size=int(raw.get("hidden_size", 768)),
        intermediate_size=int(raw.get("intermediate_size", 1152)),
        num_hidden_layers=layers,
        num_attention_heads=int(raw.get("num_attention_heads", 12)),
        max_position_embeddings=int(raw.get("max_position_embeddings", 8192)),
        layer_types=_layer_types(raw, layers),
        global_rope_theta=global_theta,
        local_rope_theta=local_theta,
        local_attention=int(raw.get("local_attention", 128)),
        hidden_activation=str(raw.get("hidden_activation", "gelu")),
        classifier_activation=str(raw.get("classifier_activation", "gelu")),
        classifier_pooling=str(raw.get("classifier_pooling", "cls")),
        norm_eps=float(raw.get("norm_eps", 1e-5)),
        norm_bias=bool(raw.get("norm_bias", False)),
        attention_bias=bool(raw.get("attention_bias", False)),
        mlp_bias=bool(raw.get("mlp_bias", False)),
        decoder_bias=bool(raw.get("decoder_bias", True)),
        tie_word_embeddings=bool(raw.get("tie_word_embeddings", True)),
    )


def _layer_types(raw: Mapping[str, Any], layers: int) -> tuple[str, ...]:
    given = raw.get("layer_types")
    if given is not None:
        if len(given) != layers or not set(given) <= {FULL, SLIDING}:
            raise ValueError(f"layer_types does not describe {layers} layers")
        return tuple(given)
    every = int(raw.get("global_attn_every_n_layers", 3))
    return tuple(FULL if layer % every == 0 else SLIDING for layer in range(layers))


def _thetas(raw: Mapping[str, Any]) -> tuple[float, float]:
    nested = raw.get("rope_parameters")
    if nested:
        return float(nested[FULL]["rope_theta"]), float(nested[SLIDING]["rope_theta"])
    full = float(raw.get("global_rope_theta", 160_000.0))
    local = raw.get("local_rope_theta", 10_000.0)
    # 4.x: a null local theta means "the same as global".
    return full, full if local is None else float(local)
