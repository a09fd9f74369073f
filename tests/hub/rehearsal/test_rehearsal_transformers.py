"""transformers, in a process of its own, with nothing but HF_ENDPOINT set."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from huggingface_hub import CommitOperationAdd, HfApi

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

LOAD = """
import json, sys
import torch
from transformers import AutoConfig, AutoModelForMaskedLM
model = AutoModelForMaskedLM.from_pretrained(sys.argv[1], revision="v1").eval()
with torch.no_grad():
    logits = model(torch.arange(1, 9)[None]).logits
print(json.dumps([type(model).__name__, float(logits.double().sum())]))
"""


@pytest.mark.slow
def test_a_model_is_pushed_and_loaded(api: HfApi, repo: str, hub_url: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    config = transformers.ModernBertConfig(
        vocab_size=256, hidden_size=64, num_hidden_layers=2, num_attention_heads=2,
        intermediate_size=64, pad_token_id=0, bos_token_id=1, eos_token_id=2, cls_token_id=1,
        sep_token_id=2, attn_implementation="sdpa",
    )  # fmt: skip
    model = transformers.ModernBertForMaskedLM(config).eval()
    model.save_pretrained(tmp_path / "model")
    with torch.no_grad():
        expected = float(model(torch.arange(1, 9)[None]).logits.double().sum())
    operations = [
        CommitOperationAdd(path.name, path) for path in sorted((tmp_path / "model").iterdir())
    ]
    api.create_commit(repo, operations, commit_message="Release")
    api.create_tag(repo, tag="v1")
    environment = {
        **os.environ,
        "HF_ENDPOINT": hub_url,
        "HF_HOME": str(tmp_path / "home"),
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "OMP_NUM_THREADS": "2",
    }
    result = subprocess.run(
        [sys.executable, "-c", LOAD, repo],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert result.returncode == 0, result.stderr[-2000:]
    name, total = json.loads(result.stdout.splitlines()[-1])
    assert name == "ModernBertForMaskedLM"
    assert total == pytest.approx(expected, abs=1e-3)
