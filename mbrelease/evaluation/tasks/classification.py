"""Classification of texts, by a linear probe on frozen embeddings or by fine-tuning.

The probe: standardised features and logistic regression: without the scaling the probe measures how
anisotropic the embeddings are (0.93 instead of 0.99 in one case). The fit itself has no
randomness, so a seed draws which four fifths of the training examples it sees; the seeds and
their draws are the same for every checkpoint.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from mbrelease.errors import MissingExtra, UserError
from mbrelease.evaluation.dataset import Dataset, count_empty
from mbrelease.evaluation.encoder import Encoder
from mbrelease.evaluation.metrics import classification_metrics
from mbrelease.evaluation.tasks.outcome import Outcome, Sample, outcome_of_seeds
from mbrelease.evaluation.training.examples import encode_texts
from mbrelease.evaluation.training.heads import Labels, Learner
from mbrelease.evaluation.training.trainable import Start
from mbrelease.progress import SILENT, Progress
from mbrelease.registry.tasks import ClassificationTask

CODE_VERSION = 2
TRAIN_SHARE = 0.8


def measure(
    task: ClassificationTask,
    data: Mapping[str, Dataset],
    split: str,
    encoder: Encoder,
    progress: Progress = SILENT,
) -> Outcome:
    """Macro-F1 and accuracy on ``split`` of heads trained on the train split, one a seed.

    Raises:
        CheckFailed: fine-tuning diverged.
        UserError: fewer than two labels to learn.
    """
    sample = Sample.of(data[split], task.cluster)
    labels = {name: np.asarray(data[name].labels(task.label)) for name in ("train", split)}
    if len(np.unique(labels["train"])) < 2:
        raise UserError(f"{data['train'].path}: fewer than two labels in '{task.label}'")
    texts = {name: data[name].texts(task.text) for name in ("train", split)}
    tuned = None
    if task.training is None:
        predictions, truncated = _probed(task, data, labels["train"], split, encoder, progress)
    else:
        train, asked = (
            encode_texts(encoder, texts[name], task.max_length) for name in ("train", split)
        )
        truncated = asked.n_truncated
        learner = Learner(
            Start(encoder.checkpoint.path, encoder.checkpoint.name, encoder.backend),
            task.training,
            task.seeds,
            str(data["train"].path),
            task.pooling,
            progress,
        )
        predictions, tuned = learner.labels(train.items, labels["train"], asked.items, macro_f1)
    classes = np.unique(np.concatenate([labels["train"], labels[split]]))
    label = np.searchsorted(classes, labels[split])
    columns = {
        "label": np.broadcast_to(label, predictions.shape),
        "prediction": np.searchsorted(classes, predictions),
    }
    counts = {
        "truncated": truncated,
        "empty": count_empty(texts[split]),
        "train": len(texts["train"]),
        "empty_in_train": count_empty(texts["train"]),
        "unseen_label": int((~np.isin(labels[split], labels["train"])).sum()),
    }
    return outcome_of_seeds(task.seeds, sample, columns, classification_metrics, counts, tuned)


def macro_f1(labels: Labels, predictions: Labels) -> float:
    """The mean F1 over the classes that occur among ``labels``."""
    columns = {"label": labels[None, :], "prediction": predictions[None, :]}
    return float(classification_metrics(columns, np.ones((1, len(labels))))["macro_f1"][0])


def _probed(
    task: ClassificationTask,
    data: Mapping[str, Dataset],
    labels: Labels,
    split: str,
    encoder: Encoder,
    progress: Progress,
) -> tuple[Labels, int]:
    """What the probes predict, shape (seeds, examples), and how many texts were truncated."""
    features: dict[str, NDArray[np.float32]] = {}
    truncated: dict[str, int] = {}
    for name in ("train", split):
        features[name], truncated[name] = encoder.embed(
            data[name].texts(task.text),
            max_length=task.max_length,
            pooling=task.pooling,
            names=data[name].names,
            progress=progress,
        )
    progress.start(f"{encoder.checkpoint.name}: probe", len(task.seeds), "seeds")
    predictions = []
    for seed in task.seeds:
        predictions.append(probe(features["train"], labels, features[split], seed))
        progress.advance()
    return np.stack(predictions), truncated[split]


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
