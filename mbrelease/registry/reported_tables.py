"""Tables of figures that papers and cards report, as a registry lays them out.

The figures themselves stand in ``evidence/reported``; here is which of them stand where.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import ConfigDict, Field, StringConstraints, model_validator
from pydantic.config import JsonDict, JsonValue
from pydantic_core import PydanticCustomError

from mbrelease.registry.entry import REPO_ID, Count, Entry, Name, Size

METRIC = r"^[A-Za-z0-9][A-Za-z0-9._-]*(?:\[[^\[\]]+\])?/[A-Za-z0-9][A-Za-z0-9._@-]*$"
ReportedMetric = Annotated[str, StringConstraints(pattern=METRIC)]
"""``task/metric`` of all of a task, or ``task[subset]/metric`` of a part of it."""

ALL_PARTS = "*"
"""As a subset: every named subset that was reported."""


def _one_of(*cases: tuple[str, str]) -> ConfigDict:
    """For editors, what a validator says: an entry has the first keys of one case, not the others.

    An empty list is as good as none.
    """
    there: JsonDict = {"type": ["array", "object", "string"], "minItems": 1}

    def given(keys: str) -> list[JsonValue]:
        return [{"required": [key], "properties": {key: there}} for key in keys.split()]

    told: list[JsonValue] = [
        {"allOf": given(has), **({"not": {"anyOf": given(lacks)}} if lacks else {})}
        for has, lacks in cases
    ]
    return ConfigDict(json_schema_extra={"oneOf": told})


class Peer(Entry):
    """A model outside the family that tables compare with."""

    title: str
    repo: str | None = Field(default=None, pattern=REPO_ID)
    parameters: Size | None = None
    context: Size | None = None
    """Tokens of the longest input."""
    note: str | None = None
    """What a reader must know of it; it stands under each table that the model is in."""


class Source(Entry):
    """Who says it and where."""

    url: str | None = None
    name: str | None = None
    place: str | None = None
    """Where in it, such as ``Table 10``."""


class DocumentSet(Entry):
    """A set of documents that speed was measured on."""

    title: str
    documents: int = Field(ge=1)
    tokens: int = Field(ge=1)
    """Of all documents together."""
    mean_tokens: Size | None = None
    """Of a document, as are those below."""
    sd_tokens: Count | None = None
    longest_tokens: Size | None = None
    shortest_tokens: Size | None = None
    source: Source | None = None


class Check(Entry):
    """What a reported figure should follow from. The card marks the figures that do not."""

    model_config = _one_of(("mean", "thousand_tokens seconds"), ("thousand_tokens seconds", "mean"))

    mean: list[ReportedMetric] = []
    """The figure is the mean of these; the subset ``[*]`` is every part of a task."""
    thousand_tokens: Name | None = None
    """The figure is the tokens of this document set, in thousands, over ``seconds``."""
    seconds: ReportedMetric | None = None

    @model_validator(mode="after")
    def _of_one_kind(self) -> Check:
        speed = (self.thousand_tokens is not None, self.seconds is not None)
        if speed not in ((True, True), (False, False)) or bool(self.mean) == any(speed):
            message = "says either 'mean', or 'thousand_tokens' and 'seconds'"
            raise PydanticCustomError("check_kind", message)
        return self


class Column(Entry):
    """A figure of each model."""

    model_config = _one_of(("metric", "mean"), ("mean", "metric sd check"))

    label: str
    metric: ReportedMetric | None = None
    """The reported figure."""
    mean: list[ReportedMetric] = []
    """In its stead: the mean of reported figures, computed for the card."""
    sd: ReportedMetric | None = None
    """The standard deviation of ``metric``, as reported; it has one decimal more."""
    check: Check | None = None
    decimals: int | None = Field(default=None, ge=0, le=6)
    """Other than those of the table."""

    @model_validator(mode="after")
    def _one_figure(self) -> Column:
        if (self.metric is None) == (not self.mean):
            message = "says either 'metric' or 'mean'"
            raise PydanticCustomError("column_figure", message)
        if self.metric is None and (self.sd is not None or self.check is not None):
            message = "'sd' and 'check' are of a 'metric', and there is none"
            raise PydanticCustomError("column_computed", message)
        return self


class Change(Entry):
    """A further column: how one model's figures differ from another's."""

    of: Name
    against: Name
    unit: Literal["relative", "points"] = "relative"
    """In percent of the other's figure, or in the unit of the figure."""


class Facts(Entry):
    """What a source states of a model."""

    parameters: Size | None = None
    context: Size | None = None


class Band(Entry):
    """Models under a heading; the best is the best of its band."""

    title: str
    models: list[Name] = Field(min_length=1)


class ReportedTable(Entry):
    """A table of reported figures, or of the statistics of document sets."""

    model_config = _one_of(
        ("models columns", "bands document_sets"),
        ("bands columns", "models document_sets"),
        ("document_sets", "models bands columns"),
    )

    title: str
    group: str | None = None
    """A heading that tables of one kind share, such as ``Retrieval``."""
    section: Literal["evaluation", "efficiency"] = "evaluation"
    """Of the card."""
    models: list[Name] = []
    """Variants and peers, in their order."""
    bands: list[Band] = []
    """In the stead of ``models``."""
    labels: dict[Name, str] = {}
    """What models are called here, where it is not their title."""
    facts: list[Literal["parameters", "context"]] = []
    """Columns from the registry, before the figures."""
    stated: dict[Name, Facts] = {}
    """Where the table that was published states a fact otherwise than the registry."""
    columns: list[Column] = []
    layout: Literal["models", "metrics"] = "models"
    """What stands on the left: models, or metrics with the models across."""
    change: Change | None = None
    """With metrics on the left."""
    document_sets: list[Name] = []
    """In the stead of models and columns: sets whose statistics are shown."""
    split: str | None = None
    """Only figures of this split; needed where a model has several."""
    decimals: int = Field(default=1, ge=0, le=6)
    bold: Literal["best", "within-2-sd", "none"] = "best"
    """``within-2-sd`` is the best and all within two of its standard deviations."""
    note: str | None = None

    @property
    def all_models(self) -> tuple[str, ...]:
        """Every model of the table, each once."""
        listed = [*self.models, *(name for band in self.bands for name in band.models)]
        return tuple(dict.fromkeys(listed))

    @model_validator(mode="after")
    def _one_kind_of_rows(self) -> ReportedTable:
        if [bool(self.models), bool(self.bands), bool(self.document_sets)].count(True) != 1:
            message = "says one of 'models', 'bands' and 'document_sets'"
            raise PydanticCustomError("table_rows", message)
        if bool(self.document_sets) == bool(self.columns):
            message = "has 'columns' with its models, and none with 'document_sets'"
            raise PydanticCustomError("table_columns", message)
        if self.layout == "metrics" and self.facts:
            raise PydanticCustomError("table_layout", "has no 'facts' with the layout 'metrics'")
        if self.layout == "models" and self.change is not None:
            raise PydanticCustomError("table_change", "has 'change' only with 'layout: metrics'")
        return self


def split_reported(metric: str) -> tuple[str, str | None, str]:
    """``glue[cola]/score`` → task, subset (``None``: all of the task) and metric."""
    whole, _, name = metric.rpartition("/")
    task, bracket, subset = whole.partition("[")
    return task, subset.removesuffix("]") if bracket else None, name
