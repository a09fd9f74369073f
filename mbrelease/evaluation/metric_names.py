"""How metrics are spelt and rounded, and which direction is better."""

from __future__ import annotations

LOWER_IS_BETTER = frozenset({"loss", "perplexity", "bits_per_byte"})
_DECIMALS = {"loss": 4, "bits_per_byte": 4, "perplexity": 2}
_DECIMALS_OF_RATES = 3
_DECIMALS_OF_SPEEDS = 0
_NAMES = {
    "bits_per_byte": "bits per byte",
    "f1": "F1",
    "macro_f1": "macro-F1",
    "matthews": "Matthews correlation",
    "mrr": "mean reciprocal rank",
    "pearson": "Pearson correlation",
    "span_f1": "span F1",
    "spearman": "Spearman correlation",
}


def metric_key(name: str) -> str:
    """The key of a metric in an evidence file: ``recall@1`` → ``recall_at_1`` (mteb's spelling)."""
    return name.replace("@", "_at_")


def metric_name(metric: str) -> str:
    """A metric (label or key) as a text calls it: ``macro-F1``, ``nDCG@10``, ``recall@1``."""
    label = metric.replace("_at_", "@")
    if label.startswith("ndcg@"):
        return label.replace("ndcg", "nDCG")
    return _NAMES.get(label, label.replace("_", " "))


def lower_is_better(name: str) -> bool:
    """Whether a smaller value of the metric (label, key or ``task/metric``) is better."""
    return name.rsplit("/", 1)[-1] in LOWER_IS_BETTER


def split_metric(reference: str) -> tuple[str, str]:
    """``title-abstract/recall@1`` → task ``title-abstract`` and key ``recall_at_1``."""
    task, _, metric = reference.rpartition("/")
    return task, metric_key(metric)


def decimals(metric: str) -> int:
    """The decimals people are shown of a metric (label, key or ``task/metric``).

    Four for losses and bits, two for perplexity, none for tokens a second, three for everything
    between 0 and 1.
    """
    if metric.endswith("_tokens_per_second"):
        return _DECIMALS_OF_SPEEDS
    return _DECIMALS.get(metric_key(metric.rsplit("/", 1)[-1]), _DECIMALS_OF_RATES)


def shown(metric: str, value: float) -> str:
    """A value of ``metric`` as people are shown it, such as ``0.440``."""
    return f"{value:.{decimals(metric)}f}"
