"""A family on a Hub: ModernBERT and what was made from it, as their cards have it."""

from __future__ import annotations

import json
from typing import Any

from huggingface_hub import CommitOperationAdd, HfApi

BASE, LARGE = "answerdotai/ModernBERT-base", "answerdotai/ModernBERT-large"
BIO = "almanach/ModernBERT-bio-base"
DAPT1, DAPT2 = "brettgenz/modernbert-science-dapt-v1", "brettgenz/modernbert-science-dapt-v2"

CARD_OF_BASE = """\
library_name: transformers
license: apache-2.0
language:
- en
tags:
- fill-mask
- masked-lm
- long-context
- modernbert
pipeline_tag: fill-mask
"""

# As transformers 4.48 wrote it.
CONFIG: dict[str, Any] = {
    "architectures": ["ModernBertForMaskedLM"],
    "global_attn_every_n_layers": 3,
    "global_rope_theta": 160000.0,
    "hidden_size": 768,
    "intermediate_size": 1152,
    "local_attention": 128,
    "local_rope_theta": 10000.0,
    "max_position_embeddings": 8192,
    "model_type": "modernbert",
    "num_attention_heads": 12,
    "num_hidden_layers": 22,
    "vocab_size": 50368,
}


def config(**changes: Any) -> str:
    return json.dumps({**CONFIG, **changes})


def card(metadata: str, body: str = "# A model\n") -> str:
    return f"---\n{metadata.strip()}\n---\n\n{body}"


def child(base: str, *more: str, license: str = "apache-2.0") -> str:
    return card("\n".join([f"license: {license}", "language: en", f"base_model: {base}", *more]))


def weights(**tensors: list[int]) -> bytes:
    """The head of a safetensors file: the Hub counts parameters by it. No bytes follow."""
    header = {
        name: {"dtype": "BF16", "shape": shape, "data_offsets": [0, 0]}
        for name, shape in tensors.items()
    }
    data = json.dumps(header).encode()
    return len(data).to_bytes(8, "little") + data


def publish(api: HfApi, repo_id: str, /, *, private: bool = False, **files: str | bytes) -> str:
    """A repository with these files (``README`` is README.md, ``config`` config.json)."""
    names = {"README": "README.md", "config": "config.json", "adapter": "adapter_config.json",
             "mergekit": "mergekit_config.yml", "weights": "model.safetensors"}  # fmt: skip
    api.create_repo(repo_id, private=private, exist_ok=True)
    return api.create_commit(
        repo_id,
        [
            CommitOperationAdd(names[name], text if isinstance(text, bytes) else text.encode())
            for name, text in files.items()
        ],
        commit_message="files",
    ).oid


def publish_family(api: HfApi) -> None:
    large = {"num_hidden_layers": 28, "hidden_size": 1024, "num_attention_heads": 16,
             "intermediate_size": 2624}  # fmt: skip
    publish(api, BASE, README=card(CARD_OF_BASE), config=config(), weights=weights(all=[149655232]))
    publish(api, LARGE, README=card(CARD_OF_BASE), config=config(**large))
    publish(api, BIO, README=child(BASE, license="mit"), config=config())
    publish(api, DAPT1, README=child(BASE, f"new_version: {DAPT2}"), config=config())
    publish(api, DAPT2, README=child(BASE, "base_model_relation: finetune"), config=config())
