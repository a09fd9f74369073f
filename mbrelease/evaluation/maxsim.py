"""ColBERT's late interaction: the score of a document is a sum over the tokens of the query.

``score(q, d) = Σ_i max_j cos(q_i, d_j)`` over the tokens i of the query and j of the document
(Khattab and Zaharia, 2020, equation 3). Every token counts on both sides, [CLS] and [SEP] too;
unlike ColBERT and PyLate at their defaults, queries are not filled up with mask tokens and
punctuation in documents is not left out.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import reduce
from typing import TYPE_CHECKING, TypeVar

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import torch

Floats32 = NDArray[np.float32]
Name = TypeVar("Name")

QUERY_TOKENS_A_BLOCK = 1024
DOCUMENT_TOKENS_A_BLOCK = 8192


class MaxSim:
    """Scores of documents for a fixed set of queries, fp32, a block of documents at a time.

    Beside the queries, which stay on the device, it takes about 100 MB for 768 dimensions. Blocks
    of queries and of documents always have the same shape (see ``ranking``).
    """

    def __init__(self, queries: Sequence[Floats32], device: str = "cpu") -> None:
        """Keep ``queries``, each of shape (tokens, hidden) with at least one token."""
        import torch

        self._device = device
        self._n_queries = len(queries)
        order = sorted(range(len(queries)), key=lambda row: len(queries[row]))
        groups = list(_packed(order, [len(queries[row]) for row in order], QUERY_TOKENS_A_BLOCK))
        widths = [len(queries[rows[-1]]) for rows in groups]
        # With a single row BLAS would take another kernel.
        size = max(2, *(len(rows) * width for rows, width in zip(groups, widths, strict=True)))
        self._blocks: list[tuple[list[int], int, torch.Tensor]] = []
        for rows, width in zip(groups, widths, strict=True):
            # A token of zeros adds nothing to a sum.
            block = np.zeros((size, queries[0].shape[1]), dtype=np.float32)
            for place, row in enumerate(rows):
                block[place * width : place * width + len(queries[row])] = _normalised(queries[row])
            self._blocks.append((rows, width, torch.from_numpy(block).to(device)))

    def scores(
        self, documents: Iterable[tuple[Name, Floats32]]
    ) -> Iterator[tuple[list[Name], Floats32]]:
        """Names of some documents and their scores, shape (queries, these documents).

        Documents of similar length should come after one another: each block is as wide as its
        longest.

        Args:
            documents: Names and vectors, shape (tokens, hidden), of at least one token.
        """
        names: list[Name] = []
        block: list[Floats32] = []
        for name, vectors in documents:
            width = max(len(vectors), *map(len, block)) if block else len(vectors)
            if block and width * (len(block) + 1) > DOCUMENT_TOKENS_A_BLOCK:
                yield names, self._score(block)
                names, block = [], []
            names.append(name)
            block.append(vectors)
        if block:
            yield names, self._score(block)

    def _score(self, documents: Sequence[Floats32]) -> Floats32:
        import torch

        width = max(map(len, documents))
        padded = np.zeros(
            (max(DOCUMENT_TOKENS_A_BLOCK, width), documents[0].shape[1]), dtype=np.float32
        )
        for place, vectors in enumerate(documents):
            tokens = padded[place * width : (place + 1) * width]
            tokens[: len(vectors)] = _normalised(vectors)
            tokens[len(vectors) :] = tokens[0]  # a token that stands twice changes no maximum
        tokens_of_documents = torch.from_numpy(padded).to(self._device)
        result = np.empty((self._n_queries, len(documents)), dtype=np.float32)
        for rows, query_width, query_tokens in self._blocks:
            products = query_tokens @ tokens_of_documents.T
            used = products[: len(rows) * query_width, : len(documents) * width]
            best = used.reshape(len(rows), query_width, len(documents), width).amax(dim=3)
            # Not torch.sum, which takes another order of adding at the end of a row.
            result[rows] = reduce(torch.add, best.unbind(dim=1)).cpu().numpy()
        return result


def _packed(order: Sequence[int], lengths: Sequence[int], budget: int) -> Iterator[list[int]]:
    """Rows in ``order``, of rising ``lengths``, grouped so that rows × longest ≤ ``budget``."""
    group: list[int] = []
    for row, length in zip(order, lengths, strict=True):
        if group and (len(group) + 1) * length > budget:
            yield group
            group = []
        group.append(row)
    yield group


def _normalised(vectors: Floats32) -> Floats32:
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.maximum(norms, 1e-12), dtype=np.float32)
