"""The graph for a terminal: a tree, with more than its names, in 80 columns."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping
from itertools import zip_longest

from mbrelease.graph.family import SUPERSEDES, Graph, Node
from mbrelease.graph.looks import LOOKS
from mbrelease.graph.words import figure_notes, node_lines
from mbrelease.registry.lineage import TreeLine, tree
from mbrelease.registry.schema import Registry

COLUMNS = 80
MARKS = {"released": "●", "planned": "○", "unknown": "·"}
_NARROWEST = 30


def graph_text(graph: Graph, registry: Registry) -> str:
    """The lines of the tree: each variant where its first parent leads, with what is known of it.

    Args:
        graph: what to draw.
        registry: that it was read from.
    """
    nodes = {node.name: node for node in graph.nodes}
    labels = graph.metric_labels()
    part = {
        name: registry.variants[name].model_copy(
            update={"parents": [p for p in registry.variants[name].parents if p.variant in nodes]}
        )
        for name in nodes
    }
    older = {edge.newer: edge.older for edge in graph.edges if edge.kind == SUPERSEDES}
    lines = [graph.title, graph.counts, ""]
    drawn = list(tree(registry.model_copy(update={"variants": part})))
    for line, below in zip_longest(drawn, drawn[1:]):
        lines += _wrapped(line, below, nodes[line.name], _notes(line, nodes, labels, older))
    states = dict.fromkeys(node.state for node in graph.nodes)
    key = "  ".join(f"{MARKS[state]} {state}" for state in MARKS if state in states)
    lines += ["", key] if key else []
    notes = [part for note in figure_notes(graph) for part in textwrap.wrap(note, COLUMNS)]
    return "\n".join([*lines, *notes, ""])


def _notes(
    line: TreeLine,
    nodes: Mapping[str, Node],
    labels: Mapping[str, str],
    older: Mapping[str, str],
) -> str:
    """What stands behind a name; ``older`` has what each supersedes."""
    node = nodes[line.name]
    said = [LOOKS[line.relation].word] if line.relation else []
    also: dict[str, list[str]] = {}
    for parent in line.other_parents:
        also.setdefault(parent.relation, []).append(parent.variant)
    for relation, others in also.items():
        if relation == line.relation:
            said[0] += f", also of {', '.join(others)}"
        else:
            said.append(f"{LOOKS[relation].word} of {', '.join(others)}")
    if line.repeated:
        return "; ".join([*said, "drawn above"])
    if line.name in older:
        said.append(f"supersedes {older[line.name]}")
    known = [text for text, _ in node_lines(node, labels)]
    said += known if node.version or node.superseded else [
        text for text in known if text != node.state_words
    ]  # fmt: skip
    return "; ".join(said)


def _wrapped(line: TreeLine, below: TreeLine | None, node: Node, notes: str) -> Iterator[str]:
    """The name, then the notes: behind it where they fit, else in lines below it."""
    head = f"{line.prefix}{MARKS[node.state]} {line.name}"
    if not notes:
        yield head
        return
    if len(head) + 2 + len(notes) <= COLUMNS:
        yield f"{head}  {notes}"
        return
    yield head
    margin = line.prefix.replace("├── ", "│   ").replace("└── ", "    ")
    opens = below is not None and len(below.prefix) > len(line.prefix)
    margin += "│   " if opens else "    "
    room = max(_NARROWEST, COLUMNS - len(margin))
    for text in textwrap.wrap(notes, room, break_long_words=False, break_on_hyphens=False):
        yield margin + text
