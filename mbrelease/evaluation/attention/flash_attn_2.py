"""Attention by the flash-attn package's own variable-length kernel."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mbrelease.evaluation.attention.packing import Packing
from mbrelease.evaluation.attention.varlen import window_size

if TYPE_CHECKING:
    import torch


def flash_attn_2_attention(
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
    from flash_attn import flash_attn_varlen_func

    out = flash_attn_varlen_func(
        query[0].transpose(0, 1), key[0].transpose(0, 1), value[0].transpose(0, 1),
        packing.cu_seq_lens, packing.cu_seq_lens, packing.longest, packing.longest,
        softmax_scale=scaling, window_size=window_size(sliding_window),
    )  # fmt: skip
    return out[None], None
