"""Attention by FlashAttention-2's variable-length kernel, as PyTorch has it built in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from mbrelease.evaluation.attention.packing import Packing

if TYPE_CHECKING:
    import torch


def varlen_attention(
    module: Any,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: None,
    *,
    scaling: float,
    sliding_window: int | None,
    packing: Packing,
    **_: Any,
) -> tuple[torch.Tensor, None]:
    """Attend within each text; arguments and result as of ``banded_attention``."""
    from torch.nn.attention.varlen import varlen_attn

    out = cast("torch.Tensor", varlen_attn(
        query[0].transpose(0, 1), key[0].transpose(0, 1), value[0].transpose(0, 1),
        packing.cu_seq_lens, packing.cu_seq_lens, packing.longest, packing.longest,
        scale=scaling, window_size=window_size(sliding_window),
    ))  # fmt: skip
    return out[None], None


def window_size(sliding_window: int | None) -> tuple[int, int]:
    """How far a token sees to the left and to the right; (-1, -1) is everything.

    transformers keeps one more than that in its layers (65 for ``local_attention`` 128).
    """
    return (-1, -1) if sliding_window is None else (sliding_window - 1, sliding_window - 1)
