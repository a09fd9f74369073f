"""Tags of words, such as named entities, by fine-tuning; scored by exact spans.

Tags are IOB2. A span is a ``B-`` and the ``I-`` of the same type that follow it, and it is right if
first word, last word and type are. An ``I-`` that follows no such ``B-`` belongs to no span: this
is what seqeval counts with ``mode="strict", scheme=IOB2``. Gold tags with such an ``I-`` are
refused, for a part of their spans would be lost without a word.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from mbrelease.errors import UserError
from mbrelease.evaluation.dataset import Dataset
from mbrelease.evaluation.encoder import Encoder
from mbrelease.evaluation.metrics import span_metrics
from mbrelease.evaluation.tasks.outcome import Outcome, Sample, outcome_of_seeds
from mbrelease.evaluation.training.examples import Ids, WordExamples, encode_words
from mbrelease.evaluation.training.finetuning import Problem, fine_tune
from mbrelease.evaluation.training.trainable import Answers, Head, Start
from mbrelease.progress import SILENT, Progress
from mbrelease.registry.tasks import TokenClassificationTask

CODE_VERSION = 1

Span = tuple[int, int, str]
"""First word, the word after the last, type."""


def measure(
    task: TokenClassificationTask,
    data: Mapping[str, Dataset],
    split: str,
    encoder: Encoder,
    progress: Progress = SILENT,
) -> Outcome:
    """F1, precision and recall of spans on ``split``, of models fine-tuned on train, one a seed.

    Raises:
        CheckFailed: fine-tuning diverged.
        UserError: words and tags do not go together, or there is no span to learn.
    """
    sample = Sample.of(data[split], task.cluster)
    words, tags = read_tags(data["train"], task)
    asked_words, asked_tags = read_tags(data[split], task)
    train = encode_words(encoder, words, task.max_length)
    asked = encode_words(encoder, asked_words, task.max_length)
    known = sorted({tag for sentence in tags for tag in sentence})
    if known in ([], ["O"]):
        raise UserError(f"{data['train'].path}: no span in '{task.tags}' to learn")
    tuned = fine_tune(
        Start(encoder.checkpoint.path, encoder.checkpoint.name, encoder.backend),
        Head("tag", len(known)),
        task.training,
        task.seeds,
        _problem(train, tags, known, str(data["train"].path)),
        asked.items,
        progress=progress,
    )
    predicted = [
        predicted_tags(asked.answered, asked_words, answers, known) for answers in tuned.answers
    ]
    counted = [[count_spans(*pair) for pair in zip(asked_tags, one, strict=True)]
               for one in predicted]  # fmt: skip
    columns = dict(zip(("tp", "fp", "fn"), np.moveaxis(np.asarray(counted), 2, 0), strict=True))
    types = {tag[2:] for tag in known if tag != "O"}
    spans = [span for sentence in asked_tags for span in find_spans(sentence)]
    counts = {
        **asked.counts_after(train),
        "unread_words": sum(map(len, asked_words)) - sum(map(len, asked.answered)),
        "spans": len(spans),
        "unseen_label": sum(type_ not in types for _, _, type_ in spans),
    }
    return outcome_of_seeds(task.seeds, sample, columns, span_metrics, counts, tuned)


def read_tags(
    dataset: Dataset, task: TokenClassificationTask
) -> tuple[list[list[str]], list[list[str]]]:
    """The words and the tags of each row.

    Raises:
        UserError: they differ in number, or the tags are not IOB2.
    """
    words, tags = dataset.lists(task.words), dataset.lists(task.tags)
    for row, (some, theirs) in enumerate(zip(words, tags, strict=True)):
        if len(some) != len(theirs):
            raise UserError(
                f"{dataset.place(row)}: {len(some)} in '{task.words}', but {len(theirs)} in "
                f"'{task.tags}'",
                mend="give each word one tag",
            )
        before = "O"
        for tag in theirs:
            if tag != "O" and not (tag[:2] in ("B-", "I-") and len(tag) > 2):
                raise UserError(
                    f"{dataset.place(row)}: '{tag}' is no tag", mend="write O, B-… and I-… (IOB2)"
                )
            if tag[0] == "I" and before not in (f"B-{tag[2:]}", tag):
                raise UserError(
                    f"{dataset.place(row)}: '{tag}' after '{before}' continues no span",
                    mend="begin every span with B- (IOB2)",
                )
            before = tag
    return words, tags


def find_spans(tags: Sequence[str]) -> set[Span]:
    """The spans of IOB2 tags; an ``I-`` that continues none is passed over."""
    spans: set[Span] = set()
    begin, type_ = 0, ""
    for place, tag in enumerate([*tags, "O"]):
        if type_ and tag != f"I-{type_}":
            spans.add((begin, place, type_))
            type_ = ""
        if tag.startswith("B-"):
            begin, type_ = place, tag[2:]
    return spans


def count_spans(gold: Sequence[str], predicted: Sequence[str]) -> tuple[int, int, int]:
    """How many spans were found, how many predicted are none, how many were missed."""
    true, said = find_spans(gold), find_spans(predicted)
    return len(true & said), len(said - true), len(true - said)


def predicted_tags(
    answered: Sequence[Ids], words: Sequence[Sequence[str]], answers: Answers, known: Sequence[str]
) -> list[list[str]]:
    """A tag for each word: the likeliest at its first token, ``O`` where it has none."""
    result = [["O"] * len(sentence) for sentence in words]
    for tags, some, answer in zip(result, answered, answers, strict=True):
        for word, number in zip(some, answer.argmax(axis=1), strict=True):
            tags[word] = known[number]
    return result


def _problem(
    train: WordExamples, tags: Sequence[Sequence[str]], known: Sequence[str], place: str
) -> Problem:
    """Learn the tag of each word that has a token; rows without one teach nothing."""
    number = {tag: index for index, tag in enumerate(known)}
    rows = [row for row, answered in enumerate(train.answered) if len(answered)]
    targets = [
        np.asarray([number[tags[row][word]] for word in train.answered[row]], dtype=np.int64)
        for row in rows
    ]

    def score(answers: Answers, held: Sequence[int]) -> float:
        gold = [tags[rows[index]] for index in held]
        answered = [train.answered[rows[index]] for index in held]
        said = predicted_tags(answered, gold, answers, known)
        counted = np.asarray([count_spans(*pair) for pair in zip(gold, said, strict=True)])
        columns = dict(zip(("tp", "fp", "fn"), counted.T[:, None], strict=True))
        return float(span_metrics(columns, np.ones((1, len(held))))["span_f1"][0])

    return Problem([train.items[row] for row in rows], targets, score, place)
