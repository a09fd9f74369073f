"""Classification by a linear probe on frozen embeddings.

Standardised features and logistic regression: without the scaling the probe measures how
anisotropic the embeddings are (0.93 instead of 0.99 in one case). The fit itself has no
randomness, so a seed draws which four fifths of the training examples it sees; the seeds and
their draws are the same for every checkpoint.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from mbrelease.errors import MissingExtra, UserError
from mbrelease.evaluation.dataset import Dataset
from mbrelease.evaluation.encoder import Encoder
from mbrelease.evaluation.metrics import Floats, classification_metrics
from mbrelease.evaluation.tasks.outcome import Outcome, point_and_interval
from mbrelease.progress import SILENT, Progress
from mbrelease.registry.tasks import ClassificationTask

CODE_VERSION = 1
TRAIN_SHARE = 0.8


def measure(
    task: ClassificationTask,
    data: Mapping[str, Dataset],
    split: str,
    encoder: Encoder,
    progress: Progress = SILENT,
) -> Outcome:
    """Macro-F1 and accuracy on ``split`` of probes trained on the train split, one a seed.

    Raises:
        UserError: fewer than two labels to learn.
    """
    features: dict[str, NDArray[np.float32]] = {}
    truncated: dict[str, int] = {}
    for name in ("train", split):
        features[name], truncated[name] = encoder.embed(
            data[name].texts(task.text),
            max_length=task.max_length,
            pooling=task.pooling,
            progress=progress,
        )
    labels = {name: np.asarray(data[name].labels(task.label)) for name in ("train", split)}
    classes = np.unique(np.concatenate([labels["train"], labels[split]]))
    if len(np.unique(labels["train"])) < 2:
        raise UserError(f"{data['train'].path}: fewer than two labels in '{task.label}'")
    progress.start(f"{encoder.checkpoint.name}: probe", len(task.seeds), "seeds")
    predictions = []
    for seed in task.seeds:
        predictions.append(probe(features["train"], labels["train"], features[split], seed))
        progress.advance()
    return _outcome(
        task, data[split], np.searchsorted(classes, labels[split]),
        np.searchsorted(classes, np.stack(predictions)),
        {
            "truncated": truncated[split],
            "unseen_label": int((~np.isin(labels[split], labels["train"])).sum()),
        },
    )  # fmt: skip


def probe(
    train: NDArray[np.float32], labels: NDArray[np.str_], test: NDArray[np.float32], seed: int
) -> NDArray[np.str_]:
    """Labels predicted for ``test``, shape (test examples,), by one probe.

    Args:
        train: Shape (train examples, hidden).
        labels: Shape (train examples,).
        test: Shape (test examples, hidden).
        seed: Draws the share of the training examples.
    """
    try:
        from sklearn.linear_model import LogisticRegression
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler
        from threadpoolctl import threadpool_limits
    except ImportError as error:
        raise MissingExtra("eval", "a classification probe") from error

    generator = np.random.default_rng(seed)
    drawn = np.sort(generator.permutation(len(train))[: max(2, round(TRAIN_SHARE * len(train)))])
    # A share without two labels cannot be learnt from: then the seed sees everything.
    rows = drawn if len(np.unique(labels[drawn])) > 1 else np.arange(len(train))
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000))
    # On matrices of this size BLAS threads only wait for each other: one took 0.13 s, two 2.3 s.
    with threadpool_limits(1):
        model.fit(train[rows].astype(np.float64), labels[rows])
        return np.asarray(model.predict(test.astype(np.float64)))


def _outcome(
    task: ClassificationTask,
    dataset: Dataset,
    label: NDArray[np.int64],
    predictions: NDArray[np.int64],
    counts: dict[str, int],
) -> Outcome:
    seeds, n_examples = predictions.shape
    columns = {"label": np.broadcast_to(label, predictions.shape), "prediction": predictions}

    def metrics(weights: Floats) -> dict[str, Floats]:
        return classification_metrics(columns, weights)

    point, ci95 = point_and_interval(metrics, n_examples)
    experiments = []
    for row, seed in enumerate(task.seeds):
        one = {name: column[row : row + 1] for name, column in columns.items()}
        values = classification_metrics(one, np.ones((1, n_examples)))
        experiments.append({"seed": seed, **{name: float(v[0]) for name, v in values.items()}})
    examples: dict[str, NDArray[np.generic]] = {
        "id": np.tile(np.asarray(dataset.ids), seeds),
        "seed": np.repeat(np.asarray(task.seeds), n_examples),
        "label": columns["label"].reshape(-1),
        "prediction": predictions.reshape(-1),
    }
    return Outcome(point, ci95, n_examples, examples, counts, tuple(experiments))
