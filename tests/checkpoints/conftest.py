from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

SIZES = {
    "model_type": "modernbert",
    "vocab_size": 8,
    "hidden_size": 4,
    "intermediate_size": 6,
    "num_hidden_layers": 2,
    "num_attention_heads": 1,
}


@pytest.fixture
def make_checkpoint() -> Callable[..., Path]:
    from safetensors.numpy import save_file

    def make(folder: Path, config: Mapping[str, Any] = SIZES, tensor: str = "a") -> Path:
        folder.mkdir(parents=True)
        (folder / "config.json").write_text(json.dumps(config))
        save_file({tensor: np.zeros(2, "<f4")}, folder / "model.safetensors")
        return folder

    return make


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The model that FLEXBERT in composer_states.py describes, with its tokenizer. Do not write."""
    from tests.conftest import thetas, write_model, write_tokenizer

    folder = tmp_path_factory.mktemp("tiny") / "model"
    folder.mkdir()
    write_model(folder, num_hidden_layers=4, rope_parameters=thetas(20000.0, 5000.0))
    write_tokenizer(folder)
    return folder


@pytest.fixture(scope="session")
def tiny_model(tiny_folder: Path) -> Any:
    """That model. Do not change."""
    from transformers import ModernBertForMaskedLM

    return ModernBertForMaskedLM.from_pretrained(tiny_folder)
