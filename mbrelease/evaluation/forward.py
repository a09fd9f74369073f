"""A checkpoint in memory, and its forward pass over a batch of token ids."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mbrelease.checkpoints.checkpoint import Checkpoint
from mbrelease.errors import MissingExtra, UserError
from mbrelease.evaluation.attention import PACKED, implementation_name
from mbrelease.evaluation.attention.packing import Packing
from mbrelease.evaluation.backend import FLASH, Backend
from mbrelease.evaluation.transfer import to_device

if TYPE_CHECKING:
    import torch

# FlashAttention-2's kernel takes no other sizes.
HEAD_SIZE_MULTIPLE, LARGEST_HEAD = 8, 256
MLM_HEAD = ("head.", "decoder.")
"""How the names of the tensors begin that only masked tokens are scored with."""


def load_model(checkpoint: Checkpoint, backend: Backend) -> Any:
    """The masked-language model of ``checkpoint``, for inference on ``backend``.

    Of a checkpoint that holds the encoder alone, as embedding models do, or not the whole head,
    ``head`` and ``decoder`` are ``None``.

    Raises:
        MissingExtra: torch or transformers is not installed.
        UserError: the checkpoint is not a ModernBERT, its tensors do not fit its config, or the
            backend's kernel does not take its heads.
    """
    try:
        import torch
        import transformers
    except ImportError as error:
        raise MissingExtra("eval", "measuring a checkpoint") from error
    _refuse_heads(checkpoint, backend)
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    logging.getLogger("transformers").setLevel(logging.ERROR)
    _ = checkpoint.headers  # a truncated file gets its own sentence before torch sees it
    try:
        model, info = transformers.AutoModelForMaskedLM.from_pretrained(
            checkpoint.path,
            local_files_only=True,
            use_safetensors=True,
            attn_implementation=implementation_name(backend.attn),
            dtype=getattr(torch, backend.dtype),
            output_loading_info=True,
        )
    except Exception as error:  # a config that cannot be built fails in its own way each time
        first = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise UserError(
            f"{checkpoint.path} does not load: {first}", mend="check it with 'mbrelease verify'"
        ) from error
    refuse_missing(checkpoint.path, info["missing_keys"], but=MLM_HEAD)
    if info["missing_keys"]:
        model.head = model.decoder = None
    return model.eval().to(backend.device)


def refuse_missing(path: Path, missing: Iterable[str], *, but: tuple[str, ...]) -> None:
    """Stop where tensors are ``missing`` whose names do not begin as one of ``but``.

    transformers fills them with random numbers and only warns.

    Raises:
        UserError: says how many are missing, and one of them.
    """
    if lost := [name for name in missing if not name.startswith(but)]:
        count = "1 tensor" if len(lost) == 1 else f"{len(lost)} tensors"
        raise UserError(
            f"{path} lacks {count} of its config, such as '{min(lost)}'",
            mend="check it with 'mbrelease verify'",
        )


def hidden_states(
    model: Any, backend: Backend, sequences: Sequence[NDArray[np.int64]]
) -> torch.Tensor:
    """The last hidden states of all tokens, one text after the other: shape (tokens, hidden).

    Args:
        model: From ``load_model`` with the same backend.
        backend: Eager runs on a padded batch, any other on packed tokens.
        sequences: Token ids of each text, none empty.
    """
    import torch

    with torch.inference_mode():
        if backend.attn not in PACKED:
            return _padded(model, backend, sequences)
        packing = Packing(tuple(map(len, sequences)), backend.device)
        output = model.model(
            input_ids=to_device(np.concatenate(sequences)[None], backend.device),
            position_ids=packing.position_ids,
            packing=packing,
        )
        hidden: torch.Tensor = output.last_hidden_state[0]
        return hidden


def _padded(model: Any, backend: Backend, sequences: Sequence[NDArray[np.int64]]) -> torch.Tensor:
    lengths = np.asarray([len(sequence) for sequence in sequences])
    mask = np.arange(lengths.max()) < lengths[:, None]
    ids = np.zeros(mask.shape, dtype=np.int64)  # any id: the mask hides it
    ids[mask] = np.concatenate(sequences)
    on_device = to_device(mask, backend.device)
    output = model.model(input_ids=to_device(ids, backend.device), attention_mask=on_device)
    hidden: torch.Tensor = output.last_hidden_state[on_device]
    return hidden


def _refuse_heads(checkpoint: Checkpoint, backend: Backend) -> None:
    config = checkpoint.config
    size = config.hidden_size // config.num_attention_heads
    if backend.attn in FLASH and (size % HEAD_SIZE_MULTIPLE or size > LARGEST_HEAD):
        raise UserError(
            f"{checkpoint.path}: attention '{backend.attn}' takes no heads of size {size}",
            mend="use --attn sdpa",
        )
