"""What a user should not count on: the author's own words, and what follows from the facts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from mbrelease.cards.choice import Choice
from mbrelease.cards.languages import language_name
from mbrelease.cards.looks import Looks
from mbrelease.cards.numbers import count_text, frequency_text, join_words, plural
from mbrelease.cards.scores import Evaluation
from mbrelease.cards.training import Training
from mbrelease.cards.weights import Sizes
from mbrelease.registry.tasks import TrainedTask

# Below this many examples an interval of a rate is wider than ± 0.03 at its middle.
FEW_EXAMPLES = 1000
# A choice that turns out otherwise in most resamples is said to be shaky.
OFTEN = 0.5
# Fewer trainings than this say nothing about how much the seed matters.
FEW_SEEDS = 3


def limitations(
    author: Sequence[str],
    *,
    sizes: Sizes,
    languages: Sequence[str],
    training: Training,
    averaged: bool,
    choice: Choice | None,
    looks: Looks,
    evaluation: Evaluation | None,
) -> tuple[str, ...]:
    """The author's limitations first, then those that follow from the facts."""
    derived = [
        *_context(sizes, training, evaluation),
        *_languages(languages),
        *_average(averaged),
        *_choice(choice, looks),
        *_measurement(choice, evaluation),
        "The model is an encoder: it fills masks and represents text, and does not write text.",
    ]
    return (*author, *derived)


def _context(sizes: Sizes, training: Training, evaluation: Evaluation | None) -> Iterator[str]:
    accepted, trained = sizes.context, training.longest_context
    tasks = [row.task for row in evaluation.rows] if evaluation else []
    measured = max((task.max_length for task in tasks if task.type != "efficiency"), default=0)
    if accepted and trained and trained < accepted:
        yield (
            f"It was trained here on sequences of up to {count_text(trained)} tokens, while its "
            f"configuration accepts {count_text(accepted)}: longer texts are untested ground."
        )
    elif accepted and measured and measured < accepted:
        yield (
            f"Texts were cut at {count_text(measured)} tokens for the evaluation; up to the "
            f"{count_text(accepted)} that the configuration accepts, nothing was measured."
        )


def _languages(languages: Sequence[str]) -> Iterator[str]:
    if not languages or "multilingual" in languages:
        return
    names = join_words([language_name(code) for code in languages])
    yield f"It is meant for {names}. Other languages were not measured."


def _average(averaged: bool) -> Iterator[str]:
    if averaged:
        yield (
            "The weights are an average of checkpoints. No optimizer state belongs to them, so "
            "the original training cannot be resumed from here as if it had never stopped."
        )


def _choice(choice: Choice | None, looks: Looks) -> Iterator[str]:
    """What the decision itself leaves open."""
    if choice is not None and choice.by_points:
        yield (
            "The weights were chosen by reported values alone: without intervals, without tests, "
            "and without a correction for having picked the best."
        )
    elif choice is not None:
        yield from _instability(choice)
        if choice.coarse:
            yield (
                f"On {join_words(choice.coarse)}, {choice.split} has too few examples to find "
                "changes as small as the guardrail allows: a good candidate may have been passed "
                "over."
            )
    if looks.reasons:
        yield (
            "The test split was looked at again, or the policy was changed after a look at it, "
            "for the reasons given above: what is measured there may flatter these weights."
        )


def _instability(choice: Choice) -> Iterator[str]:
    if choice.equals:
        others = plural(len(choice.equals), "other candidate")
        by = (
            "the greatest value was taken, and its lead may be noise"
            if choice.tie_break == "best"
            else f"the policy's tie-break ({choice.tie_break}) chose among them, not the metric"
        )
        yield f"On {choice.primary}, {others} cannot be told from the best either: {by}."
    if choice.p_selected is not None and choice.p_selected < OFTEN:
        yield (
            "The choice may be noise: with the examples drawn again, the rule chooses these "
            f"weights in {frequency_text(choice.p_selected)} of cases."
        )


def _measurement(choice: Choice | None, evaluation: Evaluation | None) -> Iterator[str]:
    if evaluation is None:
        yield "This card holds no measured results."
        return
    if evaluation.reported_where_chosen:
        yield (
            f"The numbers above come from the {evaluation.selection_split} split, which also "
            "chose the weights. The winner of a contest looks a little better there than it is"
            f"{_flattered(choice)}."
        )
    tuned_here = dict.fromkeys(
        row.task.name for row in evaluation.rows if row.record.counts.get("chosen_on_reported")
    )
    if tuned_here:
        yield (
            f"For {join_words(list(tuned_here))}, the learning rate of the training was chosen on "
            "the examples that are reported, so the numbers lean a little upwards."
        )
    few = {row.record.n_examples for row in evaluation.rows if row.record.n_examples < FEW_EXAMPLES}
    if few:
        yield (
            f"Some results rest on few examples ({count_text(min(few))} in the smallest set), so "
            "small differences are within noise; see the intervals."
        )
    seeds = [
        (row.task.trains, len(row.record.experiments))
        for row in evaluation.rows
        if isinstance(row.task, TrainedTask) and row.task.needs_train
    ]
    for trained in dict.fromkeys(what for what, count in seeds if count < FEW_SEEDS):
        ran = "Probes ran" if trained == "a probe" else "Models were fine-tuned"
        yield f"{ran} with fewer than {FEW_SEEDS} seeds: seed variance is not estimated."
    if any(row.task.type == "retrieval" and row.task.training for row in evaluation.rows):
        yield "Models were trained for retrieval with one seed: seed variance is not estimated."


def _flattered(choice: Choice | None) -> str:
    if choice is None or choice.optimism is None:
        return ""
    return f", on {choice.primary} by about {choice.optimism}"
