"""The tasks of a suite, as a registry writes them down."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field, StringConstraints, model_validator
from pydantic_core import PydanticCustomError

from mbrelease.errors import UserError
from mbrelease.registry.entry import Entry, Name

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


class SplitFiles(Entry):
    """JSONL or Parquet files, relative to the registry; or, with ``dataset``, names of splits."""

    dataset: str | None = None
    """A dataset on the Hub (``org/name``) or a folder, loaded with the ``datasets`` library."""
    config: str | None = None
    """The configuration of ``dataset``."""
    revision: str | None = None
    """The commit of ``dataset`` on the Hub; without it the newest."""
    train: str | None = None
    dev: str
    test: str | None = None

    @model_validator(mode="after")
    def _of_a_dataset(self) -> SplitFiles:
        if self.dataset is None and (self.config is not None or self.revision is not None):
            message = "'config' and 'revision' are of a 'dataset', and there is none"
            raise PydanticCustomError("dataset_missing", message)
        return self

    def path(self, split: str) -> str | None:
        """The file, or the name in ``dataset``, of ``split`` (train, dev or test), if any."""
        value = getattr(self, split)
        assert value is None or isinstance(value, str)
        return value

    def name(self, split: str) -> DataName | None:
        """What the rows of ``split`` are found by."""
        path = self.path(split)
        if path is None or self.dataset is None:
            return path
        return DatasetSplit(self.dataset, path, self.config, self.revision)


class Task(Entry):
    """What every task has."""

    name: Name
    data: SplitFiles
    max_length: int = Field(default=512, ge=8)
    """Tokens kept of each text."""

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


class RetrievalTask(Task):
    """Find a document by its query among all documents of the split."""

    type: Literal["retrieval"]
    query: str = "title"
    document: str = "text"
    pooling: Literal["cls", "mean"] = "mean"
    metrics: list[RetrievalMetric] = Field(
        default=["recall@1", "recall@5", "mrr", "ndcg@10"], min_length=1
    )
    """``recall@K``, ``mrr`` and ``ndcg@K``; the first is the main one."""

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


class ClassificationTask(Task):
    """A linear probe on frozen embeddings."""

    type: Literal["classification"]
    text: list[str] | str = "text"
    label: str = "label"
    pooling: Literal["cls", "mean"] = "mean"
    seeds: list[Annotated[int, Field(ge=0)]] = Field(default=[0, 1, 2, 3, 4], min_length=1)

    def files(self, split: str) -> dict[str, DataName]:
        """The train file too: a head is trained on it."""
        return {"train": self._file("train"), split: self._file(split)}

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


AnyTask = Annotated[MlmTask | RetrievalTask | ClassificationTask, Field(discriminator="type")]
