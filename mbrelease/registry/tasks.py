"""The tasks of a suite, as a registry writes them down."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, StringConstraints, model_validator
from pydantic_core import PydanticCustomError

from mbrelease.errors import UserError
from mbrelease.registry.entry import Entry, Name

Seed = Annotated[int, Field(ge=0)]
ENOUGH_SEEDS = 5
"""Of a task that trains: from fewer than this the spread between seeds is hardly known."""


def _no_seed_twice(seeds: list[int]) -> list[int]:
    """The same seed trains the same head: it would be counted as if it said something new."""
    if twice := [seed for seed in seeds if seeds.count(seed) > 1]:
        raise PydanticCustomError("seed_twice", f"{twice[0]} is given twice")
    return seeds


Seeds = Annotated[
    list[Seed],
    Field(min_length=1, json_schema_extra={"uniqueItems": True}),
    AfterValidator(_no_seed_twice),
]
Pooling = Literal["cls", "mean"]
LearningRate = Annotated[float, Field(gt=0, lt=1)]
WeightDecay = Annotated[float, Field(ge=0, lt=1)]
Epochs = Annotated[int, Field(ge=1)]
RetrievalMetric = Annotated[
    str, StringConstraints(pattern=r"^(?:recall@[1-9]\d*|ndcg@[1-9]\d*|mrr)$")
]


@dataclass(frozen=True)
class DatasetSplit:
    """A split of a dataset on the Hub or in a folder, as the ``datasets`` library names it."""

    dataset: str
    """``org/name``, or the path of a folder."""
    split: str
    config: str | None = None
    revision: str | None = None

    def __str__(self) -> str:
        config = f" ({self.config})" if self.config else ""
        revision = f" at {self.revision}" if self.revision else ""
        return f"{self.dataset}{config}{revision}, split {self.split}"


DataName = str | DatasetSplit
"""A file by its path relative to the registry, or a split of a dataset by name."""


class DataPlace(Entry):
    """Where data are: beside the registry, or in a dataset that has a name."""

    dataset: str | None = None
    """A dataset on the Hub (``org/name``) or a folder, loaded with the ``datasets`` library."""
    config: str | None = None
    """The configuration of ``dataset``."""
    revision: str | None = None
    """The commit of ``dataset`` on the Hub; without it the newest."""

    @model_validator(mode="after")
    def _of_a_dataset(self) -> DataPlace:
        if self.dataset is None and (self.config is not None or self.revision is not None):
            message = "'config' and 'revision' are of a 'dataset', and there is none"
            raise PydanticCustomError("dataset_missing", message)
        return self

    def named(self, name: str) -> DataName:
        """What is found by ``name``: a file, or a split of ``dataset``."""
        if self.dataset is None:
            return name
        return DatasetSplit(self.dataset, name, self.config, self.revision)


class SplitFiles(DataPlace):
    """JSONL or Parquet files, relative to the registry; or, with ``dataset``, names of splits."""

    train: str | None = None
    dev: str
    test: str | None = None

    def path(self, split: str) -> str | None:
        """The file, or the name in ``dataset``, of ``split`` (train, dev or test), if any."""
        value = getattr(self, split)
        assert value is None or isinstance(value, str)
        return value

    def name(self, split: str) -> DataName | None:
        """What the rows of ``split`` are found by."""
        path = self.path(split)
        return None if path is None else self.named(path)


class Benchmark(Entry):
    """What the Hub calls a task, where its data are a benchmark there: a leaderboard lists the
    result, see https://huggingface.co/docs/hub/eval-results."""

    id: str = Field(pattern=r"^[\w-]+/[\w.-]+$")
    """Of the dataset: ``org/name``."""
    task_id: str = Field(min_length=1)
    """As the dataset's ``eval.yaml`` names it."""
    revision: str | None = None
    """The commit of the dataset."""


class Task(Entry):
    """What every task has."""

    name: Name
    data: SplitFiles
    max_length: int = Field(default=512, ge=8)
    """Tokens kept of each text."""
    cluster: str | None = None
    """The field of an example by which some belong together, such as the document that several
    queries are about. Intervals and tests draw whole clusters then."""
    benchmark: Benchmark | None = None
    """The benchmark of the Hub that it is; its result is written to ``.eval_results``. It changes
    nothing about what is measured."""

    def measures(self, split: str) -> bool:
        """Whether there is something to measure on ``split`` (dev or test)."""
        return self.data.path(split) is not None

    def files(self, split: str) -> dict[str, DataName]:
        """The data that measuring on ``split`` reads, by role.

        Raises:
            UserError: the task names no data for a role.
        """
        return {split: self._file(split)}

    def _file(self, split: str) -> DataName:
        name = self.data.name(split)
        if name is None:
            raise UserError(f"task '{self.name}' names no {split} file", mend=f"add data.{split}")
        return name


class MlmTask(Task):
    """Masked language modelling on held-out text."""

    type: Literal["mlm"]
    text: list[str] | str = "text"
    """The field, or the fields joined by a newline."""
    mask_rate: float = Field(default=0.3, gt=0, lt=1)
    seed: int = 0

    @property
    def main_metric(self) -> str:
        """The metric a table shows first."""
        return "loss"

    @property
    def shown_metrics(self) -> list[str]:
        """The metrics a table shows, in order."""
        return ["loss", "accuracy"]

    @property
    def known_metrics(self) -> list[str]:
        """The metrics a policy may name."""
        return ["loss", "accuracy", "perplexity", "bits_per_byte"]


class CorpusData(DataPlace):
    """A JSONL or Parquet file, relative to the registry; or, with ``dataset``, a split's name."""

    documents: str

    @property
    def name(self) -> DataName:
        """What the rows are found by."""
        return self.named(self.documents)


def _refuse_gold_without_corpus(corpus: CorpusData | None, gold: str) -> None:
    if corpus is None and gold != "gold":
        message = "'gold' names documents of 'data.corpus', and there is none"
        raise PydanticCustomError("corpus_missing", message)


class RetrievalFiles(SplitFiles):
    """The queries, and the documents where they have rows of their own."""

    corpus: CorpusData | None = None
    """The documents, each with an ``id``. Left out, each row is a query and its one document."""


class TrainData(DataPlace):
    """A JSONL or Parquet file, relative to the registry; or, with ``dataset``, a split's name."""

    train: str

    @property
    def name(self) -> DataName:
        """What the rows are found by."""
        return self.named(self.train)


class ChoiceFiles(DataPlace):
    """The queries of a set to choose on, and its documents where they have rows of their own."""

    queries: str
    """JSONL or Parquet, relative to the registry; or, with ``dataset``, the name of a split."""
    corpus: CorpusData | None = None
    """The documents, each with an ``id``. Left out, each row is a query and its one document."""


class ChoiceSet(Entry):
    """Queries that a learning rate is chosen on; asked and scored as the task is."""

    name: Name
    data: ChoiceFiles
    query: str = "title"
    """The field of the query."""
    document: list[str] | str = "text"
    """The field of the document, or the fields joined by a newline."""
    gold: str = "gold"
    """The field of a query with the id, or the list of ids, of its documents in ``data.corpus``."""

    @model_validator(mode="after")
    def _settings_are_used(self) -> ChoiceSet:
        _refuse_gold_without_corpus(self.data.corpus, self.gold)
        return self

    @property
    def queries_role(self) -> str:
        """What ``files`` of a task calls its queries."""
        return f"choose on {self.name}"

    @property
    def corpus_role(self) -> str:
        """What ``files`` of a task calls its documents."""
        return f"choose on {self.name}, corpus"

    def files(self) -> dict[str, DataName]:
        """Its data, by role."""
        corpus = self.data.corpus
        queries = {self.queries_role: self.data.named(self.data.queries)}
        return {**queries, **({self.corpus_role: corpus.name} if corpus else {})}


class ContrastiveTraining(Entry):
    """A fixed budget of contrastive training before a model is asked to retrieve.

    The learning rate is swept; the one with the best mean over the sets ``choose_on`` counts, as
    for BEIR in ModernBERT's paper (E.2 and Table 9).
    """

    pairs: TrainData
    """Queries, each with a document that is right for it."""
    query: str = "query"
    """The field of the query."""
    positive: list[str] | str = "positive"
    """The field of the right document, or the fields joined by a newline."""
    negative: str | None = None
    """The field of a wrong document, or of a list of them, as many in each row; left out, only the
    other documents of a batch are wrong."""
    learning_rates: list[LearningRate] = Field(
        default=[1e-5, 2e-5, 3e-5, 5e-5, 8e-5, 1e-4], min_length=1
    )
    """Each is tried, by the task's main metric."""
    choose_on: list[ChoiceSet] = []
    """Sets whose mean chooses the learning rate; left out, the task's own dev split does."""
    steps: int = Field(default=1000, ge=2)
    batch_size: int = Field(default=16, ge=2)
    """Pairs of a step. No text is twice among them."""
    warmup: float = Field(default=0.05, ge=0, lt=1)
    """The share of the steps in which the learning rate rises."""
    seed: Seed = 0

    @model_validator(mode="after")
    def _sets_are_used(self) -> ContrastiveTraining:
        names = [chosen.name for chosen in self.choose_on]
        twice = [name for name in names if names.count(name) > 1]
        if twice:
            message = f"the set '{twice[0]}' is given twice in 'choose_on'"
            raise PydanticCustomError("set_twice", message)
        if names and not self.searches:
            message = "'choose_on' chooses a learning rate, and there is only one"
            raise PydanticCustomError("nothing_to_choose", message)
        return self

    @property
    def searches(self) -> bool:
        """Whether there is a learning rate to choose."""
        return len(self.learning_rates) > 1


class RetrievalTask(Task):
    """Find the documents of a query among all documents."""

    type: Literal["retrieval"]
    data: RetrievalFiles
    query: str = "title"
    """The field of the query."""
    document: list[str] | str = "text"
    """The field of the document, or the fields joined by a newline."""
    gold: str = "gold"
    """The field of a query with the id, or the list of ids, of its documents in ``data.corpus``."""
    pooling: Pooling = "mean"
    scoring: Literal["cosine", "maxsim"] = "cosine"
    """One vector a text and their cosine, or ColBERT's late interaction of all token vectors."""
    query_prompt: str = ""
    """Put before each query as it is."""
    document_prompt: str = ""
    """Put before each document as it is."""
    training: ContrastiveTraining | None = None
    """Left out, the model is asked as it is (zero-shot)."""
    metrics: list[RetrievalMetric] = Field(
        default=["recall@1", "recall@5", "mrr", "ndcg@10"], min_length=1
    )
    """``recall@K``, ``mrr`` and ``ndcg@K``; the first is the main one."""

    @model_validator(mode="after")
    def _settings_are_used(self) -> RetrievalTask:
        _refuse_gold_without_corpus(self.data.corpus, self.gold)
        if self.scoring == "maxsim" and self.pooling != "mean":
            message = "'pooling' has no part in 'scoring: maxsim', which takes every token"
            raise PydanticCustomError("pooling_unused", message)
        return self

    def files(self, split: str) -> dict[str, DataName]:
        """The corpus too, and what a model is trained and its learning rate is chosen on."""
        corpus, training = self.data.corpus, self.training
        found = {**super().files(split), **({"corpus": corpus.name} if corpus else {})}
        if training is None:
            return found
        found["pairs"] = training.pairs.name
        for chosen in training.choose_on:
            found |= chosen.files()
        if training.searches and not training.choose_on:
            found["dev"] = self._file("dev")
        return found

    @property
    def main_metric(self) -> str:
        """The metric a table shows first."""
        return self.metrics[0]

    @property
    def shown_metrics(self) -> list[str]:
        """The metrics a table shows, in order."""
        return self.metrics

    @property
    def known_metrics(self) -> list[str]:
        """The metrics a policy may name."""
        return self.metrics


class FineTuning(Entry):
    """How a model is fine-tuned. Several values of a setting are a grid, searched on train."""

    learning_rates: list[LearningRate] = Field(default=[5e-5], min_length=1)
    """Every combination of settings is tried with the first seed on a part of train that is held
    out; the best is run with every seed."""
    weight_decays: list[WeightDecay] = Field(default=[5e-6], min_length=1)
    """The share of a weight that a step at the largest learning rate takes away (what AdamW of
    PyTorch calls weight decay is this, divided by the learning rate)."""
    epochs: list[Epochs] = Field(default=[3], min_length=1)
    batch_size: int = Field(default=32, ge=1)
    warmup: float = Field(default=0.06, ge=0, lt=1)
    """The share of the steps in which the learning rate rises."""
    patience: int | None = Field(default=None, ge=1)
    """Epochs without progress on the held-out part after which a run stops; the best epoch
    counts. Left out, every epoch is run and the last counts."""


class TrainedTask(Task):
    """What every task has that trains a head."""

    seeds: Seeds = [0, 1, 2, 3, 4]
    """One training each; a result is the mean."""

    @property
    def needs_train(self) -> bool:
        """Whether ``data.train`` is read."""
        return True

    @property
    def trains(self) -> str:
        """What is trained, for messages."""
        return "a model"

    def files(self, split: str) -> dict[str, DataName]:
        """The train data too, where a head is trained on them."""
        train = {"train": self._file("train")} if self.needs_train else {}
        return {**train, split: self._file(split)}


class ClassificationTask(TrainedTask):
    """A label for each text: by a linear probe on frozen embeddings, or by fine-tuning."""

    type: Literal["classification"]
    text: list[str] | str = "text"
    label: str = "label"
    pooling: Pooling = "mean"
    training: FineTuning | None = None
    """Left out, a linear probe on frozen embeddings is trained."""

    @property
    def trains(self) -> str:
        """What is trained, for messages."""
        return "a probe" if self.training is None else "a model"

    @property
    def main_metric(self) -> str:
        """The metric a table shows first."""
        return "macro_f1"

    @property
    def shown_metrics(self) -> list[str]:
        """The metrics a table shows, in order."""
        return ["macro_f1", "accuracy"]

    @property
    def known_metrics(self) -> list[str]:
        """The metrics a policy may name."""
        return ["macro_f1", "accuracy"]


class TokenClassificationTask(TrainedTask):
    """A tag for each word, such as named entities, by fine-tuning."""

    type: Literal["token-classification"]
    words: str = "words"
    """The field with the list of words."""
    tags: str = "tags"
    """The field with the list of tags, one a word: ``O``, ``B-…`` or ``I-…`` (IOB2)."""
    training: FineTuning = FineTuning()

    @property
    def main_metric(self) -> str:
        """The metric a table shows first."""
        return "span_f1"

    @property
    def shown_metrics(self) -> list[str]:
        """The metrics a table shows, in order."""
        return ["span_f1"]

    @property
    def known_metrics(self) -> list[str]:
        """The metrics a policy may name."""
        return ["span_f1", "span_precision", "span_recall"]


class PairTask(TrainedTask):
    """Two texts: how similar they are (``similarity``), or which label they have (``label``)."""

    type: Literal["pair"]
    kind: Literal["similarity", "label"]
    first: str = "sentence1"
    second: str = "sentence2"
    target: str = "label"
    """The field of the similarity, a number, or of the label."""
    positive: str | None = None
    """The label whose F1 counts; left out, the mean F1 over the labels (macro)."""
    pooling: Pooling = "mean"
    training: FineTuning | None = None
    """Left out, similarity is the cosine of the embeddings; labels need it."""

    @model_validator(mode="after")
    def _settings_fit_the_kind(self) -> PairTask:
        if self.kind == "label" and self.training is None:
            message = "a pair task of kind 'label' is fine-tuned and needs 'training'"
            raise PydanticCustomError("training_missing", message)
        if self.kind == "similarity" and self.positive is not None:
            message = "'positive' names a label, and a similarity has none"
            raise PydanticCustomError("positive_without_label", message)
        return self

    @property
    def needs_train(self) -> bool:
        """Whether a head is trained."""
        return self.training is not None

    @property
    def main_metric(self) -> str:
        """The metric a table shows first."""
        return "spearman" if self.kind == "similarity" else "accuracy"

    @property
    def shown_metrics(self) -> list[str]:
        """The metrics a table shows, in order."""
        return ["spearman"] if self.kind == "similarity" else ["accuracy", "f1"]

    @property
    def known_metrics(self) -> list[str]:
        """The metrics a policy may name."""
        return ["spearman", "pearson"] if self.kind == "similarity" else ["accuracy", "f1"]


class GlueFiles(SplitFiles):
    """The data of a subset of GLUE, and those of MNLI where training starts from it."""

    start_from: TrainData | None = None
    """MNLI's train data. A model is trained on them first, and this subset goes on from it with a
    head of its own."""


GlueSubset = Literal["cola", "sst2", "mrpc", "stsb", "qqp", "mnli", "qnli", "rte"]
_SHORT, _LONG = [1, 2, 3], [2, 5, 10]
# The paper, appendix E.1: epochs by subset; batch sizes of the authors' fine-tuning jobs.
GLUE_EPOCHS: dict[GlueSubset, list[int]] = {
    "cola": _LONG, "sst2": _SHORT, "mrpc": _LONG, "stsb": _LONG,
    "qqp": _LONG, "mnli": _SHORT, "qnli": _LONG, "rte": _SHORT,
}  # fmt: skip
GLUE_BATCH: dict[GlueSubset, int] = {
    "cola": 32, "sst2": 16, "mrpc": 32, "stsb": 32, "qqp": 16, "mnli": 64, "qnli": 16, "rte": 16,
}  # fmt: skip
GLUE_LEARNING_RATES = [1e-5, 3e-5, 5e-5, 8e-5]
GLUE_WEIGHT_DECAYS = [1e-6, 5e-6, 8e-6, 1e-5]


class GlueTask(TrainedTask):
    """One subset of GLUE, fine-tuned by the search of ModernBERT's paper (appendix E.1).

    Rows have GLUE's own fields. The paper's ``rte``, ``mrpc`` and ``stsb`` start from a model
    trained on MNLI: name its data in ``data.start_from``.
    """

    type: Literal["glue"]
    subset: GlueSubset
    data: GlueFiles
    max_length: int = Field(default=256, ge=8)
    """Tokens kept of each pair."""
    training: FineTuning | None = None
    """Left out, the paper's grid for the subset, 48 points."""
    start_training: FineTuning = FineTuning(batch_size=64, epochs=[1])
    """How the model to start from is trained on MNLI: at the paper's choice for base (Table 6)."""

    @property
    def search(self) -> FineTuning:
        """The settings that are tried."""
        return self.training or FineTuning(
            learning_rates=GLUE_LEARNING_RATES,
            weight_decays=GLUE_WEIGHT_DECAYS,
            epochs=GLUE_EPOCHS[self.subset],
            batch_size=GLUE_BATCH[self.subset],
            patience=2,
        )

    def files(self, split: str) -> dict[str, DataName]:
        """The train data too, and MNLI's where training starts from it."""
        start = self.data.start_from
        return {**super().files(split), **({"start_from": start.name} if start else {})}

    @property
    def main_metric(self) -> str:
        """The metric a table shows first: the one of the paper's Table 5."""
        return {"cola": "matthews", "stsb": "spearman"}.get(self.subset, "accuracy")

    @property
    def shown_metrics(self) -> list[str]:
        """The metrics a table shows, in order."""
        return self.known_metrics

    @property
    def known_metrics(self) -> list[str]:
        """The metrics a policy may name: GLUE's own of the subset."""
        known = {
            "cola": ["matthews"],
            "stsb": ["spearman", "pearson"],
            "mrpc": ["accuracy", "f1"],
            "qqp": ["accuracy", "f1"],
        }
        return known.get(self.subset, ["accuracy"])


SHORTEST_DOCUMENT = 8
"""Tokens that a synthetic document has at least."""


class EfficiencyTask(Entry):
    """Tokens a second, and on a GPU the largest batch, as in ModernBERT's paper (Tables 2 and 11).

    Four synthetic sets, so there are no data: every document has ``short`` or ``long`` tokens, or a
    number that is normal around half of that.
    """

    name: Name
    type: Literal["efficiency"]
    documents: int = Field(default=8192, ge=1)
    """Of each set."""
    short: int = Field(default=512, ge=2 * SHORTEST_DOCUMENT)
    long: int = Field(default=8192, ge=2 * SHORTEST_DOCUMENT)
    runs: int = Field(default=10, ge=2)
    """Of each set; a result is the mean, and there is its standard deviation."""
    seed: Seed = 0

    def measures(self, split: str) -> bool:
        """On dev, for want of any split."""
        return split == "dev"

    def files(self, split: str) -> dict[str, DataName]:
        """None: the documents are drawn."""
        return {}

    @property
    def sets(self) -> list[str]:
        """The names of the synthetic sets."""
        return ["short_fixed", "short_variable", "long_fixed", "long_variable"]

    @property
    def main_metric(self) -> str:
        """The metric a table shows first."""
        return "short_variable_tokens_per_second"

    @property
    def shown_metrics(self) -> list[str]:
        """The metrics a table shows, in order."""
        return [f"{name}_tokens_per_second" for name in self.sets]

    @property
    def known_metrics(self) -> list[str]:
        """The metrics a policy may name."""
        return self.shown_metrics


TaskOnTexts = (
    MlmTask | RetrievalTask | ClassificationTask | TokenClassificationTask | PairTask | GlueTask
)
AnyTask = Annotated[TaskOnTexts | EfficiencyTask, Field(discriminator="type")]
