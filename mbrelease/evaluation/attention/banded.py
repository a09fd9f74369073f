"""Attention by PyTorch's scaled_dot_product_attention; the sliding layers in bands.

A full layer is one call a text, without a mask. In a sliding layer a token sees those at most
``w`` away, so a block of ``B`` queries needs the ``B + 2w`` keys around it and nothing else:

    block n:  queries [nB, nB + B)  against keys [nB − w, nB + B + w)

All blocks that lie within the text share one mask of shape (B, B + 2w), and their keys are an
overlapping view of the text's own, so nothing is copied and the memory is linear in the text.
What is left at the two ends is one call each. transformers makes an L × L mask instead and
computes every score under it.

Each text is attended by itself: what another contains, NaN included, cannot reach it.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

from mbrelease.evaluation.attention.packing import Packing, Run

if TYPE_CHECKING:
    import torch

# At w = 64 that is 160 scores a query, of which 129 count; blocks of 64 and 128 were slower.
QUERIES_A_BLOCK = 32


def banded_attention(
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
    """Attend within each text.

    Args:
        module: The attention layer.
        query: Shape (1, heads, tokens, head size), as are ``key`` and ``value``.
        key: See ``query``.
        value: See ``query``.
        attention_mask: None; the packing says all.
        scaling: Times the scores.
        sliding_window: One more than how far a token sees; None in a full layer.
        packing: Where the texts lie.

    Returns:
        Shape (1, tokens, heads, head size), and None for the weights.
    """
    packed = [tensor[0].transpose(0, 1) for tensor in (query, key, value)]
    out = query.new_empty(packed[0].shape)
    for run in packing.runs:
        q, k, v, into = (_texts(tensor, run) for tensor in (*packed, out))
        if sliding_window is None or run.length <= sliding_window:
            into.copy_(_attend(q, k, v, None, scaling))
            continue
        reach = sliding_window - 1
        band = _band(reach, q.dtype, q.device)
        if run.length <= QUERIES_A_BLOCK + 2 * reach:
            into.copy_(_attend(q, k, v, band[: run.length, : run.length], scaling))
            continue
        for text in range(run.texts):
            _slide(q[text], k[text], v[text], band, reach, scaling, into[text])
    return out[None], None


def _texts(packed: torch.Tensor, run: Run) -> torch.Tensor:
    """The texts of ``run``, a view: from (tokens, …) to (texts, length, …)."""
    tokens = run.texts * run.length
    return packed[run.start : run.start + tokens].view(run.texts, run.length, *packed.shape[1:])


def _slide(
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    band: torch.Tensor,
    reach: int,
    scaling: float,
    out: torch.Tensor,
) -> None:
    """Attend within one text of more than ``QUERIES_A_BLOCK + 2 × reach`` tokens, into ``out``.

    All tensors have shape (tokens, heads, head size).
    """
    block, length = QUERIES_A_BLOCK, len(q)
    start = -(-reach // block) * block  # the first block whose keys all exist
    blocks = (length - reach - start) // block
    end = start + blocks * block
    if blocks:
        inner = _attend(
            _windows(q, start, block, blocks, block),
            _windows(k, start - reach, block, blocks, block + 2 * reach),
            _windows(v, start - reach, block, blocks, block + 2 * reach),
            band[reach : reach + block, : block + 2 * reach],
            scaling,
        )
        out[start:end].view(blocks, block, *out.shape[1:]).copy_(inner)
    if start:
        seen = start + reach
        mask = band[:start, :seen]
        out[:start] = _attend(q[None, :start], k[None, :seen], v[None, :seen], mask, scaling)[0]
    if end < length:
        first = end - reach
        mask = band[reach : reach + length - end, : length - first]
        out[end:] = _attend(q[None, end:], k[None, first:], v[None, first:], mask, scaling)[0]


def _windows(
    tensor: torch.Tensor, start: int, step: int, windows: int, length: int
) -> torch.Tensor:
    """``windows`` views of ``length`` tokens, ``step`` apart: (windows, length, heads, size)."""
    stride = tensor.stride()
    return tensor.as_strided(
        (windows, length, *tensor.shape[1:]),
        (step * stride[0], *stride),
        tensor.storage_offset() + start * stride[0],
    )


def _attend(
    q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, mask: torch.Tensor | None, scaling: float
) -> torch.Tensor:
    """Attention of a batch; every shape is (batch, tokens, heads, head size)."""
    from torch.nn.functional import scaled_dot_product_attention

    q, k, v = (tensor.transpose(1, 2) for tensor in (q, k, v))
    return scaled_dot_product_attention(q, k, v, attn_mask=mask, scale=scaling).transpose(1, 2)


@lru_cache(maxsize=32)
def _band(reach: int, dtype: torch.dtype, device: torch.device) -> torch.Tensor:
    """0 where |i − j| ≤ reach, else −∞, of which every mask is a piece.

    Its side is what the largest piece needs, (queries + 2 × reach), rounded up because the
    kernels of a GPU want aligned rows.
    """
    import torch

    side = -(-(QUERIES_A_BLOCK + 2 * reach) // 16) * 16
    place = torch.arange(side, device=device)
    far = (place[:, None] - place).abs() > reach
    return torch.zeros(side, side, dtype=dtype, device=device).masked_fill_(far, -torch.inf)
