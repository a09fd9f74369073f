"""What a registry may say: the one definition behind validation and the editors' JSON Schema."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field
from pydantic_core import PydanticKnownError

from mbrelease.registry.entry import REPO_ID as REPO_ID
from mbrelease.registry.entry import Amount, Count, Entry, Name, Positive, Size, Text
from mbrelease.registry.reported_tables import DocumentSet, Peer, ReportedTable
from mbrelease.registry.tasks import AnyTask

Relation = Literal[
    "continued-pretraining",
    "fine-tuning",
    "averaging",
    "merging",
    "distillation",
    "quantization",
    "adapter",
    "context-extension",
    "weight-initialization",
]

# The Hub knows four relations; it guesses (wrongly, at times) when none is written.
HUB_RELATION: dict[str, str] = {
    "continued-pretraining": "finetune",
    "fine-tuning": "finetune",
    "averaging": "finetune",
    "merging": "merge",
    "distillation": "finetune",
    "quantization": "quantized",
    "adapter": "adapter",
    "context-extension": "finetune",
    "weight-initialization": "finetune",
}


def _no_truth(value: Any) -> Any:
    """``true`` is no version, though Python takes it for 1."""
    if isinstance(value, bool):
        raise PydanticKnownError("literal_error", {"expected": "1"})
    return value


class Guardrail(Entry):
    """A metric that may not get worse than the reference by more than a margin."""

    metric: str
    """``task/metric``, such as ``heldout-mlm/loss``."""
    margin: float = Field(ge=0)
    """In the metric's own unit; always a positive number, whichever direction is better."""


class Policy(Entry):
    """How one candidate is chosen, written down before anything is measured."""

    primary: str
    """``task/metric``, such as ``title-abstract/recall@1``."""
    guardrails: list[Guardrail] = []
    reference: str
    """The variant that candidates are compared with."""
    alpha: float = Field(default=0.05, gt=0, lt=0.5)
    """How often at most the guardrails, and the primary metric, may err; one-sided."""
    resamples: int = Field(default=10_000, ge=1_000, le=1_000_000)
    """Of the bootstrap."""
    seed: int = Field(default=0, ge=0)
    """Of the bootstrap."""
    tie_break: Literal["earliest", "latest", "fewest-parents", "best"] = "earliest"
    """Which candidate, of those that cannot be told from the best; ``best`` takes the best value
    though the lead may be chance."""


class Parent(Entry):
    """Where a variant comes from."""

    variant: str
    relation: Relation


class Candidates(Entry):
    """What may be chosen: checkpoints of the run and averages of them."""

    checkpoints: Literal["all"] | list[Count] = "all"
    averages: list[str] = []
    """Recipes, such as ``best:3+last``."""


class Chosen(Entry):
    """How the released weights were chosen, where no decision file says so."""

    checkpoint: Count | None = None
    """The step of the chosen checkpoint."""
    recipe: str | None = None
    """The recipe of the chosen average, such as ``best:3+last``."""
    note: str | None = None


class Phase(Entry):
    """One phase of training."""

    name: str
    objective: str | None = None
    mask_rate: float | None = Field(default=None, gt=0, lt=1)
    tokens: Count | None = None
    context: Size | None = None
    steps: Count | None = None
    learning_rate: Amount | list[Amount] | None = None
    """The peak; several where it was changed by hand within the phase."""
    schedule: str | None = None
    warmup_tokens: Count | None = None
    """Tokens over which the learning rate rises."""
    decay_tokens: Count | None = None
    """Tokens over which the learning rate falls."""
    weight_decay: Amount | list[Amount] | None = None
    batch_size: str | None = None
    """In sequences, unless it says otherwise."""
    rope_theta: Positive | None = None
    """Of the global attention layers."""
    hours: Amount | None = None
    """Wall time, all told."""
    training_hours: Amount | None = None
    """Wall time without evaluation and the like."""
    note: str | None = None


class Emissions(Entry):
    """What the training emitted."""

    co2_grams: Amount
    source: str | None = None
    """How it was measured or estimated, and by whom."""
    location: str | None = None
    hardware: str | None = None


class Training(Entry):
    """Facts about the training; every field may be left out."""

    objective: str | None = None
    mask_rate: float | None = Field(default=None, gt=0, lt=1)
    tokens: Count | None = None
    """Tokens seen, repetitions counted."""
    context: Size | None = None
    """Tokens of the longest training sequence."""
    steps: Count | None = None
    hardware: str | None = None
    framework: str | None = None
    software: list[str] = []
    """Names with versions, such as ``PyTorch 2.4.0``."""
    precision: str | None = None
    initialization: str | None = None
    """Where the first weights came from."""
    optimizer: str | None = None
    betas: list[float] | None = None
    epsilon: Positive | None = None
    learning_rate: Amount | None = None
    schedule: str | None = None
    batch_size: str | None = None
    dropout: str | None = None
    phases: list[Phase] = []
    emissions: Emissions | None = None
    note: str | None = None


class DataSource(Entry):
    """A data set the variant was trained on."""

    name: str
    hub_id: str | None = None
    license: str | None = None
    documents: Count | None = None
    tokens: Count | None = None
    proportion: float | None = Field(default=None, ge=0, le=1)
    """Its share of the mix, from 0 to 1."""
    description: str | None = None
    skew: str | None = None
    """What it has too much of, as a sentence; the card's limitations say it."""


class Corpus(Entry):
    """The training data as a whole, after filtering."""

    documents: Count | None = None
    tokens: Count | None = None
    median_tokens: Size | None = None
    """Of a document."""
    p95_tokens: Size | None = None
    """Nineteen of twenty documents are no longer than this."""
    years: str | None = None
    """Of publication, such as ``2015–2024``."""
    licenses: str | None = None
    deduplication: str | None = None
    skew: str | None = None
    """What it has too much of, as a sentence; the card's limitations say it."""
    note: str | None = None


class IntendedUse(Entry):
    """A use, and the tasks by which it was measured."""

    use: str
    measured_by: list[str] = []
    """Tasks of the variant's suite or of its tables."""


class CardText(Entry):
    """The author's own words on the card, and what the author wants on it."""

    title: str | None = None
    summary: str | None = None
    intended_use: list[str | IntendedUse] = []
    limitations: list[str] = []
    citation: str | None = None
    related: list[str] = []
    """Variants of this registry, or repo ids."""
    tags: list[str] = []
    tables: list[str] = []
    """Tables of reported figures, in their order."""
    design_beside: list[str] = []
    """Variants whose architecture stands beside this one's in the table of the design."""

    @property
    def uses(self) -> tuple[IntendedUse, ...]:
        """``intended_use`` in one form."""
        given = self.intended_use
        return tuple(IntendedUse(use=use) if isinstance(use, str) else use for use in given)


class Architecture(Entry):
    """The design of a variant whose config is not on disk."""

    parameters: Size | None = None
    layers: Size | None = None
    hidden_size: Size | None = None
    attention_heads: Size | None = None
    context: Size | None = None
    vocabulary: Size | None = None
    """Entries of the embedding, unused ones among them."""
    unused_tokens: Count | None = None
    """Entries of the embedding that no token has."""
    intermediate_size: Size | None = None
    glu_expansion: Size | None = None
    """Rows of the projection that the gated unit halves."""
    block: str | None = None
    """Where a layer normalizes, such as ``pre-norm``."""
    activation: str | None = None
    linear_bias: bool | None = None
    attention: str | None = None
    """Such as ``multi-head``."""
    global_attention_every: int | None = Field(default=None, ge=1)
    """One layer in so many attends to all tokens."""
    local_window: Size | None = None
    """Tokens that the other layers attend to."""
    normalization: str | None = None
    norm_epsilon: Positive | None = None
    norm_bias: bool | None = None
    rope_theta: Positive | None = None
    """Of the global attention layers."""
    local_rope_theta: Positive | None = None


class Variant(Entry):
    """A released or planned model."""

    repo: str | None = Field(default=None, pattern=REPO_ID)
    parents: list[Parent] = []
    supersedes: str | None = None
    run: Text | None = None
    """The Trainer's output folder, relative to the registry."""
    weights: Text | None = None
    """A folder with the released weights, relative to the registry, where there was no run."""
    released: bool | None = None
    """Whether it is published; left out, a receipt of a push says so."""
    candidates: Candidates = Candidates()
    suite: Text | None = None
    policy: Text | None = None
    license: str | None = None
    languages: list[str] | None = None
    architecture: Architecture | None = None
    training: Training | None = None
    chosen: Chosen | None = None
    data: list[DataSource] = []
    corpus: Corpus | None = None
    sources: list[str] = []
    """Where these facts were published: papers and cards, as URLs or repo ids."""
    card: CardText = CardText()


class Defaults(Entry):
    """What holds for every variant that does not say otherwise."""

    license: str | None = None
    languages: list[str] = []


class Registry(Entry):
    """A family of models."""

    version: Annotated[Literal[1], BeforeValidator(_no_truth)]
    family: Text
    include: list[str] = []
    """Files to read besides, such as ``variants/*.yaml``: paths and patterns relative to this
    file. They hold variants, suites, policies, peers, document_sets, tables and aliases."""
    defaults: Defaults = Defaults()
    suites: dict[Name, Annotated[list[AnyTask], Field(min_length=1)]] = {}
    policies: dict[Name, Policy] = {}
    variants: dict[Name, Variant]
    peers: dict[Name, Peer] = {}
    """Models outside the family, by names that no variant has."""
    document_sets: dict[Name, DocumentSet] = {}
    """What speed was measured on."""
    tables: dict[Name, ReportedTable] = {}
    """Tables of reported figures."""
    aliases: dict[Name, str] = {}
    """Free names for variants, such as ``production``."""
