"""What a node says, the same in every format."""

from __future__ import annotations

from collections.abc import Mapping

from mbrelease.graph.family import Figure, Graph, Node


def node_lines(node: Node, labels: Mapping[str, str]) -> list[tuple[str, bool]]:
    """The lines below the name, and whether each is a figure.

    Args:
        node: a variant.
        labels: of the metrics, see ``Graph.metric_labels``.
    """
    lines = [(node.repo, False)] if node.repo else []
    lines.append((node.state_words, False))
    if node.aliases:
        noun = "alias" if len(node.aliases) == 1 else "aliases"
        lines.append((f"{noun} {', '.join(node.aliases)}", False))
    return lines + [(figure_words(figure, labels), True) for figure in node.figures]


def figure_words(figure: Figure, labels: Mapping[str, str]) -> str:
    """``recall@1 0.571, measured on test``."""
    mark = "" if figure.comparable else "*"
    if figure.origin == "measured":
        return f"{labels[figure.metric]} {figure.text}{mark}, measured on {figure.where}"
    return f"{labels[figure.metric]} {figure.text}{mark}, reported"


def figure_notes(graph: Graph) -> list[str]:
    """What the figures on the nodes are, a sentence each."""
    notes = []
    for metric, label in graph.metric_labels().items():
        figures = [f for node in graph.nodes for f in node.figures if f.metric == metric]
        measured = sum(f.origin == "measured" for f in figures)
        said = [f"{measured} measured here"] if measured else []
        if measured < len(figures):
            sources = {f.where for f in figures if f.origin == "reported"}
            who = sources.pop() if len(sources) == 1 else "papers and cards"
            said.append(f"{len(figures) - measured} reported by {who}")
        what = f"{label} is {metric}" if label != metric else metric
        notes.append(f"{what}: {' and '.join(said)}.")
    if not all(f.comparable for node in graph.nodes for f in node.figures):
        notes.append("* not as most others: another split or other conditions; do not compare.")
    return notes
