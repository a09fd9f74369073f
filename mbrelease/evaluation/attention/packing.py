"""Where the texts lie in a batch of tokens without padding."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from mbrelease.evaluation.transfer import to_device

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Run:
    """Neighbours of the same length, which go through attention as one batch."""

    start: int
    """The first token of the first text."""
    texts: int
    length: int
    """Tokens of each."""


@dataclass(frozen=True)
class Packing:
    """Texts of the given lengths, one after the other, on a device."""

    lengths: tuple[int, ...]
    device: str

    @property
    def longest(self) -> int:
        """Tokens of the longest text."""
        return max(self.lengths)

    @cached_property
    def runs(self) -> tuple[Run, ...]:
        """The texts in order, neighbours of the same length together."""
        runs, start = [], 0
        for length, group in itertools.groupby(self.lengths):
            runs.append(Run(start, len(list(group)), length))
            start += runs[-1].texts * length
        return tuple(runs)

    @cached_property
    def cu_seq_lens(self) -> torch.Tensor:
        """Where each text begins, and the end: int32, shape (texts + 1,)."""
        return to_device(_bounds(self.lengths).astype(np.int32), self.device)

    @cached_property
    def position_ids(self) -> torch.Tensor:
        """The place of each token in its own text: int64, shape (1, tokens)."""
        bounds = _bounds(self.lengths)
        positions = np.arange(bounds[-1]) - np.repeat(bounds[:-1], self.lengths)
        return to_device(positions[None], self.device)


def _bounds(lengths: Sequence[int]) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    return np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])
