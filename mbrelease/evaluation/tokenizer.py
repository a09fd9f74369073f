"""A checkpoint's own tokenizer.json, without padding."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mbrelease.checkpoints.checkpoint import Checkpoint
from mbrelease.errors import MissingExtra, UserError


@dataclass(frozen=True)
class Tokens:
    """One text as token ids. ``spans`` are character offsets in the text."""

    ids: NDArray[np.int64]
    is_special: NDArray[np.bool_]
    spans: tuple[tuple[int, int], ...]
    truncated: bool


class Tokenizer:
    """tokenizer.json as it stands, read by the tokenizers library.

    Whatever transformers generation wrote tokenizer_config.json, the ids are the same.
    """

    def __init__(self, checkpoint: Checkpoint) -> None:
        """Read the tokenizer of ``checkpoint``.

        Raises:
            UserError: there is none, it is malformed, or it has no mask token.
        """
        try:
            import tokenizers
        except ImportError as error:
            raise MissingExtra("eval", "measuring a checkpoint") from error
        path = checkpoint.path / "tokenizer.json"
        try:
            self._tokenizer = tokenizers.Tokenizer.from_file(str(path))
        except Exception as error:  # the library raises bare Exception
            raise UserError(f"cannot read {path}: {error}") from error
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()
        mask_id = self._tokenizer.token_to_id(checkpoint.mask_token)
        if mask_id is None:
            raise UserError(f"{path}: the mask token {checkpoint.mask_token!r} is not in it")
        self.mask_id = int(mask_id)

    def encode(self, texts: Sequence[str], max_length: int) -> list[Tokens]:
        """Token ids of each text, special tokens added, cut to ``max_length``."""
        self._tokenizer.enable_truncation(max_length)
        return [
            Tokens(
                np.asarray(encoding.ids, dtype=np.int64),
                np.asarray(encoding.special_tokens_mask, dtype=np.bool_),
                tuple(encoding.offsets),
                bool(encoding.overflowing),
            )
            for encoding in self._tokenizer.encode_batch(list(texts))
        ]

    def ids(
        self, texts: Sequence[str], max_length: int
    ) -> tuple[list[NDArray[np.int64]], NDArray[np.bool_]]:
        """Only the ids of each text, and which were cut: several times faster than ``encode``."""
        self._tokenizer.enable_truncation(max_length)
        encodings = self._tokenizer.encode_batch_fast(list(texts))
        return (
            [np.asarray(encoding.ids, dtype=np.int64) for encoding in encodings],
            np.asarray([bool(encoding.overflowing) for encoding in encodings], dtype=np.bool_),
        )
