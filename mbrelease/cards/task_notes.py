"""What each task of the evaluation measures, in a sentence for a card."""

from __future__ import annotations

from mbrelease.cards.numbers import count_text, join_words, plural, real_text, share_text
from mbrelease.cards.scores import Evaluation, Row
from mbrelease.evaluation.evidence import EvidenceRecord
from mbrelease.registry.tasks import ContrastiveTraining, RetrievalTask, TaskOnTexts


def task_notes(evaluation: Evaluation) -> tuple[str, ...]:
    """One sentence a task, in the order of the table."""
    rows: dict[str, Row] = {}
    for row in evaluation.rows:
        rows.setdefault(row.task.name, row)
    return tuple(f"{row.task.name}: {_what(row)}." for row in rows.values())


def _what(row: Row) -> str:
    task, record = row.task, row.record
    if task.type == "efficiency":
        return (
            f"mean over {count_text(task.runs)} runs on {count_text(task.documents)} synthetic "
            f"documents of each kind, of up to {count_text(task.short)} and "
            f"{count_text(task.long)} tokens, all as long as that or normal around half of it; "
            "tokens a second of another machine are others"
        )
    return f"{_of_texts(task, record)}; {_cut(task, record)}"


def _of_texts(task: TaskOnTexts, record: EvidenceRecord) -> str:
    if task.type == "mlm":
        masked = record.counts.get("masked_tokens")
        how_many = f"{count_text(masked)} masked tokens" if masked else "masked tokens"
        return f"{how_many} are predicted, {share_text(task.mask_rate)} of each text being masked"
    if task.type == "retrieval":
        fields = [task.document] if isinstance(task.document, str) else task.document
        document = " and ".join(fields)
        wanted = f"its own {document}" if task.data.corpus is None else f"the right {document}"
        among = count_text(record.counts.get("documents", record.n_examples))
        asked = f"each {task.query} has to find {wanted} among {among}, by {_scoring(task)}"
        return _contrastive(task.training, record) + asked if task.training else asked
    if task.type == "pair" and task.training is None:
        return (
            f"the cosine of {task.first} and {task.second} is ranked against {task.target} "
            f"({_pooling(task.pooling)})"
        )
    how = _seeds(record) + _settings(record)
    if task.type == "token-classification":
        return f"a model fine-tuned from this one tags {task.words}, by exact spans of IOB2{how}"
    if task.type == "pair":
        pair = f"{task.target} of {task.first} and {task.second}"
        return f"a model fine-tuned from this one predicts {pair}{how} ({_pooling(task.pooling)})"
    if task.type == "glue":
        start = " after it was trained on MNLI" if task.data.start_from else ""
        return f"a model fine-tuned from this one{start} does {task.subset} of GLUE{how}"
    learner = (
        "a linear probe on the frozen model"
        if task.training is None
        else "a model fine-tuned from this one"
    )
    return f"{learner} predicts {task.label}{how} ({_pooling(task.pooling)})"


def _seeds(record: EvidenceRecord) -> str:
    seeds = len(record.experiments)
    return f", mean over {plural(seeds, 'seed')}" if seeds else ""


def _settings(record: EvidenceRecord) -> str:
    """The settings a model was fine-tuned with, and how they were chosen."""
    chosen = record.experiments[0] if record.experiments else {}
    if "learning_rate" not in chosen:
        return ""
    epochs = plural(int(chosen["epochs"]), "epoch")
    text = f", learning rate {real_text(chosen['learning_rate'])}, {epochs}"
    if record.tried:
        text += f", the best of {count_text(len(record.tried))} settings on held-out training data"
    return text


def _contrastive(training: ContrastiveTraining, record: EvidenceRecord) -> str:
    """How a model was trained before it was asked."""
    pairs = count_text(record.counts["pairs"])
    steps = f"{plural(training.steps, 'step')} of {training.batch_size}"
    rate = f"learning rate {real_text(record.experiments[0]['learning_rate'])}"
    if record.tried:
        sets = join_words([chosen.name for chosen in training.choose_on]) or "the dev split"
        rate += f", the best of {count_text(len(record.tried))} on {sets}"
    return f"after contrastive training on {pairs} pairs ({steps}, {rate}) "


def _scoring(task: RetrievalTask) -> str:
    if task.scoring == "maxsim":
        return "late interaction of token vectors (MaxSim)"
    return f"cosine similarity ({_pooling(task.pooling)})"


def _pooling(pooling: str) -> str:
    return "mean pooling" if pooling == "mean" else "first token"


def _cut(task: TaskOnTexts, record: EvidenceRecord) -> str:
    longer = record.counts.get("truncated")
    cut = f"texts are cut at {count_text(task.max_length)} tokens"
    if longer:
        return f"{cut} ({count_text(longer)} of them {'was' if longer == 1 else 'were'} longer)"
    return cut
