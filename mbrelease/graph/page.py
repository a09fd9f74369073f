"""The graph as one HTML file: to move about in, to search, and to ask who descends from whom."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator
from importlib import resources
from math import ceil
from typing import Any

from jinja2 import PackageLoader
from markupsafe import Markup

from mbrelease.cards.lineage import HUB_PAGES
from mbrelease.errors import UserError
from mbrelease.graph.family import Graph, Node
from mbrelease.graph.looks import LOOKS, style_sheet
from mbrelease.graph.svg import MARGIN, Drawing, draw, elements, samples, words_of
from mbrelease.graph.words import figure_notes
from mbrelease.pages.templates import environment

MOST_NODES = 5_000
"""A browser moves no more without waiting."""


def html_page(graph: Graph) -> str:
    """The page; it works without its script as a picture that one scrolls in.

    Raises:
        UserError: there are too many nodes for a browser.
    """
    if len(graph.nodes) > MOST_NODES:
        raise UserError(
            f"{len(graph.nodes):,} variants are too many for one page, which takes {MOST_NODES:,}",
            mend="name a VARIANT, and --depth N where its relatives are still too many; "
            "or take --format svg or dot",
        )
    drawing = draw(graph)
    style, script = _file("graph.css") + style_sheet(), _file("graph.js")
    template = environment(PackageLoader("mbrelease.graph", "html")).get_template("graph.html.j2")
    # Safe: what stands in the drawing and the data is escaped there.
    return template.render(
        graph=graph,
        words=words_of(graph),
        margin=f"{MARGIN:.0f}",
        width=ceil(drawing.plan.width + 2 * MARGIN),
        height=ceil(drawing.plan.height + 2 * MARGIN),
        elements=Markup("\n".join(elements(drawing))),  # noqa: S704
        legend=[(Markup(sample), word) for sample, word in samples(graph)],  # noqa: S704
        notes=figure_notes(graph),
        data=Markup(_data(drawing)),  # noqa: S704
        style=Markup(style),  # noqa: S704
        script=Markup(script),  # noqa: S704
        policy=_policy(style, script),
    )


def _file(name: str) -> str:
    return resources.files("mbrelease.graph").joinpath(f"html/{name}").read_text("utf-8")


def _policy(style: str, script: str) -> str:
    """What a browser may run and load: this style and this script, and nothing else."""
    return (
        f"default-src 'none'; style-src '{_sha256(style)}'; script-src '{_sha256(script)}';"
        " img-src data:; base-uri 'none'; form-action 'none'"
    )


def _sha256(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _data(drawing: Drawing) -> str:
    """What the script must know, as JSON that can stand in a page."""
    graph = drawing.graph
    content = {
        "nodes": [_node(node) for node in graph.nodes],
        "edges": list(_edges(drawing)),
        "before": [curve.before for curve in drawing.plan.curves],
    }
    text = json.dumps(content, ensure_ascii=False, separators=(",", ":"))
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def _node(node: Node) -> dict[str, Any]:
    figures = [
        (f.metric, f"{f.text} ({f.origin}, {f.where}{'' if f.comparable else '; not comparable'})")
        for f in node.figures
    ]
    aliases = [("aliases", ", ".join(node.aliases))] if node.aliases else []
    public = node.state == "released" and node.repo is not None and "/" in node.repo
    return {
        "name": node.name,
        "repo": node.repo,
        "href": f"{HUB_PAGES}/{node.repo}" if public else None,
        "state": node.state_words,
        "summary": node.summary,
        "aliases": node.aliases,
        "facts": [*aliases, *figures, *node.facts],
    }


def _edges(drawing: Drawing) -> Iterator[list[Any]]:
    """``[older, newer, kind, last curve or -1, line beside or -1, node of the stub, word]``."""
    laid = drawing.plan
    beside = {each.line: i for i, each in enumerate(laid.beside)}
    for line in drawing.lines:
        curve = laid.ends.get(line, -1)
        right = line.older if curve >= 0 and laid.curves[curve].backward else line.newer
        yield [
            line.older,
            line.newer,
            line.kind,
            curve,
            beside.get(line, -1),
            right,
            LOOKS[line.kind].word,
        ]
