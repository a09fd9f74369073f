"""How sentence embeddings are pooled: by sentence-transformers' modules, if the folder has them.

``modules.json`` lists the modules, and the config of a Pooling module says how: with one flag a
mode (``pooling_mode_cls_token``) up to sentence-transformers 5, by name (``pooling_mode``) since.
The same weights pooled otherwise than they were trained give poor embeddings, and no error.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mbrelease.checkpoints.config import ModernBertConfig
from mbrelease.errors import UserError
from mbrelease.files import read_json
from mbrelease.parity.report import CheckResult, failed, passed, warned

MODULES = "modules.json"
FLAGS = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens": "weightedmean",
    "pooling_mode_lasttoken": "lasttoken",
}
DIMENSION = ("embedding_dimension", "word_embedding_dimension")
# Trained anew, a model may be pooled anew.
MAY_POOL_ANEW = frozenset({"fine-tuning", "distillation", "adapter", "weight-initialization"})
NAME = "config.pooling"


def pooling_of(folder: Path) -> str | None:
    """How the folder's sentence embeddings are pooled; ``None`` where nothing says so.

    Raises:
        UserError: ``modules.json`` or the module's config is malformed or missing.
    """
    config = _pooling_config(folder)
    return None if config is None else _mode(config)


def check_pooling(
    folder: Path,
    config: ModernBertConfig,
    *,
    parent: str | None = None,
    relation: str | None = None,
) -> list[CheckResult]:
    """The folder pools as its parent does; empty where it has no sentence-transformers modules.

    Args:
        folder: the model's.
        config: its config in the normal form.
        parent: how the parent is pooled, if that is known.
        relation: how the model came from it.
    """
    if not (folder / MODULES).is_file():
        return []
    expected = "sentence embeddings pooled as they were trained"
    try:
        pooling = _pooling_config(folder)
        mode = None if pooling is None else _mode(pooling)
    except UserError as error:
        mend = error.mend or "save the model again with sentence-transformers"
        return [failed(NAME, expected=expected, found=error.message, mend=mend)]
    if pooling is None or mode is None:
        return [passed(NAME, "no pooling module", expected)]
    return [_judged(pooling, mode, config, parent, relation, expected)]


def _judged(
    pooling: Mapping[str, Any],
    mode: str,
    config: ModernBertConfig,
    parent: str | None,
    relation: str | None,
    expected: str,
) -> CheckResult:
    width = next((pooling[key] for key in DIMENSION if key in pooling), config.hidden_size)
    if width != config.hidden_size:
        return failed(
            NAME,
            expected=f"embeddings as wide as the model, {config.hidden_size}",
            found=f"the pooling module says {width}",
            mend="save the model again with sentence-transformers",
        )
    if parent not in (None, mode) and relation not in MAY_POOL_ANEW:
        return failed(
            NAME,
            expected=f"{parent} pooling, as the parent's",
            found=f"{mode} pooling",
            mend=f"pool by {parent} in the Pooling module, or declare that it was trained anew",
        )
    if config.classifier_pooling != mode and mode in ("cls", "mean"):
        return warned(
            NAME,
            expected=f"classifier_pooling {mode}, as modules.json pools",
            found=f"classifier_pooling {config.classifier_pooling}, which a classifier made from "
            "it would take",
            mend=f'write "classifier_pooling": "{mode}" in config.json',
        )
    return passed(NAME, f"{mode} pooling", expected)


def _pooling_config(folder: Path) -> Mapping[str, Any] | None:
    if not (folder / MODULES).is_file():
        return None
    modules = read_json(folder / MODULES)
    if not isinstance(modules, list) or not all(isinstance(one, dict) for one in modules):
        raise UserError(f"{MODULES} is not a list of modules")
    # A SpladePooling pools logits, which is another thing.
    pooling = [one for one in modules if str(one.get("type")).rpartition(".")[2] == "Pooling"]
    if not pooling:
        return None
    path = f"{pooling[0].get('path', '')}/config.json"
    if not (folder / path).is_file():
        raise UserError(f"{MODULES} names {path}, which does not exist")
    config = read_json(folder / path)
    if not isinstance(config, dict):
        raise UserError(f"{path} is not a JSON object")
    return config


def _mode(config: Mapping[str, Any]) -> str:
    named = config.get("pooling_mode")
    modes = named if isinstance(named, list) else [named] if named else []
    modes = modes or [mode for flag, mode in FLAGS.items() if config.get(flag)]
    if not modes:
        raise UserError("the Pooling module says no way of pooling")
    return "+".join(map(str, modes))
