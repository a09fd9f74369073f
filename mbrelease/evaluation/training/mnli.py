"""A model trained on MNLI, for the subsets of GLUE that start from it; kept on disk.

``$XDG_CACHE_HOME/mbrelease/mnli/<key>`` holds config and weights without the head. The key covers
all that decides them, so that three subsets train it once, in whatever process. What was not used
for longest goes when there are more than 10 GB. The folder may be deleted at any time.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np

from mbrelease.evaluation.dataset import Dataset, data_sha256
from mbrelease.evaluation.embedding_cache import model_identity
from mbrelease.evaluation.encoder import Encoder
from mbrelease.evaluation.training.examples import encode_pairs
from mbrelease.evaluation.training.finetuning import train_one
from mbrelease.evaluation.training.heads import Labels, label_problem
from mbrelease.evaluation.training.trainable import Head, Start, Trainable
from mbrelease.files import atomic_folder, claimed, sha256_json
from mbrelease.progress import SILENT, Progress
from mbrelease.registry.tasks import FineTuning

CODE_VERSION = 1
"""Raised by hand whenever another model would come of the same data and settings."""
LIMIT_BYTES = 10_000_000_000


def trained_on_mnli(
    encoder: Encoder,
    dataset: Dataset,
    labels: Labels,
    training: FineTuning,
    *,
    max_length: int,
    seed: int,
    score: Callable[[Labels, Labels], float],
    progress: Progress = SILENT,
) -> Start:
    """The encoder of ``encoder.checkpoint`` after it was trained on MNLI, without its head.

    Args:
        encoder: The checkpoint.
        dataset: MNLI's train split, with ``premise`` and ``hypothesis``.
        labels: Theirs.
        training: The settings.
        max_length: Tokens kept of each pair.
        seed: Draws head and batches.
        score: Chooses between settings, where there are several.
        progress: Told of each step.

    Raises:
        CheckFailed: training diverged.
        UserError: the cache cannot be written, or another process's folder is in the way.
    """
    checkpoint, backend = encoder.checkpoint, encoder.backend
    key = sha256_json(
        [
            model_identity(checkpoint),
            data_sha256([dataset.path]),
            training.model_dump(mode="json"),
            [max_length, seed, backend.attn, backend.dtype, backend.device, CODE_VERSION],
        ]
    )
    folder = _cache() / key
    start = Start(checkpoint.path, checkpoint.name, backend)
    with claimed(folder.with_suffix(".lock")):  # another process may be training the same
        if not folder.is_dir():
            examples = encode_pairs(
                encoder, dataset.texts("premise"), dataset.texts("hypothesis"), max_length
            )
            problem, classes = label_problem(examples.items, labels, score, str(dataset.path))
            head = Head("label", len(classes))
            progress.note(f"{checkpoint.name}: training on MNLI, to start from")
            _keep(train_one(start, head, training, seed, problem, progress=progress), folder)
        os.utime(folder)  # used now
    return Start(checkpoint.path, checkpoint.name, backend, folder)


def _cache() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser()
    return Path(base) / "mbrelease" / "mnli"


def _keep(model: Trainable, folder: Path) -> None:
    body = {
        name: tensor
        for name, tensor in model.model.state_dict().items()
        if not name.startswith("classifier.")
    }
    with atomic_folder(folder) as unfinished:
        model.model.save_pretrained(unfinished, state_dict=body)
    others = [one for one in folder.parent.iterdir() if one.is_dir() and one != folder]
    room = LIMIT_BYTES - _size(folder)
    for other in sorted(others, key=lambda one: -one.stat().st_mtime_ns):
        room -= _size(other)
        if room < 0:
            shutil.rmtree(other, ignore_errors=True)


def _size(folder: Path) -> int:
    return int(np.sum([file.stat().st_size for file in folder.iterdir()]))
