"""Write a release that transformers 4.48 to 5.x all read alike.

5.x alone writes configs that 4.x misreads without a word (the rotary thetas and the layer pattern
fall back to ModernBERT-base's) and tokenizers that 4.x refuses. So a release carries the keys of
both generations, each saying the same.
"""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mbrelease.checkpoints.checkpoint import SHARD_INDEX, SINGLE_FILE, Checkpoint
from mbrelease.checkpoints.config import (
    FULL,
    SLIDING,
    ModernBertConfig,
    normal_form,
    regular_interval,
)
from mbrelease.checkpoints.source import Source
from mbrelease.errors import UserError
from mbrelease.files import parse_json, unwritable, write_bytes

SPECIAL_TOKENS = (
    "bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token",
)  # fmt: skip
# Names a folder on the trainer's machine or code to be fetched from elsewhere (auto_map), or a
# state of the loader and not of the model.
CONFIG_LEFTOVERS = ("_name_or_path", "auto_map", "sliding_window", "rope_scaling", "rope_theta")
TOKENIZER_LEFTOVERS = (
    "backend", "is_local", "local_files_only", "name_or_path", "_name_or_path",
    "tokenizer_file", "special_tokens_map_file", "extra_special_tokens", "auto_map",
)  # fmt: skip
CLASS_OF_5X = "TokenizersBackend"
TORCH_DTYPES = {"F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16"}


def release_config(raw: Mapping[str, Any], *, dtype: str | None = None) -> dict[str, Any]:
    """The config.json of a release, with the keys of both generations and sorted by key.

    Args:
        raw: a parsed config.json of either generation, read as transformers 5.x reads it.
        dtype: how the weights are stored (``float32``); as ``raw`` says by default.

    Raises:
        UserError: the config cannot be read, or 4.x has no words for it.
    """
    try:
        config = normal_form(raw)
    except ValueError as error:
        raise UserError(f"config.json: {error}") from error
    _refuse_thetas(config)
    every = regular_interval(config.layer_types)
    if every is None:
        raise UserError(
            "config.json: layer_types is not 'full attention every N layers', and transformers 4.x "
            "has no other words for it: it would load the model and compute something else",
            mend="a release that loads everywhere needs a pattern that repeats from layer 0",
        )
    kept = {key: value for key, value in raw.items() if key not in CONFIG_LEFTOVERS}
    if "layer_norm_eps" in kept:
        # Both generations ignore it; other engines may not.
        kept["layer_norm_eps"] = config.norm_eps
    dtype = dtype or raw.get("dtype") or raw.get("torch_dtype")
    if isinstance(dtype, str):
        kept |= {"dtype": dtype, "torch_dtype": dtype}
    kept |= _explicit(config) | {
        "model_type": "modernbert",
        "sparse_prediction": False,
        "global_attn_every_n_layers": every,
    }
    return dict(sorted(kept.items()))


def release_tokenizer_config(
    raw: Mapping[str, Any], config: ModernBertConfig | None = None
) -> dict[str, Any]:
    """The tokenizer_config.json of a release, sorted by key.

    Args:
        raw: a parsed tokenizer_config.json of either generation.
        config: bounds ``model_max_length`` by the positions the model has.
    """
    kept = {key: value for key, value in raw.items() if key not in TOKENIZER_LEFTOVERS}
    # 5.x writes a list under a name for which 4.x wants a map; both read the old name.
    extra = raw.get("extra_special_tokens")
    if isinstance(extra, list) and extra:
        kept["additional_special_tokens"] = extra
    elif isinstance(extra, dict) and extra:
        kept["extra_special_tokens"] = extra
    # A class of its own (mmBERT's, for one) is known to both; the general one was renamed in 5.x.
    if raw.get("tokenizer_class") in (None, CLASS_OF_5X):
        kept["tokenizer_class"] = "PreTrainedTokenizerFast"
    # Unset, 4.x cleans up spaces when it decodes and 5.x does not.
    kept.setdefault("clean_up_tokenization_spaces", False)
    kept.setdefault("model_input_names", ["input_ids", "attention_mask"])
    if config is not None:
        length = raw.get("model_max_length")
        known = isinstance(length, int) and 0 < length <= config.max_position_embeddings
        kept["model_max_length"] = length if known else config.max_position_embeddings
    return dict(sorted(kept.items()))


def release_files(checkpoint: Checkpoint) -> dict[str, bytes]:
    """The files of a release but its weights, by name. The same checkpoint gives the same bytes.

    Raises:
        UserError: the config or tokenizer is missing or cannot be written for all generations.
    """
    files = {**config_files(checkpoint), **tokenizer_files(checkpoint)}
    if checkpoint.weight_files != (checkpoint.path / SINGLE_FILE,):
        files[SHARD_INDEX] = (checkpoint.path / SHARD_INDEX).read_bytes()
    return files


def config_files(source: Source, *, dtype: str | None = None) -> dict[str, bytes]:
    """config.json for both generations.

    Args:
        source: Whose config it is.
        dtype: How the weights will be stored, as safetensors names it; as they are by default.

    Raises:
        UserError: the config cannot be written for all generations.
    """
    stored = {dtype} if dtype else {tensor.dtype for tensor in source.stored.values()}
    named = TORCH_DTYPES.get(stored.pop()) if len(stored) == 1 else None
    config = release_config(source.raw_config, dtype=named)
    return {"config.json": _json_bytes("config.json", config)}


def tokenizer_files(source: Source) -> dict[str, bytes]:
    """The tokenizer's files for both generations.

    Raises:
        UserError: the tokenizer is missing or malformed.
    """
    vocabulary = _tokenizer_file(source, "tokenizer.json")
    place = source.path / "tokenizer_config.json"
    tokenizer = parse_json(_tokenizer_file(source, place.name), place)
    if not isinstance(tokenizer, dict):
        raise UserError(f"{place}: not a JSON object")
    tokenizer = release_tokenizer_config(tokenizer, source.config)
    special = {key: tokenizer[key] for key in SPECIAL_TOKENS if tokenizer.get(key) is not None}
    return {
        "tokenizer_config.json": _json_bytes("tokenizer_config.json", tokenizer),
        "special_tokens_map.json": _special_tokens_map(source, special),
        "tokenizer.json": vocabulary,
    }


def write_release(checkpoint: Checkpoint, folder: Path) -> None:
    """Fill the empty ``folder`` with weights, config and tokenizer of ``checkpoint``.

    The weights are copied, not linked: a trainer that runs again writes into the very file it
    wrote before, and a release must not change with it.

    Raises:
        UserError: the config or tokenizer is missing or cannot be written for all generations.
    """
    # Everything that may be refused comes before the copy, which takes long.
    for name, data in release_files(checkpoint).items():
        write_bytes(folder / name, data)
    for file in checkpoint.weight_files:
        _copy(file, folder / file.name)


def _explicit(config: ModernBertConfig) -> dict[str, Any]:
    # Every field that changes the output is written out: a default may differ by version.
    return {
        "vocab_size": config.vocab_size,
        "hidden_size": config.hidden_size,
        "intermediate_size": config.intermediate_size,
        "num_hidden_layers": config.num_hidden_layers,
        "num_attention_heads": config.num_attention_heads,
        "max_position_embeddings": config.max_position_embeddings,
        "layer_types": list(config.layer_types),
        "global_rope_theta": config.global_rope_theta,
        "local_rope_theta": config.local_rope_theta,
        "rope_parameters": {
            FULL: {"rope_theta": config.global_rope_theta, "rope_type": "default"},
            SLIDING: {"rope_theta": config.local_rope_theta, "rope_type": "default"},
        },
        "local_attention": config.local_attention,
        "hidden_activation": config.hidden_activation,
        "classifier_activation": config.classifier_activation,
        "classifier_pooling": config.classifier_pooling,
        "norm_eps": config.norm_eps,
        "norm_bias": config.norm_bias,
        "attention_bias": config.attention_bias,
        "mlp_bias": config.mlp_bias,
        "decoder_bias": config.decoder_bias,
        "classifier_bias": config.classifier_bias,
        "tie_word_embeddings": config.tie_word_embeddings,
    }


def _refuse_thetas(config: ModernBertConfig) -> None:
    for name in ("global_rope_theta", "local_rope_theta"):
        theta = getattr(config, name)
        if not theta > 0:
            raise UserError(
                f"config.json: {name} is {theta:g}, which makes every output NaN",
                mend="write the theta it was trained with; a local −1 once meant 'as global'",
            )


def _tokenizer_file(source: Source, name: str) -> bytes:
    data = source.companion(name)
    if data is None:
        raise UserError(
            f"no {name} in {source.path}",
            mend="save the tokenizer beside the weights: tokenizer.save_pretrained(folder)",
        )
    return data


def _special_tokens_map(source: Source, special: Mapping[str, Any]) -> bytes:
    """What the source has, if it names the same tokens (it may say more of them), or a new one."""
    name = "special_tokens_map.json"
    existing = source.companion(name)
    if existing is not None:
        with contextlib.suppress(UserError):
            content = parse_json(existing, source.path / name)
            named = content if isinstance(content, dict) else {}
            if all(
                _token_text(named.get(k)) == _token_text(special.get(k)) for k in SPECIAL_TOKENS
            ):
                return existing
    return _json_bytes(name, special)


def _token_text(token: object) -> str | None:
    # A file may describe a token at length: {"content": "[MASK]", "lstrip": true, …}.
    if isinstance(token, Mapping):
        token = token.get("content")
    return token if isinstance(token, str) else None


def _json_bytes(name: str, value: Mapping[str, Any]) -> bytes:
    # ASCII, as transformers writes it, so that a normalized Hub config differs by its keys alone.
    try:
        text = json.dumps(value, indent=2, sort_keys=True, allow_nan=False)
    except ValueError as error:
        raise UserError(f"{name}: a value is NaN or infinite, which is not JSON") from error
    return f"{text}\n".encode()


def _copy(source: Path, target: Path) -> None:
    try:
        shutil.copyfile(source, target)
    except OSError as error:
        raise unwritable(target, error) from error
