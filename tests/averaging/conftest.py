"""Checkpoints made of given tensors, without torch."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest

CONFIG = {"model_type": "modernbert", "vocab_size": 64, "hidden_size": 8, "num_hidden_layers": 2}
DTYPES = {
    "float64": "F64",
    "float32": "F32",
    "float16": "F16",
    "int64": "I64",
    "int32": "I32",
    "bool": "BOOL",
}

Tensors = Mapping[str, np.ndarray]
MakeCheckpoint = Callable[..., Path]


def safetensors_bytes(tensors: Tensors, *, bf16: bool = False) -> bytes:
    """A safetensors file; with ``bf16``, uint16 arrays hold the bits of bfloat16."""
    header, data = {}, b""
    for name, array in tensors.items():
        dtype = "BF16" if bf16 and array.dtype == np.uint16 else DTYPES[array.dtype.name]
        raw = array.tobytes()
        offsets = [len(data), len(data) + len(raw)]
        header[name] = {"dtype": dtype, "shape": list(array.shape), "data_offsets": offsets}
        data += raw
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data


@pytest.fixture
def make_checkpoint(tmp_path: Path) -> MakeCheckpoint:
    """Writes ``checkpoint-<step>`` with the given tensors; ``shards`` spreads them over files."""

    def make(
        step: int,
        tensors: Tensors,
        *,
        bf16: bool = False,
        shards: int = 1,
        config: Mapping[str, object] = CONFIG,
        tokenizer: str | None = '{"version": "1.0"}',
        eval_loss: float | None = None,
        root: str = "run",
    ) -> Path:
        folder = tmp_path / root / f"checkpoint-{step}"
        folder.mkdir(parents=True)
        (folder / "config.json").write_text(json.dumps(config))
        if tokenizer is not None:
            (folder / "tokenizer.json").write_text(tokenizer)
            (folder / "tokenizer_config.json").write_text('{"mask_token": "[MASK]"}')
        if eval_loss is not None:
            row = {"step": step, "eval_loss": eval_loss}
            state = {"global_step": step, "max_steps": 100, "log_history": [row]}
            (folder / "trainer_state.json").write_text(json.dumps(state))
        # What a Trainer also leaves, and what must never be copied.
        for name in ("optimizer.pt", "training_args.bin", "rng_state.pth", "scheduler.pt"):
            (folder / name).write_bytes(b"never read")
        if shards == 1:
            (folder / "model.safetensors").write_bytes(safetensors_bytes(tensors, bf16=bf16))
            return folder
        weight_map = {}
        names = list(tensors)
        for number in range(shards):
            file = f"model-{number + 1:05}-of-{shards:05}.safetensors"
            part = {name: tensors[name] for name in names[number::shards]}
            (folder / file).write_bytes(safetensors_bytes(part, bf16=bf16))
            weight_map |= dict.fromkeys(part, file)
        index = {"metadata": {}, "weight_map": weight_map}
        (folder / "model.safetensors.index.json").write_text(json.dumps(index))
        return folder

    return make
