"""The graph as an SVG that stands alone: no script, no font, no address."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from html import escape
from math import ceil

from mbrelease.graph.family import STATES, SUPERSEDES, Graph, Node
from mbrelease.graph.layout.plan import ARROW, Beside, Box, Curve, Plan, Stub, plan
from mbrelease.graph.layout.stations import Line
from mbrelease.graph.letters import shortened, text_width
from mbrelease.graph.looks import LOOKS, STATE_WORDS, style_sheet
from mbrelease.graph.words import figure_notes, node_lines
from mbrelease.registry.schema import HUB_RELATION

MARGIN = 20.0
_NAME, _SMALL = 14.0, 12.0
_NAME_LINE, _LINE = 19.0, 16.0
_PAD_X, _PAD_Y = 12.0, 9.0
_MARK = 16.0
_WIDEST = 300.0
_SAID_EDGES = 30
MADE = frozenset(HUB_RELATION)
"""Kinds of edges from a parent to a child."""


@dataclass(frozen=True)
class Drawing:
    """A graph and where everything of it stands."""

    graph: Graph
    plan: Plan
    lines: tuple[Line, ...]
    """Its edges by the positions of their nodes, each once."""


def draw(graph: Graph) -> Drawing:
    """Lay ``graph`` out."""
    position = {node.name: i for i, node in enumerate(graph.nodes)}
    lines = tuple(
        dict.fromkeys(
            Line(position[edge.older], position[edge.newer], edge.kind) for edge in graph.edges
        )
    )
    widths = {kind: text_width(look.word, _SMALL) for kind, look in LOOKS.items()}
    labels = graph.metric_labels()
    sizes = [_size(node, labels) for node in graph.nodes]
    return Drawing(graph, plan(sizes, lines, made=MADE, word_widths=widths), lines)


def svg_document(graph: Graph) -> str:
    """The picture with its title and legend."""
    drawing = draw(graph)
    least = max(text_width(graph.title, 19.0, bold=True), text_width(_below(graph), _SMALL))
    width = max(drawing.plan.width, least, 420.0) + 2 * MARGIN
    top = MARGIN + 56
    below = top + drawing.plan.height + 28
    key, key_height = _legend(graph, MARGIN, below, width - 2 * MARGIN)
    height = below + key_height + MARGIN
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" class="g" role="img"'
            f' aria-labelledby="title desc" width="{width:.0f}" height="{height:.0f}"'
            f' viewBox="0 0 {width:.0f} {height:.0f}">',
            f'<title id="title">{escape(graph.title)}</title>',
            f'<desc id="desc">{escape(words_of(graph))}</desc>',
            f"<style>{style_sheet()}</style>",
            '<rect class="paper" width="100%" height="100%"/>',
            _text(MARGIN, MARGIN + 18, graph.title, "head"),
            _text(MARGIN, MARGIN + 38, _below(graph), "quiet"),
            f'<g transform="translate({MARGIN:.0f} {top:.0f})">',
            *elements(drawing),
            "</g>",
            *key,
            "</svg>\n",
        ]
    )


def _below(graph: Graph) -> str:
    return f"{graph.counts}; ancestors stand left of what was made from them"


def words_of(graph: Graph) -> str:
    """The picture in a sentence for those who do not see it."""
    said = [f"{e.newer} by {LOOKS[e.kind].word} from {e.older}" for e in graph.edges[:_SAID_EDGES]
            if e.kind != SUPERSEDES]  # fmt: skip
    said += [f"{e.newer} supersedes {e.older}" for e in graph.edges[:_SAID_EDGES]
             if e.kind == SUPERSEDES]  # fmt: skip
    more = len(graph.edges) - len(said)
    said += [f"and {more:,} more edges"] if more > 0 else []
    return f"{graph.counts}. {'; '.join(said) or 'No edges'}."


def elements(drawing: Drawing) -> Iterator[str]:
    """The edges and nodes; ``data-`` attributes tell a page what belongs together."""
    laid = drawing.plan
    yield '<g class="edges">'
    for i, curve in enumerate(laid.curves):
        yield from _curve(i, curve)
    for i, beside in enumerate(laid.beside):
        yield _beside(i, beside)
    yield '</g><g class="stubs">'
    for stub in laid.stubs:
        yield from _stub(stub)
    yield '</g><g class="nodes">'
    labels = drawing.graph.metric_labels()
    for i, (node, box) in enumerate(zip(drawing.graph.nodes, laid.boxes, strict=True)):
        yield _node(i, node, box, labels)
    yield "</g>"


def _curve(i: int, curve: Curve) -> Iterator[str]:
    (x, y), (x2, y2) = curve.start, curve.end
    middle = (x + x2) / 2
    if y == y2:
        path = f"M{x:g} {y:g}H{curve.level_to:g}"
    else:
        path = f"M{x:g} {y:g}C{middle:g} {y:g} {middle:g} {y2:g} {x2:g} {y2:g}H{curve.level_to:g}"
    yield f'<path class="edge {curve.kind}" data-curve="{i}" d="{path}"/>'
    if curve.head_at_start:
        yield f'<path class="tip {curve.kind}" data-curve="{i}" d="{_tip(x, y, -1)}"/>'


def _tip(x: float, y: float, direction: int) -> str:
    """An arrowhead that ends at a point, to the right or to the left."""
    back = x - direction * ARROW
    return f"M{x:g} {y:g}L{back:g} {y - 4.5:g}V{y + 4.5:g}Z"


def _stub(stub: Stub) -> Iterator[str]:
    own = f'data-node="{stub.node}" data-kind="{stub.kind}"'
    end = stub.right if stub.backward else stub.right - ARROW + 1
    path = f"M{stub.left:g} {stub.y:g}H{end:g}"
    yield f'<path class="edge {stub.kind}" {own} d="{path}"/>'
    if not stub.backward:
        yield f'<path class="tip {stub.kind}" {own} d="{_tip(stub.right, stub.y, 1)}"/>'
    words = LOOKS[stub.kind].word
    yield _text(stub.left + 3, stub.y - 6, words, f"word {stub.kind}", own)


def _beside(i: int, beside: Beside) -> str:
    (x, y), (x2, y2) = beside.start, beside.end
    kind, own = beside.line.kind, f'data-beside="{i}"'
    if beside.bowed:
        far = max(x, x2) + 26
        path = f"M{x:g} {y:g}C{far:g} {y:g} {far:g} {y2:g} {x2 + ARROW - 1:g} {y2:g}"
        return (
            f'<path class="edge {kind}" {own} d="{path}"/>'
            f'<path class="tip {kind}" {own} d="{_tip(x2, y2, -1)}"/>'
        )
    down = 1 if y2 > y else -1
    back = y2 - down * ARROW
    return (
        f'<path class="edge {kind}" {own} d="M{x:g} {y:g}V{back:g}"/>'
        f'<path class="tip {kind}" {own} d="M{x2:g} {y2:g}L{x2 - 4.5:g} {back:g}H{x2 + 4.5:g}Z"/>'
        + _text(x + 10, (y + y2) / 2 + 4, LOOKS[kind].word, f"word {kind}", own)
    )


def _size(node: Node, labels: dict[str, str]) -> tuple[float, float]:
    lines = node_lines(node, labels)
    wide = max(text_width(text, _SMALL) for text, _ in lines)
    wide = max(wide, _MARK + text_width(node.name, _NAME, bold=True))
    height = 2 * _PAD_Y + _NAME_LINE + _LINE * len(lines) - 4
    return ceil(min(wide, _WIDEST)) + 2 * _PAD_X, height


def _node(i: int, node: Node, box: Box, labels: dict[str, str]) -> str:
    lines = node_lines(node, labels)
    content = _NAME_LINE + _LINE * len(lines) - 4
    room = box.width - 2 * _PAD_X
    y = (box.height - content) / 2 + 14
    parts = [
        f'<g class="node {node.state}" data-node="{i}"'
        f' transform="translate({box.left:g} {box.top:g})">',
        f"<title>{escape(node.name)}</title>",
        f'<rect width="{box.width:g}" height="{box.height:g}" rx="7"/>',
        f'<circle class="mark" cx="{_PAD_X + 5:g}" cy="{y - 5:g}" r="4.5"/>',
    ]
    name = shortened(node.name, room - _MARK, _NAME, bold=True)
    parts.append(_text(_PAD_X + _MARK, y, name, "name"))
    for place, (text, is_figure) in enumerate(lines):
        y += _LINE if place else _NAME_LINE - 1
        words = shortened(text, room, _SMALL)
        parts.append(_text(_PAD_X, y, words, "" if is_figure else "quiet"))
    return "".join([*parts, "</g>"])


def _text(x: float, y: float, words: str, look: str, more: str = "") -> str:
    attributes = f' class="{look}"' if look else ""
    attributes += f" {more}" if more else ""
    return f'<text x="{x:g}" y="{y:g}"{attributes}>{escape(words)}</text>'


_LEGEND_LINE = 22.0


def _legend(graph: Graph, left: float, top: float, width: float) -> tuple[list[str], float]:
    """The kinds of lines and the states in the picture, and what the figures are.

    Returns:
        The elements, and how high they stand together.
    """
    states = {node.state for node in graph.nodes}
    entries = [(44.0, LOOKS[kind].word, kind) for kind in graph.kinds]
    entries += [(30.0, STATE_WORDS[state], state) for state in STATES if state in states]
    made: list[str] = []
    x, y = left, top
    for mark, words, what in entries:
        wide = mark + text_width(words, _SMALL)
        if x > left and x + wide > left + width:
            x, y = left, y + _LEGEND_LINE
        made += [*_sample(what, x, y), _text(x + mark, y + 4, words, "")]
        x += wide + 18
    for line in [line for note in figure_notes(graph) for line in _wrapped(note, width)]:
        y += _LEGEND_LINE
        made.append(_text(left, y + 4, line, "quiet"))
    return made, y - top + 8


def samples(graph: Graph) -> Iterator[tuple[str, str]]:
    """The legend in pieces: a sample that stands around ``(0, 0)`` rightwards, and its word."""
    for kind in graph.kinds:
        yield "".join(_sample(kind, 1, 0)), LOOKS[kind].word
    states = {node.state for node in graph.nodes}
    for state in (state for state in STATES if state in states):
        yield "".join(_sample(state, 1, 0)), STATE_WORDS[state]


def _sample(what: str, x: float, y: float) -> Iterator[str]:
    """A line of a kind, or a box in a state, as the legend shows it."""
    if what in LOOKS:
        yield f'<path class="edge {what}" d="M{x:g} {y:g}H{x + 30:g}"/>'
        yield f'<path class="tip {what}" d="{_tip(x + 38, y, 1)}"/>'
    else:
        yield (
            f'<g class="node {what}"><rect x="{x:g}" y="{y - 7:g}" width="24" height="14"'
            f' rx="4"/><circle class="mark" cx="{x + 12:g}" cy="{y:g}" r="4"/></g>'
        )


def _wrapped(words: str, width: float) -> list[str]:
    lines: list[str] = []
    for one in words.split():
        longer = f"{lines[-1]} {one}" if lines else one
        if lines and text_width(longer, _SMALL) <= width:
            lines[-1] = longer
        else:
            lines.append(shortened(one, width, _SMALL))
    return lines
