"""What Composer holds when it saves a FlexBERT: the tiny model `saved_by_5x` by its names."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mbrelease.checkpoints.foreign import ForeignCheckpoint

if TYPE_CHECKING:
    import torch
    from transformers import ModernBertForMaskedLM

# As FlexBertConfig.save_pretrained writes it: bert-base-uncased's fields with those of the YAML.
FLEXBERT: dict[str, Any] = {
    "_name_or_path": "bert-base-uncased",
    "allow_embedding_resizing": True,
    "architectures": ["BertForMaskedLM"],
    "attention_layer": "rope",
    "attention_probs_dropout_prob": 0.0,
    "attn_out_bias": False,
    "attn_out_dropout_prob": 0.1,
    "attn_qkv_bias": False,
    "bert_layer": "prenorm",
    "classifier_dropout": None,
    "compile_model": True,
    "decoder_bias": True,
    "deterministic_fa2": False,
    "embed_dropout_prob": 0.0,
    "embed_norm": True,
    "embedding_layer": "sans_pos",
    "encoder_layer": "base",
    "final_norm": True,
    "global_attn_every_n_layers": 2,
    "gradient_checkpointing": False,
    "head_class_act": "silu",
    "head_class_bias": False,
    "head_class_dropout": 0.0,
    "head_class_norm": False,
    "head_pred_act": "gelu",
    "head_pred_bias": False,
    "head_pred_dropout": 0.0,
    "head_pred_norm": True,
    "hidden_act": "gelu",
    "hidden_dropout_prob": 0.1,
    "hidden_size": 64,
    "init_cutoff_factor": 2.0,
    "init_method": "full_megatron",
    "init_std": 0.02,
    "initial_attention_layer": None,
    "initial_bert_layer": None,
    "initial_mlp_layer": None,
    "initializer_range": 0.02,
    "intermediate_size": 96,
    "layer_norm_eps": 1e-12,
    "local_attn_rotary_emb_base": 5000.0,
    "local_attn_rotary_emb_dim": None,
    "loss_function": "fa_cross_entropy",
    "masked_prediction": True,
    "max_position_embeddings": 512,
    "mlp_dropout_prob": 0.0,
    "mlp_in_bias": False,
    "mlp_layer": "glu",
    "mlp_out_bias": False,
    "model_type": "bert",
    "norm_kwargs": {"bias": False, "eps": 1e-05},
    "normalization": "layernorm",
    "num_attention_heads": 4,
    "num_hidden_layers": 3,
    "num_initial_layers": 1,
    "pad_token_id": 0,
    "padding": "unpadded",
    "pooling_type": "cls",
    "rotary_emb_base": 20000.0,
    # The attention layers write the head's size into the config that they are made from.
    "rotary_emb_dim": 16,
    "rotary_emb_interleaved": False,
    "rotary_emb_scale_base": None,
    "skip_first_prenorm": True,
    "sliding_window": 8,
    "transformers_version": "4.45.2",
    "type_vocab_size": 2,
    "unpad_embeddings": True,
    "use_cache": True,
    "vocab_size": 286,
}


def weights(model: ModernBertForMaskedLM) -> dict[str, torch.Tensor]:
    """The state dict of Composer's HuggingFaceModel around FlexBERT: the decoder is in it."""
    return {f"model.{_flexbert(name)}": value for name, value in model.state_dict().items()}


def state(
    model: dict[str, torch.Tensor], content: Any, tokenizer: Path | None = None
) -> dict[str, Any]:
    """All of what Composer saves, with real moments of a real optimizer."""
    import torch

    weight = torch.nn.Parameter(next(iter(model.values())).detach().clone())
    optimizer = torch.optim.AdamW([weight])
    weight.sum().backward()
    optimizer.step()
    moments = optimizer.state_dict()
    moments["state"] = {name: dict(moments["state"][0]) for name in model}
    huggingface = {"model": {"config": {"file_extension": ".json", "content": content}}}
    huggingface["tokenizer"] = {} if tokenizer is None else tokenizer_files(tokenizer)
    return {
        "state": {
            "model": model,
            "optimizers": {"AdamW": moments},
            "timestamp": {"epoch": 0, "batch": 100},
            "schedulers": {"LambdaLR": {"lr_lambdas": [None], "_last_lr": [8e-4]}},
            "train_metrics": {},
            "integrations": {"huggingface": huggingface},
            "metadata": {"composer_env_info": {"composer_version": "0.24.1"}},
        },
        "rng": [
            {
                "python": random.getstate(),
                "numpy": np.random.get_state(),
                "torch": torch.random.get_rng_state(),
            }
        ],
    }


def tokenizer_files(folder: Path) -> dict[str, Any]:
    """As Composer reads what tokenizer.save_pretrained wrote into a folder for it."""
    return {
        path.stem: {
            "file_extension": path.suffix,
            "content": json.loads(path.read_text())
            if path.suffix == ".json"
            else path.read_text().split("\n"),
        }
        for path in sorted(folder.iterdir())
        if path.name.startswith(("tokenizer", "vocab"))
    }


def content_of(checkpoint: ForeignCheckpoint) -> dict[str, bytes]:
    """The bytes of each tensor, read where they lie."""
    return {
        name: b"".join(
            segment.path.read_bytes()[segment.start : segment.start + segment.size_bytes]
            for segment in tensor.segments
        )
        for name, tensor in checkpoint.stored.items()
    }


def bytes_of(tensor: torch.Tensor) -> bytes:
    return tensor.detach().contiguous().numpy().tobytes()


def logits(model: ModernBertForMaskedLM) -> torch.Tensor:
    import torch

    tokens = torch.arange(4, 52).reshape(2, 24)
    with torch.no_grad():
        return model.eval()(input_ids=tokens).logits


def converted_logits(checkpoint: ForeignCheckpoint, folder: Path) -> torch.Tensor:
    """What transformers computes with the converted weights and config, and no other file."""
    from transformers import ModernBertForMaskedLM

    folder.mkdir()
    (stream,) = checkpoint.hash_streams
    found = content_of(checkpoint)
    data = b"".join(found[name] for name in stream.tensors)
    (folder / "model.safetensors").write_bytes(stream.head + data)
    config = checkpoint.companion("config.json")
    assert config is not None
    (folder / "config.json").write_bytes(config)
    model, info = ModernBertForMaskedLM.from_pretrained(folder, output_loading_info=True)
    assert not any(info[kind] for kind in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    return logits(model)


def _flexbert(name: str) -> str:
    if not name.startswith("model."):
        return name
    return name.replace("model.layers.", "bert.encoder.layers.").replace("model.", "bert.", 1)
