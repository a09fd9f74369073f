"""``mbrelease registry graph``: the lineage as a picture."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from mbrelease.cli.options import json_option, registry_option
from mbrelease.cli.output import print_json, talk
from mbrelease.errors import UserError

if TYPE_CHECKING:
    from mbrelease.graph.family import Graph
    from mbrelease.registry.project import Project

FORMATS = ("text", "mermaid", "dot", "svg", "html")
SUFFIXES = {
    ".txt": "text",
    ".mmd": "mermaid",
    ".md": "mermaid",
    ".dot": "dot",
    ".gv": "dot",
    ".svg": "svg",
    ".html": "html",
}


@click.command("graph")
@click.argument("variant", required=False)
@click.option(
    "--format",
    "format_",
    type=click.Choice(FORMATS),
    help="What to draw.  [default: by the ending of FILE, else text]",
)
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    help="The file; a .md gets a page around the Mermaid.  [default: stdout]",
)
@click.option(
    "--metric",
    "metrics",
    multiple=True,
    metavar="TASK/METRIC",
    help="Show its value on each variant, measured or else reported; repeatable.",
)
@click.option("--ancestors", is_flag=True, help="Only what VARIANT comes from.")
@click.option("--descendants", is_flag=True, help="Only what comes from VARIANT.")
@click.option("--depth", type=click.IntRange(min=1), help="At most so many steps from VARIANT.")
@json_option
@registry_option
def command(
    variant: str | None,
    format_: str | None,
    output: Path | None,
    metrics: tuple[str, ...],
    ancestors: bool,
    descendants: bool,
    depth: int | None,
    as_json: bool,
    registry_path: Path | None,
) -> None:
    """Draw the family, or VARIANT with what it comes from and what comes from it.

    Each variant shows its repo, whether it is released or planned, the tag it was pushed with, its
    aliases and the metrics that are asked for; each edge, how one was made from the other or that
    it supersedes it. An svg stands alone; an html can be moved, zoomed and searched; mermaid is
    drawn by GitHub, dot by Graphviz. With --json and no FILE the answer is the graph itself.
    """
    from mbrelease.files import write_text
    from mbrelease.graph.family import read_graph
    from mbrelease.graph.figures import read_figures
    from mbrelease.graph.scope import Scope, members
    from mbrelease.registry.load import load_project

    _refuse(variant, format_, output, ancestors or descendants or depth is not None, as_json)
    format_ = format_ or _format(output)
    project = load_project(registry_path)
    either = ancestors or descendants
    scope = Scope(
        project.resolve_name(variant) if variant is not None else None,
        ancestors=ancestors or not either,
        descendants=descendants or not either,
        depth=depth,
    )
    figures = read_figures(project, members(project.registry, scope), metrics)
    graph = read_graph(project, scope, figures)
    if as_json and output is None:
        print_json(graph.as_json())
        return
    text = _drawn(graph, project, format_, as_page=output is not None and output.suffix == ".md")
    if output is None:
        click.echo(text, nl=False)
        return
    write_text(output, text)
    if as_json:
        answer = {"path": str(output), "format": format_, "family": graph.family}
        print_json({**answer, "variants": len(graph.nodes), "edges": len(graph.edges)})
    else:
        talk(f"wrote {output}: {graph.counts}")


def _refuse(
    variant: str | None, format_: str | None, output: Path | None, scoped: bool, as_json: bool
) -> None:
    """Stop at options that do not go together.

    Raises:
        UserError: says which.
    """
    if scoped and variant is None:
        raise UserError(
            "--ancestors, --descendants and --depth count from a VARIANT, and none is given",
            mend="such as: mbrelease registry graph VARIANT --depth 2",
        )
    if as_json and format_ is not None and output is None:
        raise UserError(
            f"--json and --format {format_} both want stdout", mend="give a file with -o FILE"
        )


def _format(output: Path | None) -> str:
    """The format that the ending of a file names."""
    if output is None:
        return "text"
    if output.suffix not in SUFFIXES:
        raise UserError(
            f"{output}: its ending names no format",
            mend=f"add --format {'|'.join(FORMATS)}, or end it on {', '.join(SUFFIXES)}",
        )
    return SUFFIXES[output.suffix]


def _drawn(graph: Graph, project: Project, format_: str, *, as_page: bool) -> str:
    if format_ == "text":
        from mbrelease.graph.text import graph_text

        return graph_text(graph, project.registry)
    if format_ == "dot":
        from mbrelease.graph.dot import dot_text

        return dot_text(graph)
    if format_ == "svg":
        from mbrelease.graph.svg import svg_document

        return svg_document(graph)
    if format_ == "html":
        from mbrelease.graph.page import html_page

        return html_page(graph)
    from mbrelease.graph.mermaid import mermaid_page, mermaid_text, too_large

    if (why := too_large(graph)) is not None:
        talk(f"GitHub will not draw it: it has {why}; name a VARIANT, or take --format svg")
    return mermaid_page(graph) if as_page else mermaid_text(graph)
