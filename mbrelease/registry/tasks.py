"""The tasks of a suite, as a registry writes them down."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from mbrelease.errors import UserError
from mbrelease.registry.entry import Entry, Name

RetrievalMetric = Annotated[
    str, StringConstraints(pattern=r"^(?:recall@[1-9]\d*|ndcg@[1-9]\d*|mrr)$")
]


class SplitFiles(Entry):
    """Paths of JSONL files, relative to the registry."""

    train: str | None = None
    dev: str
    test: str | None = None

    def path(self, split: str) -> str | None:
        """The file of ``split`` (train, dev or test), if there is one."""
        value = getattr(self, split)
        assert value is None or isinstance(value, str)
        return value


class Task(Entry):
    """What every task has."""

    name: Name
    data: SplitFiles
    max_length: int = Field(default=512, ge=8)
    """Tokens kept of each text."""

    def measures(self, split: str) -> bool:
        """Whether there is something to measure on ``split`` (dev or test)."""
        return self.data.path(split) is not None

    def files(self, split: str) -> dict[str, str]:
        """The data that measuring on ``split`` reads: role → path relative to the registry.

        Raises:
            UserError: the task names no file for a role.
        """
        return {split: self._file(split)}

    def _file(self, split: str) -> str:
        path = self.data.path(split)
        if path is None:
            raise UserError(f"task '{self.name}' names no {split} file", mend=f"add data.{split}")
        return path


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

    def files(self, split: str) -> dict[str, str]:
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
