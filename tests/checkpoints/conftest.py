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
