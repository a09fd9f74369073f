import numpy as np
import pytest
from sklearn.metrics import accuracy_score, f1_score

from mbrelease.evaluation.intervals import bootstrap_ci95
from mbrelease.evaluation.metrics import classification_metrics, mlm_metrics, retrieval_metrics

ALL = ["recall@1", "recall@5", "mrr", "ndcg@10"]


def ones(n):
    return np.ones((1, n))


def test_loss_is_a_ratio_of_sums_not_a_mean_of_ratios():
    examples = {
        "nll_sum": np.array([2.0, 90.0]),
        "n_tokens": np.array([1, 9]),
        "n_correct": np.array([1, 0]),
        "n_bytes": np.array([4, 36]),
    }
    values = mlm_metrics(examples, ones(2))
    assert values["loss"] == pytest.approx(9.2)
    assert values["accuracy"] == pytest.approx(0.1)
    assert values["perplexity"] == pytest.approx(np.exp(9.2))
    assert values["bits_per_byte"] == pytest.approx(92 / np.log(2) / 40)


def test_retrieval_metrics_of_known_ranks():
    values = retrieval_metrics({"rank": np.array([1, 2, 5, 11])}, ones(4), ALL)
    assert values["recall_at_1"] == pytest.approx(1 / 4)
    assert values["recall_at_5"] == pytest.approx(3 / 4)
    assert values["mrr"] == pytest.approx((1 + 1 / 2 + 1 / 5 + 1 / 11) / 4)
    ndcg = (1 + 1 / np.log2(3) + 1 / np.log2(6)) / 4
    assert values["ndcg_at_10"] == pytest.approx(ndcg)


@pytest.mark.parametrize("name", ["recall@0", "recall", "precision@1", "mrr@x"])
def test_an_unknown_retrieval_metric_is_refused(name):
    with pytest.raises(ValueError, match=name):
        retrieval_metrics({"rank": np.array([1])}, ones(1), [name])


def test_classification_agrees_with_scikit_learn_where_predictions_stay_in_the_gold_classes():
    generator = np.random.default_rng(0)
    label = generator.integers(0, 4, (3, 200))
    prediction = np.where(generator.random((3, 200)) < 0.7, label, generator.integers(0, 4))
    values = classification_metrics({"label": label, "prediction": prediction}, ones(200))
    pairs = list(zip(label, prediction, strict=True))
    f1 = np.mean([f1_score(y, p, average="macro") for y, p in pairs])
    assert values["macro_f1"] == pytest.approx(f1)
    assert values["accuracy"] == pytest.approx(np.mean([accuracy_score(y, p) for y, p in pairs]))


def test_a_weight_of_two_is_an_example_that_stands_twice():
    generator = np.random.default_rng(1)
    label, prediction = generator.integers(0, 3, (2, 1, 50))
    counts = generator.integers(0, 3, 50)
    repeated = {
        "label": np.repeat(label, counts, axis=1),
        "prediction": np.repeat(prediction, counts, axis=1),
    }
    weighted = classification_metrics(
        {"label": label, "prediction": prediction}, counts[None, :].astype(float)
    )
    for name, value in classification_metrics(repeated, ones(counts.sum())).items():
        assert weighted[name] == pytest.approx(value)


def test_the_interval_covers_a_mean_as_often_as_it_says():
    """200 samples of 100 Bernoulli(0.3) draws: near 95 % of the intervals hold 0.3."""
    generator = np.random.default_rng(3)
    covered = 0
    for _ in range(200):
        draws = {"rank": np.where(generator.random(100) < 0.3, 1, 2)}
        low, high = bootstrap_ci95(
            lambda weights, draws=draws: retrieval_metrics(draws, weights, ["recall@1"]), 100
        )["recall_at_1"]
        covered += low <= 0.3 <= high
    # Monte-Carlo error of 200 trials at 0.95: 0.015; the percentile bootstrap is a bit narrow.
    assert 0.90 <= covered / 200 <= 0.99
