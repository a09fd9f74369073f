"""What there is to draw of a family: variants, and typed edges between them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from mbrelease.graph.publications import published_tags
from mbrelease.graph.scope import EVERYTHING, Scope, members
from mbrelease.registry.facts import summaries
from mbrelease.registry.project import Project
from mbrelease.registry.schema import Relation, Variant

SUPERSEDES = "supersedes"
KINDS: tuple[str, ...] = (*get_args(Relation), SUPERSEDES)
"""Of edges, in the order of legends."""
STATES = ("released", "planned", "unknown")
_SUMMARY_CHARACTERS = 300


@dataclass(frozen=True)
class Figure:
    """The value of a metric as a node shows it."""

    metric: str
    """``task/metric``."""
    text: str
    """The value, rounded as the metric is."""
    origin: Literal["measured", "reported"]
    """From evidence of the released weights, or from a paper or a card."""
    where: str
    """The split it was measured on, or who reports it."""
    comparable: bool = True
    """Whether it was measured as those of most other variants were."""


@dataclass(frozen=True)
class Node:
    """A variant."""

    name: str
    repo: str | None = None
    state: str = "unknown"
    """One of ``STATES``."""
    version: str | None = None
    """The tag of its last push."""
    superseded: bool = False
    """Whether another variant of the registry supersedes it."""
    aliases: tuple[str, ...] = ()
    figures: tuple[Figure, ...] = ()
    summary: str = ""
    """The sentence of its card, cut where it is long."""
    facts: tuple[tuple[str, str], ...] = ()
    """What else the registry says, a name and a text each."""

    @property
    def state_words(self) -> str:
        """``released v1.0, superseded``."""
        state = "state unknown" if self.state == "unknown" else self.state
        words = f"{state} {self.version}" if self.version else state
        return f"{words}, superseded" if self.superseded else words

    def as_json(self) -> dict[str, Any]:
        """For ``--json``."""
        return {
            "variant": self.name,
            "repo": self.repo,
            "state": self.state,
            "version": self.version,
            "superseded": self.superseded,
            "aliases": list(self.aliases),
            "figures": [vars(figure) for figure in self.figures],
        }


@dataclass(frozen=True)
class Edge:
    """From the older variant to the newer one."""

    older: str
    newer: str
    kind: str
    """How the newer was made from the older, or ``supersedes``."""


@dataclass(frozen=True)
class Graph:
    """A family, or the part of it that is asked for."""

    family: str
    nodes: tuple[Node, ...]
    """In the order of the registry."""
    edges: tuple[Edge, ...]
    total: int
    """Variants of the whole family."""
    scope: Scope = field(default=EVERYTHING)

    @property
    def title(self) -> str:
        """What the picture is of."""
        return self.scope.words(self.family)

    @property
    def counts(self) -> str:
        """``8 variants: 4 released, 4 state unknown``."""
        of = f" of {self.total:,}" if len(self.nodes) < self.total else ""
        noun = "variant" if self.total == 1 else "variants"
        states = [(state, sum(n.state == state for n in self.nodes)) for state in STATES]
        said = [
            f"{count:,} {'in unknown state' if state == 'unknown' else state}"
            for state, count in states
            if count
        ]
        return f"{len(self.nodes):,}{of} {noun}: {', '.join(said) or 'none'}"

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds of its edges, in the order of ``KINDS``."""
        used = {edge.kind for edge in self.edges}
        return tuple(kind for kind in KINDS if kind in used)

    @property
    def metrics(self) -> tuple[str, ...]:
        """Those that some node has a figure of."""
        return tuple(dict.fromkeys(f.metric for node in self.nodes for f in node.figures))

    def metric_labels(self) -> dict[str, str]:
        """Each metric as nodes write it: without its task, where that leaves them apart."""
        short = {metric: metric.rsplit("/", 1)[-1] for metric in self.metrics}
        alone = len(set(short.values())) == len(short)
        return short if alone else {metric: metric for metric in short}

    def as_json(self) -> dict[str, Any]:
        """For ``--json``."""
        return {
            "family": self.family,
            "variants": self.total,
            "nodes": [node.as_json() for node in self.nodes],
            "edges": [vars(edge) for edge in self.edges],
        }


def read_graph(
    project: Project,
    scope: Scope = EVERYTHING,
    figures: Mapping[str, Sequence[Figure]] | None = None,
) -> Graph:
    """What there is to draw of the family of ``project``.

    Args:
        project: with a registry without mistakes.
        scope: which part of it.
        figures: the values to show on a variant, by its name.
    """
    registry = project.registry
    kept = set(members(registry, scope))
    tags = published_tags(project)
    superseded = {entry.supersedes for entry in registry.variants.values()}
    aliases: dict[str, list[str]] = {}
    for alias, target in registry.aliases.items():
        aliases.setdefault(target, []).append(alias)
    nodes = [
        Node(
            name=row.name,
            repo=row.repo,
            state=row.state,
            version=tags.get((row.repo or "").casefold()),
            superseded=row.name in superseded,
            aliases=tuple(aliases.get(row.name, ())),
            figures=tuple((figures or {}).get(row.name, ())),
            summary=_summary(registry.variants[row.name]),
            facts=tuple(_facts(project, row.name)),
        )
        for row in summaries(project)
        if row.name in kept
    ]
    edges = [
        edge
        for name in registry.variants
        for edge in _edges(name, registry.variants[name])
        if {edge.older, edge.newer} <= kept
    ]
    return Graph(registry.family, tuple(nodes), tuple(edges), len(registry.variants), scope)


def _edges(name: str, variant: Variant) -> Iterator[Edge]:
    for parent in variant.parents:
        yield Edge(parent.variant, name, parent.relation)
    if variant.supersedes is not None:
        yield Edge(variant.supersedes, name, SUPERSEDES)


def _summary(variant: Variant) -> str:
    text = " ".join((variant.card.summary or "").split())
    return text if len(text) <= _SUMMARY_CHARACTERS else text[:_SUMMARY_CHARACTERS] + "…"


def _facts(project: Project, name: str) -> Iterator[tuple[str, str]]:
    """What a reader may want to know beside what the node says."""
    variant, defaults = project.registry.variants[name], project.registry.defaults
    languages = defaults.languages if variant.languages is None else variant.languages
    training, architecture = variant.training, variant.architecture
    said = {
        "license": variant.license or defaults.license,
        "languages": ", ".join(languages),
        "parameters": architecture and _count(architecture.parameters),
        "context": architecture and _count(architecture.context),
        "trained by": training and training.objective,
        "trained on": ", ".join(source.name for source in variant.data),
        "tokens seen": training and _count(training.tokens),
        "steps": training and _count(training.steps),
    }
    yield from ((what, text) for what, text in said.items() if text)
    path, line = project.defined_in(name)
    if path != project.registry_path and path.is_relative_to(project.root):
        yield "defined in", f"{path.relative_to(project.root)}:{line}"


def _count(number: int | None) -> str:
    return "" if number is None else f"{number:,}"
