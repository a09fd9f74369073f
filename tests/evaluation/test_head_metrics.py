"""Metrics of tags, pairs and two labels, against what others publish and against repetition."""

import numpy as np
import pytest
from scipy.stats import pearsonr, spearmanr
from sklearn.metrics import f1_score, matthews_corrcoef

from mbrelease.evaluation.metrics import binary_metrics, correlation_metrics, span_metrics
from mbrelease.evaluation.tasks.pair import label_metrics
from mbrelease.evaluation.tasks.token_classification import count_spans, find_spans


def tags_of(text):
    return text.split()


def ones(n):
    return np.ones((1, n))


@pytest.mark.parametrize(
    ("tags", "spans"),
    [
        ("O O", []),
        ("B-A I-A O B-B", [(0, 2, "A"), (3, 4, "B")]),
        ("B-A B-A", [(0, 1, "A"), (1, 2, "A")]),  # side by side
        ("B-A I-B", [(0, 1, "A")]),  # another type continues nothing
        ("B-A I-B I-A", [(0, 1, "A")]),  # nor does a return to it
        ("I-A I-A", []),  # nothing began
        ("O I-A B-A", [(2, 3, "A")]),
        ("B-A-B I-A-B", [(0, 2, "A-B")]),
        ("B-A I-A", [(0, 2, "A")]),  # up to the end
        ("", []),
    ],
)
def test_spans_are_those_of_strict_iob2(tags, spans):
    """Worked out by the start, inside and end patterns of seqeval's class IOB2."""
    assert find_spans(tags_of(tags)) == set(spans)


def test_a_span_is_right_only_as_a_whole():
    gold = tags_of("B-A I-A O B-B")
    assert count_spans(gold, gold) == (2, 0, 0)
    assert count_spans(gold, tags_of("B-A O O B-B")) == (1, 1, 1)  # too short
    assert count_spans(gold, tags_of("B-B I-B O B-B")) == (1, 1, 1)  # another type
    assert count_spans(gold, tags_of("O O O O")) == (0, 0, 2)


def test_span_f1_is_of_the_sums_of_seqevals_own_example():
    """The first example of seqeval's README: one span of two is found exactly."""
    gold = [
        tags_of("O O O B-MISC I-MISC I-MISC O"),
        tags_of("B-PER I-PER O"),
    ]
    said = [
        tags_of("O O B-MISC I-MISC I-MISC I-MISC O"),
        tags_of("B-PER I-PER O"),
    ]
    counted = np.asarray([count_spans(*pair) for pair in zip(gold, said, strict=True)])
    columns = dict(zip(("tp", "fp", "fn"), counted.T[:, None], strict=True))
    values = span_metrics(columns, ones(2))
    assert {name: float(value[0]) for name, value in values.items()} == {
        "span_f1": 0.5,
        "span_precision": 0.5,
        "span_recall": 0.5,
    }


def test_without_any_span_f1_is_zero_and_no_error():
    none = {name: np.zeros((1, 3), dtype=int) for name in ("tp", "fp", "fn")}
    assert span_metrics(none, ones(3))["span_f1"] == 0


def test_correlations_agree_with_scipy_also_where_values_are_equal():
    generator = np.random.default_rng(0)
    target = generator.integers(0, 6, (2, 80)).astype(float)
    score = (target + generator.normal(0, 2, target.shape)).round()
    values = correlation_metrics({"target": target, "score": score}, ones(80))
    pairs = list(zip(target, score, strict=True))
    assert values["spearman"] == pytest.approx(np.mean([spearmanr(*p).statistic for p in pairs]))
    assert values["pearson"] == pytest.approx(np.mean([pearsonr(*p).statistic for p in pairs]))


def test_a_large_mean_hides_no_correlation():
    x = np.arange(50.0)
    columns = {"target": x[None] + 1e9, "score": 3 * x[None] - 1e9}
    values = correlation_metrics(columns, ones(50))
    assert values["pearson"] == pytest.approx(1)
    assert values["spearman"] == pytest.approx(1)


@pytest.mark.parametrize("constant", [0.0, 0.1, 1e9 + 0.1])
def test_a_constant_orders_nothing(constant):
    columns = {"target": np.arange(7.0)[None], "score": np.full((1, 7), constant)}
    values = correlation_metrics(columns, ones(7))
    assert values["spearman"] == 0
    assert values["pearson"] == 0


def repeated(columns, counts):
    return {name: np.repeat(column, counts, axis=1) for name, column in columns.items()}


@pytest.mark.parametrize(
    ("metrics", "names"),
    [
        (correlation_metrics, ("target", "score")),
        (span_metrics, ("tp", "fp", "fn")),
        (lambda c, w: binary_metrics(c, w, 1), ("label", "prediction")),
        (lambda c, w: label_metrics(c, w, None), ("label", "prediction")),
    ],
)
def test_a_weight_of_two_is_an_example_that_stands_twice(metrics, names):
    generator = np.random.default_rng(1)
    columns = {name: generator.integers(0, 3, (2, 40)) for name in names}
    counts = generator.integers(0, 3, 40)
    weighted = metrics(columns, counts[None, :].astype(float))
    for name, value in metrics(repeated(columns, counts), ones(counts.sum())).items():
        assert weighted[name] == pytest.approx(value)


def test_one_label_against_the_others_agrees_with_scikit_learn():
    generator = np.random.default_rng(2)
    label = generator.integers(0, 2, (2, 90))
    prediction = np.where(generator.random((2, 90)) < 0.7, label, 1 - label)
    values = binary_metrics({"label": label, "prediction": prediction}, ones(90), 1)
    pairs = list(zip(label, prediction, strict=True))
    assert values["f1"] == pytest.approx(np.mean([f1_score(*pair) for pair in pairs]))
    assert values["matthews"] == pytest.approx(np.mean([matthews_corrcoef(*p) for p in pairs]))
    assert values["accuracy"] == pytest.approx((label == prediction).mean())


def test_one_prediction_for_all_has_no_matthews_correlation():
    columns = {"label": np.array([[0, 1, 1]]), "prediction": np.array([[1, 1, 1]])}
    assert binary_metrics(columns, ones(3), 1)["matthews"] == 0


def test_f1_is_of_the_declared_label_or_of_all():
    columns = {
        "label": np.array([["no", "no", "no", "yes"]]),
        "prediction": np.array([["no", "no", "yes", "yes"]]),
    }
    assert label_metrics(columns, ones(4), "yes")["f1"] == pytest.approx(2 / 3)
    assert label_metrics(columns, ones(4), "no")["f1"] == pytest.approx(4 / 5)
    assert label_metrics(columns, ones(4), None)["f1"] == pytest.approx((2 / 3 + 4 / 5) / 2)
