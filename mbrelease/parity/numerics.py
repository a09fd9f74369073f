"""One model computed in several ways, and how far apart the answers are.

The reference is transformers' eager attention in float32, each text by itself, with the weights
as the file holds them (a float16 or bfloat16 file loses nothing in float32). Texts of several
lengths are asked for the logits of masked tokens, or where there is no head for them for the
hidden states, and for the mean of the hidden states.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mbrelease.evaluation.attention import implementation_name
from mbrelease.evaluation.attention.packing import Packing

if TYPE_CHECKING:
    import torch

LENGTHS = (8, 64, 192, 512, 1024, 2048)
"""Tokens of each text: below, at and beyond what a sliding layer sees (64 to each side)."""
WORK = 6e10
"""Parameters × tokens of one pass, which bounds the lengths: some 3 s of two cores in float32."""
MASK_EVERY = 7
"""About the 15 % of BERT, and in step with no window."""


class NoDocuments(Exception):  # not wrong with the model: something that cannot be asked
    """Why there are no texts to compare on."""


@dataclass(frozen=True)
class Document:
    """Token ids of one text, special tokens included, and the places of the masked ones."""

    ids: NDArray[np.int64]
    masked: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True)
class Outcome:
    """What the model says of one document, in float32.

    ``scores`` are the logits of the masked tokens, shape (masked, vocabulary), or without a head
    the hidden states, (tokens, hidden). ``pooled`` is the mean of the hidden states, (hidden,).
    """

    scores: torch.Tensor
    pooled: torch.Tensor
    is_logits: bool


@dataclass(frozen=True)
class Difference:
    """How far an outcome is from the reference, over one document or several."""

    largest: float
    mean: float
    scale: float
    """The largest score of the reference, without sign."""
    cosine: float
    """Of the pooled hidden states; the least where there are several documents."""
    asked: int
    """Rows of scores."""
    agreed: int | None
    """Masked tokens whose likeliest token is the same; ``None`` without logits."""
    not_finite: int

    @property
    def relative(self) -> float:
        """The largest difference over the scale."""
        return self.largest / self.scale if self.scale else self.largest

    def as_json(self) -> dict[str, float | None]:
        """All fields as JSON values, which know no NaN."""
        values = asdict(self) | {"relative": self.relative}
        return {
            key: value if value is not None and math.isfinite(value) else None
            for key, value in values.items()
        }


def choose_lengths(
    context: int, parameters: int, *, always: int = 3, work: float = WORK
) -> list[int]:
    """The lengths at which a model is compared, the shortest first.

    Args:
        context: The positions it has.
        parameters: Of the model.
        always: So many whatever they cost: the third length goes beyond the window.
        work: Parameters × tokens that a pass over all of them may take.
    """
    fitting = [length for length in LENGTHS if length <= context] or [context]
    taken = np.cumsum(fitting) * float(parameters)
    return [n for place, n in enumerate(fitting) if place < always or taken[place] <= work]


def make_documents(
    tokenizer: Any, texts: Sequence[str], lengths: Sequence[int], *, mask: bool
) -> list[Document]:
    """Documents of exactly ``lengths`` tokens, cut one after the other from the endless ``texts``.

    Args:
        tokenizer: Of transformers; its cls and sep token are put around each document.
        texts: Read over again when they end.
        lengths: Tokens of each document.
        mask: Whether to put a mask token at every seventh place; the places are asked either way.

    Raises:
        NoDocuments: the texts give no token.
    """
    tokens = [id_ for text in texts for id_ in tokenizer.encode(text, add_special_tokens=False)]
    if not tokens:
        raise NoDocuments("the tokenizer gives no token for any text")
    stream = np.resize(np.asarray(tokens, dtype=np.int64), sum(lengths))
    documents = []
    for start, length in zip(np.cumsum([0, *lengths[:-1]]), lengths, strict=True):
        ids = stream[start : start + length].copy()
        if tokenizer.cls_token_id is not None:
            ids[0] = tokenizer.cls_token_id
        if tokenizer.sep_token_id is not None:
            ids[-1] = tokenizer.sep_token_id
        # Neither the first nor the last, where there is another: they are the special tokens.
        masked = np.arange(min(3, max(length - 2, 0)), max(length - 1, 1), MASK_EVERY)
        if mask:
            ids[masked] = tokenizer.mask_token_id
        documents.append(Document(ids, masked))
    return documents


def one_by_one(model: Any, documents: Sequence[Document], attn: str) -> list[Outcome]:
    """Each document by itself, by one of transformers' own attentions."""
    return [_padded(model, [document], attn)[0] for document in documents]


def padded(model: Any, documents: Sequence[Document], attn: str) -> list[Outcome]:
    """All but the longest as one padded batch, by one of transformers' own attentions."""
    shorter, longest = list(documents[:-1]), [documents[-1]]
    return [*(_padded(model, shorter, attn) if shorter else []), *_padded(model, longest, attn)]


def packed(model: Any, documents: Sequence[Document], attn: str) -> list[Outcome]:
    """All documents one behind the other without padding, by an attention of this project."""
    import torch

    device = str(model.device)
    packing = Packing(tuple(map(len, documents)), device)
    ids = np.concatenate([document.ids for document in documents])
    with _attention(model, implementation_name(attn)), torch.inference_mode():
        hidden = model.base_model(
            input_ids=torch.from_numpy(ids)[None].to(device),
            position_ids=packing.position_ids,
            packing=packing,
        ).last_hidden_state[0]
        parts = hidden.split([len(document) for document in documents])
        return [_outcome(model, *pair) for pair in zip(parts, documents, strict=True)]


def compare(reference: Outcome, other: Outcome) -> Difference:
    """How far ``other`` is from ``reference`` on one document."""
    import torch

    ours, theirs = reference.scores, other.scores.to(reference.scores.device)
    pooled = other.pooled.to(reference.pooled.device)
    gap = (ours - theirs).abs()
    return Difference(
        largest=float(gap.max()),
        mean=float(gap.mean()),
        scale=float(ours.abs().max()),
        cosine=float(torch.nn.functional.cosine_similarity(reference.pooled, pooled, dim=0)),
        asked=len(ours),
        agreed=int((ours.argmax(-1) == theirs.argmax(-1)).sum()) if reference.is_logits else None,
        not_finite=not_finite(other),
    )


def not_finite(outcome: Outcome) -> int:
    """How many values are NaN or infinite."""
    return int((~outcome.scores.isfinite()).sum() + (~outcome.pooled.isfinite()).sum())


def combine(differences: Sequence[Difference]) -> Difference:
    """Over several documents: the worst of each, the mean by rows of scores."""
    asked, agreed = sum(one.asked for one in differences), [one.agreed for one in differences]
    return Difference(
        largest=_worst(max, [one.largest for one in differences]),
        mean=sum(one.mean * one.asked for one in differences) / asked,
        scale=max(one.scale for one in differences),
        cosine=_worst(min, [one.cosine for one in differences]),
        asked=asked,
        agreed=None if None in agreed else sum(filter(None, agreed)),
        not_finite=sum(one.not_finite for one in differences),
    )


@contextlib.contextmanager
def largest_activations(model: Any) -> Iterator[dict[str, float]]:
    """The largest value without sign that goes into or comes out of each layer and module."""
    import torch

    found: dict[str, float] = {}

    def watch(name: str) -> Callable[[Any, tuple[Any, ...], Any], None]:
        def look(module: Any, given: tuple[Any, ...], made: Any) -> None:
            for value in (*given[:1], made):
                if isinstance(value, torch.Tensor) and value.is_floating_point():
                    found[name] = max(found.get(name, 0.0), float(value.abs().max()))

        return look

    hooks = [
        module.register_forward_hook(watch(name))
        for name, module in model.named_modules()
        if name and (not list(module.children()) or type(module).__name__.endswith("Layer"))
    ]
    try:
        yield found
    finally:
        for hook in hooks:
            hook.remove()


def varies(outcomes: Sequence[Outcome]) -> bool:
    """Whether the scores differ from token to token by more than float32 rounds."""
    import torch

    scores = torch.cat([outcome.scores for outcome in outcomes])
    spread = (scores - scores[0]).abs().max()
    return bool(spread > 1e-5 * scores.abs().max())


def _padded(model: Any, documents: Sequence[Document], attn: str) -> list[Outcome]:
    import torch

    width = max(map(len, documents))
    mask = torch.tensor([[place < len(doc) for place in range(width)] for doc in documents])
    # Any id: the mask hides it.
    ids = torch.zeros_like(mask, dtype=torch.long)
    ids[mask] = torch.from_numpy(np.concatenate([document.ids for document in documents]))
    with _attention(model, attn), torch.inference_mode():
        hidden = model.base_model(
            input_ids=ids.to(model.device), attention_mask=mask.to(model.device)
        ).last_hidden_state
        return [
            _outcome(model, states[: len(document)], document)
            for states, document in zip(hidden, documents, strict=True)
        ]


def _outcome(model: Any, hidden: torch.Tensor, document: Document) -> Outcome:
    is_logits = hasattr(model, "decoder")
    scores = model.decoder(model.head(hidden[document.masked])) if is_logits else hidden
    return Outcome(scores.float(), hidden.float().mean(0), is_logits)


@contextlib.contextmanager
def _attention(model: Any, name: str) -> Iterator[None]:
    before = model.config._attn_implementation
    model.set_attn_implementation(name)
    try:
        yield
    finally:
        model.set_attn_implementation(before)


def _worst(choose: Callable[[list[float]], float], values: list[float]) -> float:
    """Python's max and min pass over NaN, which is the worst of all."""
    return float("nan") if any(value != value for value in values) else choose(values)
