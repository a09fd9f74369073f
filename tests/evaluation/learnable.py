"""Small data that a tiny random model can learn in a second, and where guessing does not pay."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from mbrelease.checkpoints.checkpoint import open_checkpoint
from mbrelease.evaluation.backend import Backend
from mbrelease.evaluation.dataset import Dataset, read_dataset
from mbrelease.evaluation.encoder import Encoder
from mbrelease.registry.tasks import FineTuning

FILLERS = ["the", "in", "old"]
ANIMALS = ["owl", "mouse", "hare"]
FAST = FineTuning(learning_rates=[3e-3], epochs=[3], batch_size=8)


def encoder_of(folder: Path, backend: Backend | None = None) -> Encoder:
    return Encoder(open_checkpoint(folder), backend or Backend())


def dataset(path: Path, rows: list[dict]) -> Dataset:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return read_dataset(path)


def texts(count: int, seed: int) -> list[dict]:
    """The label is the animal among other words."""
    generator = np.random.default_rng(seed)
    rows = []
    for number in range(count):
        words = generator.choice(FILLERS, 3).tolist()
        words.insert(int(generator.integers(4)), ANIMALS[number % 3])
        rows.append({"text": " ".join(words), "label": ANIMALS[number % 3]})
    return rows


def sentences(count: int, seed: int) -> list[dict]:
    """Animals are named; an owl may be an old owl."""
    generator = np.random.default_rng(seed)
    rows = []
    for _ in range(count):
        words, tags = [], []
        for word in generator.choice(["the", "in", "owl", "old owl", "barn"], 4):
            first, *more = word.split()
            kind = {"owl": "BIRD", "barn": "PLACE"}.get(word.split()[-1])
            words += [first, *more]
            tags += [f"B-{kind}", *[f"I-{kind}"] * len(more)] if kind else ["O"]
        rows.append({"words": words, "tags": tags})
    return rows


def pairs(count: int, seed: int) -> list[dict]:
    """The second text holds 0 to 3 owls, which is how similar it is."""
    generator = np.random.default_rng(seed)
    rows = []
    for number in range(count):
        first, second = (generator.choice(FILLERS, 3).tolist() for _ in range(2))
        second[: number % 4] = ["owl"] * (number % 4)
        rows.append(
            {
                "sentence1": " ".join(first),
                "sentence2": " ".join(second),
                "label": float(number % 4),
            }
        )
    return rows
