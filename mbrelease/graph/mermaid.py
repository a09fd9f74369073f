"""The graph as a Mermaid flowchart, which GitHub draws in Markdown.

https://mermaid.js.org/syntax/flowchart.html
"""

from __future__ import annotations

import json
from collections.abc import Iterator

from mbrelease.graph.family import SUPERSEDES, Graph, Node
from mbrelease.graph.looks import LOOKS
from mbrelease.graph.words import figure_notes, node_lines

MOST_EDGES = 500
"""Mermaid refuses more, and a page cannot raise it (its config's ``maxEdges``)."""
MOST_CHARACTERS = 50_000
"""As ``maxTextSize``."""

_PLAIN = frozenset(" .,-/()")
# Frames that are read on light and on dark pages; the fill is Mermaid's own.
_BOXES = {
    "released": "stroke-width:2px",
    "planned": "stroke-dasharray:6 3",
    "unknown": "stroke-dasharray:2 3",
}


def mermaid_text(graph: Graph) -> str:
    """The graph as Mermaid reads it."""
    return "\n".join([*_lines(graph), ""])


def mermaid_page(graph: Graph) -> str:
    """A page of Markdown with the graph in it."""
    notes = "".join(f"\n{note}\n" for note in figure_notes(graph)).replace("*", "\\*")
    title = graph.title.replace("\n", " ")
    return f"# {title}\n\n{graph.counts}.\n\n```mermaid\n{mermaid_text(graph)}```\n{notes}"


def too_large(graph: Graph) -> str | None:
    """Why Mermaid would not draw ``graph`` as it comes; ``None`` if it would."""
    if len(graph.edges) > MOST_EDGES:
        return f"{len(graph.edges):,} edges, and Mermaid draws no more than {MOST_EDGES:,}"
    characters = len(mermaid_text(graph))
    if characters > MOST_CHARACTERS:
        return f"{characters:,} characters, and Mermaid reads no more than {MOST_CHARACTERS:,}"
    return None


def _lines(graph: Graph) -> Iterator[str]:
    yield "---"
    yield f"title: {json.dumps(graph.title)}"
    yield "---"
    yield "flowchart LR"
    labels = graph.metric_labels()
    ids = {node.name: f"n{i}" for i, node in enumerate(graph.nodes)}
    for node in graph.nodes:
        yield f'  {ids[node.name]}["{_words(node, labels)}"]:::{node.state}'
    styles: dict[str, list[str]] = {}
    for i, edge in enumerate(graph.edges):
        styles.setdefault(edge.kind, []).append(str(i))
        arrow = "-.->" if edge.kind == SUPERSEDES or LOOKS[edge.kind].dashes else "-->"
        word = _escaped(LOOKS[edge.kind].word)
        yield f'  {ids[edge.older]} {arrow}|"{word}"| {ids[edge.newer]}'
    for state in dict.fromkeys(node.state for node in graph.nodes):
        yield f"  classDef {state} {_BOXES[state]}"
    for kind, places in styles.items():
        if kind != SUPERSEDES:  # which has the colour of the page's letters
            yield f"  linkStyle {','.join(places)} stroke:{LOOKS[kind].colour.light}"


def _words(node: Node, labels: dict[str, str]) -> str:
    lines = [node.name, *(text for text, _ in node_lines(node, labels))]
    return "<br>".join(_escaped(line) for line in lines)


def _escaped(text: str) -> str:
    """Whatever Mermaid, Markdown or HTML could read as more than a letter, by its number."""
    return "".join(
        letter
        if letter in _PLAIN or (letter.isalnum() and letter.isascii())
        else f"#{ord(letter)};"
        for letter in text
    )
