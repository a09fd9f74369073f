"""What a user should not count on: the author's own words, and what follows from the facts.

A limitation that was derived names the evidence it follows from.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from mbrelease.cards.choice import Choice
from mbrelease.cards.languages import language_name
from mbrelease.cards.looks import Looks
from mbrelease.cards.model_record import Sizes
from mbrelease.cards.numbers import count_text, noun_text
from mbrelease.cards.scores import Evaluation, Row
from mbrelease.cards.told import Place, Told, derived, listed, phrase
from mbrelease.cards.training import Training
from mbrelease.registry.schema import CardText, Corpus, DataSource, IntendedUse
from mbrelease.registry.tasks import TrainedTask

# Below this many examples an interval of a rate is wider than ± 0.03 at its middle.
FEW_EXAMPLES = 1000
# A choice that turns out otherwise in most resamples is said to be shaky.
OFTEN = 0.5
# Fewer trainings than this say nothing about how much the seed matters.
FEW_SEEDS = 3
_ENTRY = re.compile(r"^variants(?:\.[\w@+-]+|\[\"[^\"]*\"\])\.")
# A sentence that names more tasks than this is not read.
_MOST_NAMED = 6


@dataclass(frozen=True)
class Limitation:
    """A sentence, and the evidence it follows from; the author's own have none."""

    sentence: Markup
    evidence: tuple[str, ...] = ()


@dataclass(frozen=True)
class Facts:
    """What the rules look at."""

    text: CardText
    variant: Place
    """The variant's entry in the registry."""
    sizes: Sizes
    context_place: Place
    """Where the context of the configuration stands."""
    languages: Sequence[str]
    languages_place: Place
    """Where they stand: with the variant, or among the defaults."""
    training: Training
    data: Sequence[DataSource]
    corpus: Corpus
    averaged: Place | None
    """Where it is said that the weights are an average, if they are."""
    choice: Choice | None
    looks: Looks
    evaluation: Evaluation | None
    reported_tasks: frozenset[str] = frozenset()
    """Tasks of which others reported results."""
    reported: Sequence[Limitation] = ()
    """What follows from reported results."""

    @property
    def rows(self) -> Sequence[Row]:
        """What was measured."""
        return self.evaluation.rows if self.evaluation else ()


def limitations(facts: Facts) -> tuple[Limitation, ...]:
    """The author's limitations first, then those that follow from the facts."""
    own = facts.variant.at("card", "limitations")
    return (
        *(
            Limitation(phrase("{}", own.at(i).tell(text)))
            for i, text in enumerate(facts.text.limitations)
        ),
        *_context(facts),
        *_languages(facts),
        *_skew(facts),
        *_average(facts),
        *_choice(facts),
        *_no_better(facts),
        *facts.reported,
        *_unmeasured_uses(facts),
        *_measurement(facts),
        Limitation(
            Markup(
                "The model is an encoder: it fills masks and represents text, and does not write "
                "text."
            )
        ),
    )


def _context(facts: Facts) -> Iterator[Limitation]:
    accepted, trained = facts.sizes.context, facts.training.longest_context
    lengths = [(row.task.max_length, row) for row in facts.rows if row.task.type != "efficiency"]
    measured = max((length for length, _ in lengths), default=0)
    if accepted is None:
        return
    whole = facts.context_place.tell(count_text(accepted), accepted)
    if trained and trained < accepted and measured <= trained:
        at = facts.training.longest_context_place
        sentence = phrase(
            "It was trained here on sequences of up to {} tokens, while its configuration accepts "
            "{}: longer texts are untested ground.",
            at.tell(count_text(trained), trained),
            whole,
        )
        yield Limitation(sentence, (_named(at), _named(facts.context_place)))
    elif measured and measured < accepted:
        longest = next(row for length, row in lengths if length == measured)
        # The settings of the task are known by their hash in the record.
        settings = longest.place.at("provenance", "task_sha256").field()
        told = derived(count_text(measured), "max_length of the settings", [settings], measured)
        sentence = phrase(
            "Texts were cut at {} tokens for the evaluation; up to the {} that the configuration "
            "accepts, nothing was measured.",
            told,
            whole,
        )
        yield Limitation(sentence, (_named(longest.place), _named(facts.context_place)))


def _languages(facts: Facts) -> Iterator[Limitation]:
    if not facts.languages or "multilingual" in facts.languages:
        return
    names = listed([language_name(code) for code in facts.languages])
    sentence = phrase("It is meant for {}. Other languages were not measured.", names)
    yield Limitation(sentence, (_named(facts.languages_place),))


def _skew(facts: Facts) -> Iterator[Limitation]:
    for i, source in enumerate(facts.data):
        if source.skew:
            at = facts.variant.at("data", i, "skew")
            name = facts.variant.at("data", i, "name").tell(source.name)
            sentence = phrase("In its data, {}: {}", name, at.tell(source.skew))
            yield Limitation(sentence, (_named(at),))
    if facts.corpus.skew:
        at = facts.variant.at("corpus", "skew")
        sentence = phrase("Its data are not even: {}", at.tell(facts.corpus.skew))
        yield Limitation(sentence, (_named(at),))


def _average(facts: Facts) -> Iterator[Limitation]:
    if facts.averaged is not None:
        sentence = Markup(
            "The weights are an average of checkpoints. No optimizer state belongs to them, so "
            "the original training cannot be resumed from here as if it had never stopped."
        )
        yield Limitation(sentence, (_named(facts.averaged),))


def _choice(facts: Facts) -> Iterator[Limitation]:
    """What the decision itself leaves open."""
    choice = facts.choice
    if choice is not None:
        named = (_named(choice.place),)
        for sentence in _points(choice) if choice.by_points else _instability(choice):
            yield Limitation(sentence, named)
    if facts.looks.reasons:
        sentence = Markup(
            "The test split was looked at again, or the policy was changed after a look at it, "
            "for the reasons given above: what is measured there may flatter these weights."
        )
        yield Limitation(sentence, (facts.looks.file,))


def _points(choice: Choice) -> Iterator[Markup]:
    yield Markup(
        "The weights were chosen by reported values alone: without intervals, without tests, "
        "and without a correction for having picked the best."
    )


def _instability(choice: Choice) -> Iterator[Markup]:
    n = len(choice.equals)
    if n:
        by = (
            "the greatest value was taken, and its lead may be noise"
            if choice.tie_break == "best"
            else f"the policy's tie-break ({choice.tie_break}) chose among them, not the metric"
        )
        tied = derived(count_text(n), "count of tied candidates", [choice.place.field()], n)
        yield phrase(
            f"On {{}}, {{}} other {noun_text(n, 'candidate')} cannot be told from the best either: "
            f"{by}.",
            choice.primary,
            tied,
        )
    if (
        choice.p_selected is not None
        and choice.p_selected_told is not None
        and choice.p_selected < OFTEN
    ):
        yield phrase(
            "The choice may be noise: with the examples drawn again, the rule chooses these "
            "weights in {} of cases.",
            choice.p_selected_told,
        )
    if choice.coarse:
        yield phrase(
            "On {}, {} has too few examples to find changes as small as the guardrail allows: a "
            "good candidate may have been passed over.",
            listed(choice.coarse),
            choice.split,
        )


def _no_better(facts: Facts) -> Iterator[Limitation]:
    """Where it is worse than the model it is held against, or cannot be told from it."""
    evaluation = facts.evaluation
    if evaluation is None or evaluation.baseline is None:
        return
    for verdict, words in (
        ("worse", "It is worse than {} on {}"),
        ("no clear difference", "It cannot be told from {} on {}"),
    ):
        rows = [row for row in evaluation.headlines if row.verdict == verdict]
        if rows:
            shown = [
                phrase(
                    "{} of {} ({} {})",
                    row.metric,
                    row.task.name,
                    row.change_told or "",
                    row.change_interval_told or "",
                )
                for row in rows[:_MOST_NAMED]
            ]
            more = rows[_MOST_NAMED:]
            if more:
                fields = [row.own.origin for row in more[:1]]
                many = derived(count_text(len(more)), "count of further tasks", fields, len(more))
                shown.append(phrase(f"{{}} other {noun_text(len(more), 'task')}", many))
            sentence = phrase(f"{words}.", evaluation.baseline, listed(shown))
            named = dict.fromkeys(_named(row.place) for row in rows[:_MOST_NAMED])
            yield Limitation(sentence, tuple(named))


def _unmeasured_uses(facts: Facts) -> Iterator[Limitation]:
    """Uses that the author declares, of whose tasks there is no result."""
    known = {row.task.name for row in facts.rows} | facts.reported_tasks
    for i, use in enumerate(facts.text.intended_use):
        if isinstance(use, IntendedUse) and not known & set(use.measured_by):
            at = facts.variant.at("card", "intended_use", i)
            what = at.at("use").tell(use.use)
            sentence = phrase("No evaluation stands behind a declared use: {}.", what)
            yield Limitation(sentence, (_named(at),))


def _measurement(facts: Facts) -> Iterator[Limitation]:
    evaluation, choice = facts.evaluation, facts.choice
    if evaluation is None:
        if not facts.reported_tasks:
            yield Limitation(Markup("This card holds no measured results."))
        else:
            yield Limitation(
                Markup(
                    "The results on this card were reported by others and not measured again here."
                )
            )
        return
    if evaluation.reported_where_chosen:
        flattered: str = Markup("")
        if choice is not None and choice.optimism is not None:
            flattered = phrase(", on {} by about {}", choice.primary, choice.optimism)
        sentence = phrase(
            "The numbers above come from the {} split, which also chose the weights. The winner "
            "of a contest looks a little better there than it is{}.",
            evaluation.selection_split or "",
            flattered,
        )
        yield Limitation(sentence, (_named(choice.place),) if choice else ())
    yield from _tuned(evaluation)
    yield from _few_examples(evaluation)
    yield from _few_seeds(evaluation)


def _tuned(evaluation: Evaluation) -> Iterator[Limitation]:
    rows = [row for row in evaluation.rows if row.record.counts.get("chosen_on_reported")]
    if rows:
        sentence = phrase(
            "For {}, the learning rate of the training was chosen on the examples that are "
            "reported, so the numbers lean a little upwards.",
            listed(list(dict.fromkeys(row.task.name for row in rows))),
        )
        yield Limitation(sentence, tuple(dict.fromkeys(_named(row.place) for row in rows)))


def _few_examples(evaluation: Evaluation) -> Iterator[Limitation]:
    few = [row for row in evaluation.rows if row.record.n_examples < FEW_EXAMPLES]
    if few:
        fewest = min(few, key=lambda row: row.record.n_examples)
        n = fewest.record.n_examples
        sentence = phrase(
            "Some results rest on few examples ({} in the smallest set), so small differences are "
            "within noise; see the intervals.",
            fewest.place.at("n_examples").tell(count_text(n), n),
        )
        yield Limitation(sentence, (_named(fewest.place),))


def _few_seeds(evaluation: Evaluation) -> Iterator[Limitation]:
    found: dict[str, Limitation] = {}
    for row in evaluation.rows:
        task, seeds = row.task, len(row.record.experiments)
        if isinstance(task, TrainedTask) and task.needs_train and seeds < FEW_SEEDS:
            ran = "Probes ran" if task.trains == "a probe" else "Models were fine-tuned"
        elif task.type == "retrieval" and task.training:
            ran, seeds = "Models were trained for retrieval", 1
        else:
            continue
        at = row.place.at("scores_per_experiment")
        many = derived(count_text(seeds), "count", [at.field()], seeds)
        sentence = phrase(
            f"{ran} with {{}} {noun_text(seeds, 'seed')}: how much the seed matters is not known.",
            many,
        )
        found.setdefault(ran, Limitation(sentence, (_named(row.place),)))
    yield from found.values()


def _named(place: Place) -> Told:
    """A record as a reader looks it up: the file, and where in it."""
    # The card says whose entry it is, and eight digits find a record.
    path = re.sub(r"(key=[0-9a-f]{8})[0-9a-f]+", r"\1…", _ENTRY.sub("", place.path))
    text = f"{place.file}: {path}" if path else place.file
    return derived(text, "name of the record", [place.field()])
