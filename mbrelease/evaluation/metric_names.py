"""How metrics are spelt, and which direction is better."""

from __future__ import annotations

LOWER_IS_BETTER = frozenset({"loss", "perplexity", "bits_per_byte"})


def metric_key(name: str) -> str:
    """The key of a metric in an evidence file: ``recall@1`` → ``recall_at_1`` (mteb's spelling)."""
    return name.replace("@", "_at_")


def metric_label(key: str) -> str:
    """How people write a metric: ``recall_at_1`` → ``recall@1``."""
    return key.replace("_at_", "@")


def lower_is_better(name: str) -> bool:
    """Whether a smaller value of the metric (label, key or ``task/metric``) is better."""
    return name.rsplit("/", 1)[-1] in LOWER_IS_BETTER


def split_metric(reference: str) -> tuple[str, str]:
    """``title-abstract/recall@1`` → task ``title-abstract`` and key ``recall_at_1``."""
    task, _, metric = reference.rpartition("/")
    return task, metric_key(metric)
