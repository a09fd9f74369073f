"""Texts, pairs of texts and sentences of words as the token ids a model is fine-tuned on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mbrelease.evaluation.dataset import count_empty
from mbrelease.evaluation.encoder import Encoder
from mbrelease.evaluation.tokenizer import Tokens

Ids = NDArray[np.int64]

# Texts tokenized at a time: the offsets of the tokens of 400,000 texts would fill gigabytes.
TEXTS_A_PIECE = 4096


@dataclass(frozen=True)
class Example:
    """One input. ``asked`` are the positions that are answered; ``None``, the text as a whole."""

    ids: Ids
    asked: Ids | None = None

    @property
    def n_answers(self) -> int:
        """How many answers are given for it."""
        return 1 if self.asked is None else len(self.asked)


@dataclass(frozen=True)
class Examples:
    """Inputs, how many of them did not fit, and how many hold no text."""

    items: tuple[Example, ...]
    n_truncated: int
    n_empty: int

    @property
    def counts(self) -> dict[str, int]:
        """What a record says of them."""
        return {"truncated": self.n_truncated, "empty": self.n_empty}

    def counts_after(self, train: Examples) -> dict[str, int]:
        """What a record says of them where a model was trained on ``train`` before."""
        return {**self.counts, "train": len(train.items), "empty_in_train": train.n_empty}


@dataclass(frozen=True)
class WordExamples(Examples):
    """Sentences of words. ``answered`` are the words of each that have a token of their own."""

    answered: tuple[Ids, ...]


def encode_texts(encoder: Encoder, texts: Sequence[str], max_length: int) -> Examples:
    """Each text as ``[CLS] text [SEP]``, cut to ``max_length`` tokens."""
    items, n_truncated = [], 0
    for start in range(0, len(texts), TEXTS_A_PIECE):
        for token in encoder.tokens(texts[start : start + TEXTS_A_PIECE], max_length):
            items.append(Example(token.ids))
            n_truncated += token.truncated
    return Examples(tuple(items), n_truncated, count_empty(texts))


def encode_pairs(
    encoder: Encoder, first: Sequence[str], second: Sequence[str], max_length: int
) -> Examples:
    """Each pair as ``[CLS] first [SEP] second [SEP]``, the longer of the two cut first.

    This is what the tokenizers of the family make of pairs. It is put together here, for a
    tokenizer.json without a template for pairs leaves the special tokens out and says nothing.
    """
    room = min(max_length, encoder.config.max_position_embeddings)
    [sample] = encoder.tokens(["a"], room)
    text = np.flatnonzero(~sample.is_special)
    opening, closing = sample.ids[: text[0]], sample.ids[text[-1] + 1 :]
    items, n_truncated = [], 0
    for start in range(0, len(first), TEXTS_A_PIECE):
        piece = slice(start, start + TEXTS_A_PIECE)
        both = zip(
            encoder.tokens(first[piece], room), encoder.tokens(second[piece], room), strict=True
        )
        for one, other in both:
            a, b = one.ids[~one.is_special], other.ids[~other.is_special]
            kept = cut_pair(len(a), len(b), room - len(opening) - 2 * len(closing))
            n_truncated += one.truncated or other.truncated or kept != (len(a), len(b))
            ids = [opening, a[: kept[0]], closing, b[: kept[1]], closing]
            items.append(Example(np.concatenate(ids)))
    n_empty = sum(not (a.strip() and b.strip()) for a, b in zip(first, second, strict=True))
    return Examples(tuple(items), n_truncated, n_empty)


def cut_pair(first: int, second: int, room: int) -> tuple[int, int]:
    """The tokens kept of two texts when the longer gives way first; at the end both get half."""
    half = room // 2
    if first + second <= room:
        return first, second
    if min(first, second) >= half:
        return (half, room - half) if first <= second else (room - half, half)
    return (first, room - first) if first < second else (room - second, second)


def encode_words(
    encoder: Encoder, sentences: Sequence[Sequence[str]], max_length: int
) -> WordExamples:
    """Sentences of words, joined by spaces as in running text; each word's first token answers.

    Words are not tokenized one by one: a byte-level tokenizer would then take them for the ends of
    longer words, which the model has seldom seen without a space before them.
    """
    items, answered, n_truncated = [], [], 0
    for start in range(0, len(sentences), TEXTS_A_PIECE):
        piece = sentences[start : start + TEXTS_A_PIECE]
        tokens = encoder.tokens([" ".join(words) for words in piece], max_length)
        for words, token in zip(piece, tokens, strict=True):
            position = first_tokens(words, token)
            answered.append(np.flatnonzero(position >= 0))
            items.append(Example(token.ids, position[position >= 0]))
            n_truncated += token.truncated
    n_empty = count_empty(" ".join(words) for words in sentences)
    return WordExamples(tuple(items), n_truncated, n_empty, tuple(answered))


def first_tokens(words: Sequence[str], tokens: Tokens) -> Ids:
    """The position of the first token of each word, shape (words,); -1 where it has none.

    A word has none if it was cut off, is empty, or lies within the last token of another.
    """
    positions = np.full(len(words), -1, dtype=np.int64)
    spans = [
        (place, begin, end)
        for place, (begin, end) in enumerate(tokens.spans)
        if end > begin and not tokens.is_special[place]
    ]
    at, begin = 0, 0
    for number, word in enumerate(words):
        end = begin + len(word)
        while at < len(spans) and spans[at][2] <= begin:
            at += 1
        if word and at < len(spans) and spans[at][1] < end:
            positions[number] = spans[at][0]
            at += 1
        begin = end + 1
    return positions
