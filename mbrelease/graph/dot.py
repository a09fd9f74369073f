"""The graph in the DOT language, for Graphviz (https://graphviz.org/doc/info/lang.html)."""

from __future__ import annotations

from collections.abc import Iterator

from mbrelease.graph.family import SUPERSEDES, Graph, Node
from mbrelease.graph.looks import LOOKS
from mbrelease.graph.words import node_lines

_BOX_STYLES = {
    "released": "rounded,filled",
    "planned": "rounded,dashed",
    "unknown": "rounded,dotted",
}


def dot_text(graph: Graph) -> str:
    """The graph as ``dot -Tsvg`` reads it."""
    return "\n".join([*_lines(graph), ""])


def _lines(graph: Graph) -> Iterator[str]:
    yield "digraph lineage {"
    yield "  rankdir=LR;"
    yield f"  label={_quoted(graph.title)};"
    yield '  labelloc=t; fontname="Helvetica";'
    yield '  node [shape=box, fontname="Helvetica", fontsize=11, fillcolor="#f6f8fa"];'
    yield '  edge [fontname="Helvetica", fontsize=10];'
    labels = graph.metric_labels()
    for node in graph.nodes:
        yield f"  {_quoted(node.name)} [{_box(node, labels)}];"
    for edge in graph.edges:
        look = LOOKS[edge.kind]
        style = "solid" if not look.dashes else "dotted" if look.dashes == "2 3" else "dashed"
        colour = f'"{look.colour.light}"'
        drawn = f"label={_quoted(look.word)}, style={style}, color={colour}, fontcolor={colour}"
        # A newer version need not stand right of the older one.
        free = ", constraint=false" if edge.kind == SUPERSEDES else ""
        yield f"  {_quoted(edge.older)} -> {_quoted(edge.newer)} [{drawn}{free}];"
    yield "}"


def _box(node: Node, labels: dict[str, str]) -> str:
    words = [node.name, *(text for text, _ in node_lines(node, labels))]
    style = f'style="{_BOX_STYLES[node.state]}"'
    return f"label={_quoted(*words)}, {style}, tooltip={_quoted(node.name)}"


def _quoted(*lines: str) -> str:
    """A quoted string; in it, a backslash is an escape of Graphviz's own and stands twice."""
    escaped = [line.replace("\\", "\\\\").replace('"', '\\"') for line in lines]
    return '"' + "\\n".join(" ".join(line.split()) for line in escaped) + '"'
