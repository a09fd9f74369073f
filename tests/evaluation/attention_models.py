"""Tiny ModernBERTs of many shapes, and slow kernels with the signatures of the fast ones."""

import shutil
import sys
from types import ModuleType

import numpy as np
import torch
from transformers import ModernBertConfig, ModernBertForMaskedLM

FULL, SLIDING = "full_attention", "sliding_attention"
VOCABULARY = 288


def write_model(folder, tokenizer_of, *, thetas, layers, local_attention, max_length=512):
    """A random model with a context of ``max_length``, and the tokenizer of another."""
    torch.manual_seed(0)
    ropes = {
        kind: {"rope_theta": theta, "rope_type": "default"}
        for kind, theta in zip((FULL, SLIDING), thetas, strict=True)
    }
    config = ModernBertConfig(
        vocab_size=VOCABULARY, hidden_size=32, intermediate_size=48, num_attention_heads=2,
        num_hidden_layers=len(layers), layer_types=layers, rope_parameters=ropes,
        local_attention=local_attention, max_position_embeddings=max_length,
        bos_token_id=1, cls_token_id=1, eos_token_id=2, sep_token_id=2, pad_token_id=3,
        initializer_range=0.2,
    )  # fmt: skip
    folder.mkdir()
    ModernBertForMaskedLM(config).save_pretrained(folder)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(tokenizer_of / name, folder)
    return folder


def random_ids(lengths, seed=0):
    generator = np.random.default_rng(seed)
    return [generator.integers(4, VOCABULARY, length) for length in lengths]


def masked_targets(sequences):
    """What is asked of each: every third token, so that the shortest ask nothing."""
    return [np.where(np.arange(len(ids)) % 3 == 2, ids[::-1], -100) for ids in sequences]


def slow_varlen_attn(
    query, key, value, cu_seq_q, cu_seq_k, max_q, max_k, *, scale=None, window_size=(-1, -1)
):
    """What ``torch.nn.attention.varlen.varlen_attn`` computes, one sequence at a time."""
    assert cu_seq_q.dtype == cu_seq_k.dtype == torch.int32
    assert cu_seq_q[0] == 0 and cu_seq_q[-1] == len(query) == len(key) == len(value)
    assert max_q == max_k == cu_seq_q.diff().max() and type(max_q) is int
    assert query.stride(-1) == key.stride(-1) == value.stride(-1) == 1  # the kernel insists
    left, right = (len(query) if side < 0 else side for side in window_size)
    out = torch.empty_like(query)
    for start, end in zip(cu_seq_q[:-1].tolist(), cu_seq_q[1:].tolist(), strict=True):
        scores = torch.einsum("ihd,jhd->hij", query[start:end], key[start:end]) * scale
        step = torch.arange(end - start) - torch.arange(end - start)[:, None]
        scores = scores.masked_fill((step < -left) | (step > right), -torch.inf)
        out[start:end] = torch.einsum("hij,jhd->ihd", scores.softmax(-1), value[start:end])
    return out


def slow_flash_attn_varlen_func(
    q, k, v, cu_seqlens_q, cu_seqlens_k, max_seqlen_q, max_seqlen_k,
    dropout_p=0.0, softmax_scale=None, causal=False, window_size=(-1, -1),
):  # fmt: skip
    """What ``flash_attn.flash_attn_varlen_func`` computes."""
    assert dropout_p == 0.0 and not causal
    return slow_varlen_attn(
        q, k, v, cu_seqlens_q, cu_seqlens_k, max_seqlen_q, max_seqlen_k,
        scale=softmax_scale, window_size=window_size,
    )  # fmt: skip


def put_slow_kernel(monkeypatch, attn):
    """Where there is no GPU, everything but the kernel itself can be held to account."""
    if attn == "fa2-varlen":
        monkeypatch.setattr("torch.nn.attention.varlen.varlen_attn", slow_varlen_attn)
    elif attn == "flash_attention_2":
        package = ModuleType("flash_attn")
        package.flash_attn_varlen_func = slow_flash_attn_varlen_func
        monkeypatch.setitem(sys.modules, "flash_attn", package)
