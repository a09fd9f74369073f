"""A tiny ModernBERT, as transformers saves it and as a release of it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest files first, so that two processes end together."""
    items.sort(key=lambda item: "tests/integration/" not in item.nodeid)


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What commands remember between runs is not the tester's own."""
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder))
    return folder


SPECIAL = {"unk": "[UNK]", "cls": "[CLS]", "sep": "[SEP]", "pad": "[PAD]", "mask": "[MASK]"}
FULL, SLIDING = "full_attention", "sliding_attention"
TINY = {
    "vocab_size": 288,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "max_position_embeddings": 128,
    "local_attention": 8,
    "bos_token_id": 1,
    "cls_token_id": 1,
    "eos_token_id": 2,
    "sep_token_id": 2,
    "pad_token_id": 3,
    "initializer_range": 0.2,
}


def thetas(full: float, sliding: float) -> dict[str, Any]:
    return {
        FULL: {"rope_theta": full, "rope_type": "default"},
        SLIDING: {"rope_theta": sliding, "rope_type": "default"},
    }


def write_tokenizer(folder: Path) -> None:
    """A byte-level BPE tokenizer as transformers 5.x saves it."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    ids = {token: index for index, token in enumerate([*SPECIAL.values(), *alphabet])}
    merged = {"th": len(ids), "the": len(ids) + 1}
    model = models.BPE(vocab=ids | merged, merges=[("t", "h"), ("th", "e")], unk_token="[UNK]")
    tokenizer = Tokenizer(model)
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 1), ("[SEP]", 2)]
    )
    for name, token in SPECIAL.items():
        tokenizer.add_special_tokens(
            [AddedToken(token, lstrip=name == "mask", special=True, normalized=False)]
        )
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        model_max_length=128,
        model_input_names=["input_ids", "attention_mask"],
        **{f"{name}_token": token for name, token in SPECIAL.items()},
    ).save_pretrained(folder)


def write_model(folder: Path, **fields: Any) -> None:
    """A random ModernBERT with what is given differently, as transformers 5.x saves it."""
    import torch
    from transformers import ModernBertConfig, ModernBertForMaskedLM
    from transformers.utils import logging

    logging.disable_progress_bar()
    torch.manual_seed(0)
    model = ModernBertForMaskedLM(ModernBertConfig(**(TINY | fields)))
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 1:
                parameter.add_(torch.randn_like(parameter) * 0.1)
    model.save_pretrained(folder)
    logging.enable_progress_bar()


@pytest.fixture(scope="session")
def saved_by_5x(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model with thetas and a pattern of its own, just as 5.x saves it. Do not write."""
    folder = tmp_path_factory.mktemp("parity") / "saved"
    folder.mkdir()
    write_model(folder, rope_parameters=thetas(20000.0, 5000.0), layer_types=[FULL, SLIDING, FULL])
    write_tokenizer(folder)
    return folder


@pytest.fixture(scope="session")
def released(saved_by_5x: Path) -> Path:
    """Its release. Do not write."""
    from mbrelease.checkpoints.checkpoint import open_checkpoint
    from mbrelease.checkpoints.normalize import write_release

    folder = saved_by_5x.parent / "released"
    folder.mkdir()
    write_release(open_checkpoint(saved_by_5x), folder)
    return folder


@pytest.fixture
def release(released: Path, tmp_path: Path) -> Path:
    """A release of one's own, to spoil."""
    return Path(shutil.copytree(released, tmp_path / "release"))


@pytest.fixture
def edit_json() -> Callable[..., None]:
    """Set (or with ``...`` delete) keys of a JSON file."""

    def edit(path: Path, **fields: Any) -> None:
        content = json.loads(path.read_text()) | fields
        kept = {key: value for key, value in content.items() if value is not ...}
        path.write_text(json.dumps(kept))

    return edit
