"""What each task of the evaluation measures, in a sentence for a card."""

from __future__ import annotations

from mbrelease.cards.numbers import count_text, plural, share_text
from mbrelease.cards.scores import Evaluation, Row


def task_notes(evaluation: Evaluation) -> tuple[str, ...]:
    """One sentence a task, in the order of the table."""
    rows: dict[str, Row] = {}
    for row in evaluation.rows:
        rows.setdefault(row.task.name, row)
    return tuple(f"{row.task.name}: {_what(row)}; {_cut(row)}." for row in rows.values())


def _what(row: Row) -> str:
    task, record = row.task, row.record
    if task.type == "mlm":
        masked = record.counts.get("masked_tokens")
        how_many = f"{count_text(masked)} masked tokens" if masked else "masked tokens"
        return f"{how_many} are predicted, {share_text(task.mask_rate)} of each text being masked"
    if task.type == "retrieval":
        return (
            f"each {task.query} has to find its own {task.document} among "
            f"{count_text(record.n_examples)}, by cosine similarity ({_pooling(task.pooling)})"
        )
    seeds = len(record.experiments)
    trained = f", mean over {plural(seeds, 'seed')}" if seeds else ""
    return (
        f"a linear probe on the frozen model predicts {task.label}{trained} "
        f"({_pooling(task.pooling)})"
    )


def _pooling(pooling: str) -> str:
    return "mean pooling" if pooling == "mean" else "first token"


def _cut(row: Row) -> str:
    longer = row.record.counts.get("truncated")
    cut = f"texts are cut at {count_text(row.task.max_length)} tokens"
    if longer:
        return f"{cut} ({count_text(longer)} of them {'was' if longer == 1 else 'were'} longer)"
    return cut
