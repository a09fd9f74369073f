"""What each task of the evaluation measures, in a sentence for a card."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from markupsafe import Markup

from mbrelease.cards.numbers import count_text, noun_text, real_text, share_text
from mbrelease.cards.scores import Evaluation, Row
from mbrelease.cards.told import Place, Told, derived, listed, phrase
from mbrelease.evaluation.evidence import EvidenceRecord
from mbrelease.registry.tasks import ContrastiveTraining, RetrievalTask, TaskOnTexts

_NOTHING = Markup("")


def task_notes(evaluation: Evaluation, settings: Mapping[str, Place]) -> tuple[Markup, ...]:
    """One sentence a task, in the order of the table. ``settings`` are their places by name."""
    rows: dict[str, Row] = {}
    for row in evaluation.rows:
        rows.setdefault(row.task.name, row)
    return tuple(
        phrase("{}: {}.", row.task.name, _Note(row, settings[row.task.name]).what())
        for row in rows.values()
    )


@dataclass(frozen=True)
class _Note:
    """What there is to say of one task; numbers from its settings and from its record."""

    row: Row
    settings: Place

    def what(self) -> Markup:
        task = self.row.task
        if task.type == "efficiency":
            return phrase(
                "mean over {} runs on {} synthetic documents of each kind, of up to {} and {} "
                "tokens, all as long as that or normal around half of it; tokens a second of "
                "another machine are others",
                self._setting("runs", task.runs),
                self._setting("documents", task.documents),
                self._setting("short", task.short),
                self._setting("long", task.long),
            )
        return phrase("{}; {}", self._of_texts(task), self._cut(task))

    @property
    def _record(self) -> EvidenceRecord:
        return self.row.record

    def _setting(self, name: str, value: float) -> Told:
        """A setting of the task, as the registry has it or by default."""
        at = self.settings.at(name)
        return at.tell(count_text(int(value)) if value == int(value) else real_text(value), value)

    def _fields(self, *names: str) -> list[Markup]:
        """What the task calls these fields of its examples, each one or several."""
        found = []
        for name in names:
            given, at = getattr(self.row.task, name), self.settings.at(name)
            several = (
                [at.tell(given)]
                if isinstance(given, str)
                else [at.at(i).tell(one) for i, one in enumerate(given)]
            )
            found.append(listed(several))
        return found

    def _count(self, name: str) -> Told | None:
        number = self._record.counts.get(name)
        if number is None:
            return None
        return self.row.place.at("counts", name).tell(count_text(number), number)

    def _of_texts(self, task: TaskOnTexts) -> Markup:
        if task.type == "mlm":
            masked = self._count("masked_tokens")
            how_many = phrase("{} masked tokens", masked) if masked else Markup("masked tokens")
            rate = self.settings.at("mask_rate")
            return phrase(
                "{} are predicted, {} of each text being masked",
                how_many,
                rate.tell(share_text(task.mask_rate), task.mask_rate),
            )
        if task.type == "retrieval":
            return self._retrieval(task)
        if task.type == "pair" and task.training is None:
            pattern = (
                f"the cosine of {{}} and {{}} is ranked against {{}} ({_pooling(task.pooling)})"
            )
            return phrase(pattern, *self._fields("first", "second", "target"))
        how = phrase("{}{}", self._seeds(), self._settings())
        if task.type == "token-classification":
            pattern = "a model fine-tuned from this one tags {}, by exact spans of IOB2{}"
            return phrase(pattern, *self._fields("words"), how)
        if task.type == "pair":
            pattern = "a model fine-tuned from this one predicts {} of {} and {}{} "
            pattern += f"({_pooling(task.pooling)})"
            return phrase(pattern, *self._fields("target", "first", "second"), how)
        if task.type == "glue":
            start = " after it was trained on MNLI" if task.data.start_from else ""
            pattern = f"a model fine-tuned from this one{start} does {{}} of GLUE{{}}"
            return phrase(pattern, task.subset, how)
        learner = (
            "a linear probe on the frozen model"
            if task.training is None
            else "a model fine-tuned from this one"
        )
        pattern = f"{learner} predicts {{}}{{}} ({_pooling(task.pooling)})"
        return phrase(pattern, *self._fields("label"), how)

    def _retrieval(self, task: RetrievalTask) -> Markup:
        wanted = "its own {}" if task.data.corpus is None else "the right {}"
        n = self._record.n_examples
        among = self._count("documents") or self.row.place.at("n_examples").tell(count_text(n), n)
        asked = phrase(
            f"each {{}} has to find {wanted} among {{}}, by {_scoring(task)}",
            *self._fields("query", "document"),
            among,
        )
        return self._contrastive(task.training) + asked if task.training else asked

    def _seeds(self) -> Markup:
        n = len(self._record.experiments)
        if not n:
            return _NOTHING
        at = self.row.place.at("scores_per_experiment")
        told = derived(count_text(n), "count", [at.field()], n)
        return phrase(f", mean over {{}} {noun_text(n, 'seed')}", told)

    def _tried(self) -> Told:
        n = len(self._record.tried)
        return derived(count_text(n), "count", [self.row.place.at("tried").field()], n)

    def _settings(self) -> Markup:
        """The settings a model was fine-tuned with, and how they were chosen."""
        chosen = self._record.experiments[0] if self._record.experiments else {}
        if "learning_rate" not in chosen:
            return _NOTHING
        at = self.row.place.at("scores_per_experiment", 0)
        epochs = int(chosen["epochs"])
        text = phrase(
            f", learning rate {{}}, {{}} {noun_text(epochs, 'epoch')}",
            at.at("learning_rate").tell(real_text(chosen["learning_rate"])),
            at.at("epochs").tell(count_text(epochs), epochs),
        )
        if self._record.tried:
            text += phrase(", the best of {} settings on held-out training data", self._tried())
        return text

    def _contrastive(self, training: ContrastiveTraining) -> Markup:
        """How a model was trained before it was asked."""
        at = self.settings.at("training")
        rate = self._record.experiments[0]["learning_rate"]
        where = self.row.place.at("scores_per_experiment", 0, "learning_rate")
        how = phrase("learning rate {}", where.tell(real_text(rate), rate))
        if self._record.tried:
            sets = listed([chosen.name for chosen in training.choose_on])
            how += phrase(", the best of {} on {}", self._tried(), sets or "the dev split")
        return phrase(
            f"after contrastive training on {{}} pairs ({{}} {noun_text(training.steps, 'step')} "
            "of {}, {}) ",
            self._count("pairs") or Markup("all"),
            at.at("steps").tell(count_text(training.steps), training.steps),
            at.at("batch_size").tell(str(training.batch_size), training.batch_size),
            how,
        )

    def _cut(self, task: TaskOnTexts) -> Markup:
        length = self._setting("max_length", task.max_length)
        longer = self._record.counts.get("truncated")
        cut = phrase("texts are cut at {} tokens", length)
        if longer:
            verb = "was" if longer == 1 else "were"
            cut += phrase(f" ({{}} of them {verb} longer)", self._count("truncated") or "")
        return cut


def _scoring(task: RetrievalTask) -> str:
    if task.scoring == "maxsim":
        return "late interaction of token vectors (MaxSim)"
    return f"cosine similarity ({_pooling(task.pooling)})"


def _pooling(pooling: str) -> str:
    return "mean pooling" if pooling == "mean" else "first token"
