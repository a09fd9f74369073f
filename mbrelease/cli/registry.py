"""``mbrelease registry``: describe the family and look at it."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mbrelease.cli.options import json_option, registry_option
from mbrelease.cli.output import print_json, print_table, talk
from mbrelease.errors import UserError

if TYPE_CHECKING:
    from mbrelease.registry.lineage import TreeLine
    from mbrelease.registry.project import Project

# pydantic is imported when a subcommand runs: `registry --help` need not wait for it.


@click.group()
def command() -> None:
    """Describe the family: its variants, their parents, and how each was made.

    The description is registry.yaml, the nearest one here or above.
    """


@command.command()
@click.argument("path", type=click.Path(path_type=Path), required=False)
@json_option
def lint(path: Path | None, as_json: bool) -> int:
    """Check a registry and tell every mistake with its line and column.

    Exits 1 where there are mistakes, 2 where there is no registry to check.
    """
    from mbrelease.registry.load import find_registry, load_project
    from mbrelease.registry.mistakes import InvalidRegistry, shown_path

    path = find_registry(Path.cwd()) if path is None else path
    try:
        project = load_project(path)
    except InvalidRegistry as error:
        if as_json:
            print_json({"path": shown_path(path), "valid": False, "mistakes": error.as_json()})
        else:
            click.echo(error.message)
        count = len(error.mistakes)
        talk(f"{count} mistake{'s' if count != 1 else ''} in {shown_path(path)}")
        return 1
    variants = len(project.registry.variants)
    if as_json:
        answer = {"path": shown_path(path), "valid": True, "mistakes": [], "variants": variants}
        print_json(answer)
    else:
        talk(f"{shown_path(path)}: {_count(variants)}, no mistakes")
    return 0


@command.command("list")
@json_option
@registry_option
def list_variants(as_json: bool, registry_path: Path | None) -> None:
    """List the variants: repo, parents, released or planned."""
    from mbrelease.registry.facts import summaries
    from mbrelease.registry.load import load_project

    rows = summaries(load_project(registry_path))
    if as_json:
        print_json([row.as_json() for row in rows])
        return
    cells = [(row.name, row.state, "\n".join(row.parents) or "–", row.repo or "–") for row in rows]
    if _fits_terminal(cells):
        print_table(["variant", "state", "parents", "repo"], cells)
    else:
        stacked = [(f"{name}\n  {repo}", state, parents) for name, state, parents, repo in cells]
        print_table(["variant, repo", "state", "parents"], stacked)


@command.command()
@click.argument("variant")
@json_option
@registry_option
def show(variant: str, as_json: bool, registry_path: Path | None) -> None:
    """Show one variant: its facts, its ancestors, and where its files lie."""
    from mbrelease.registry.facts import details, details_text
    from mbrelease.registry.load import load_project

    project = load_project(registry_path)
    answer = details(project, project.resolve_name(variant))
    if as_json:
        print_json(answer)
    else:
        click.echo(details_text(answer))


@command.command()
@click.argument("variant", required=False)
@json_option
@registry_option
def tree(variant: str | None, as_json: bool, registry_path: Path | None) -> None:
    """Draw the family, or what descends from VARIANT, with how each was made.

    A variant with several parents stands under each of them; what descends from it is drawn at
    the first, and the others are marked with an arrow.
    """
    from mbrelease.registry import lineage
    from mbrelease.registry.load import load_project

    project = load_project(registry_path)
    start = project.resolve_name(variant) if variant is not None else None
    lines = list(lineage.tree(project.registry, start))
    if as_json:
        print_json(lineage.nested(lines))
        return
    for line in lines:
        click.echo(_tree_line(project, line))


@command.command()
@click.argument("name")
@click.option("--repo", help="The repo id it is, or will be, published under.")
@click.option(
    "--parent",
    "parents",
    multiple=True,
    metavar="VARIANT:RELATION",
    help="What it is made from, such as modernbert-base:continued-pretraining; repeatable.",
)
@click.option("--supersedes", metavar="VARIANT", help="The version that it replaces.")
@click.option("--run", help="The Trainer's output folder, relative to the registry.")
@click.option("--weights", help="A folder with its weights, where there was no run.")
@click.option("--suite", help="The tasks it is measured on.")
@click.option("--policy", help="The policy that chooses its weights.")
@click.option("--license", "license_id", help="Such as apache-2.0.")
@click.option("--language", "languages", multiple=True, help="Such as en; repeatable.")
@click.option("--summary", help="A sentence for its card.")
@json_option
@registry_option
def add(
    name: str,
    parents: tuple[str, ...],
    license_id: str | None,
    languages: tuple[str, ...],
    summary: str | None,
    as_json: bool,
    registry_path: Path | None,
    **texts: str | None,
) -> None:
    """Add the variant NAME at the end of the registry."""
    from mbrelease.registry.edit import add_variant
    from mbrelease.registry.load import find_registry
    from mbrelease.registry.mistakes import shown_path

    entry: dict[str, Any] = {
        "repo": texts["repo"],
        "parents": [_parent(text) for text in parents],
        **{key: texts[key] for key in ("supersedes", "run", "weights", "suite", "policy")},
        "license": license_id,
        "languages": list(languages),
        "card": {"summary": summary} if summary else None,
    }
    entry = {key: value for key, value in entry.items() if value}
    path = registry_path or find_registry(Path.cwd())
    add_variant(path, name, entry)
    if as_json:
        print_json({"path": shown_path(path), "variant": name, "entry": entry, "changed": True})
    else:
        talk(f"added '{name}' to {shown_path(path)}")


@command.command("set")
@click.argument("variant")
@click.argument("key")
@click.argument("value")
@click.option("--text", "as_text", is_flag=True, help="Take VALUE as it is, not as YAML.")
@json_option
@registry_option
def set_key(
    variant: str, key: str, value: str, as_text: bool, as_json: bool, registry_path: Path | None
) -> None:
    """Set KEY of VARIANT to VALUE, which is read as YAML.

    KEY may lead inward by dots, and into lists by numbers: training.tokens,
    parents.0.relation. Nothing else in the file changes; a change that would make the registry
    invalid is refused.
    """
    from mbrelease.registry.edit import parse_value, set_value
    from mbrelease.registry.load import find_registry
    from mbrelease.registry.mistakes import shown_path

    parsed = value if as_text else parse_value(value)
    path = registry_path or find_registry(Path.cwd())
    edit = set_value(path, variant, key, parsed)
    if as_json:
        answer = {"path": shown_path(path), "variant": edit.project.resolve_name(variant)}
        print_json({**answer, "key": key, "value": parsed, "changed": edit.changed})
    else:
        said = "set" if edit.changed else "unchanged:"
        talk(f"{said} {key} of '{variant}' in {shown_path(path)}")


@command.command()
def schema() -> None:
    """Print the JSON Schema of registry.yaml, for editors.

    Written beside the registry as registry.schema.json it is found by the comment
    '# yaml-language-server: $schema=./registry.schema.json'.
    """
    from mbrelease.registry.json_schema import registry_schema_text

    click.echo(registry_schema_text(), nl=False)


def _fits_terminal(cells: Sequence[tuple[str, ...]]) -> bool:
    """Whether each row has room on one line; in a pipe, where lines are searched, always."""
    if not sys.stdout.isatty() or not cells:
        return True
    columns = zip(*cells, strict=True)
    width = sum(max(len(line) for cell in c for line in cell.split("\n")) for c in columns)
    gaps = 3 * len(cells[0])  # as print_table sets them
    return width + gaps <= shutil.get_terminal_size().columns


def _parent(text: str) -> dict[str, str]:
    variant, colon, relation = text.rpartition(":")
    if not colon:
        raise UserError(
            f"--parent {text} does not say how the variant was made from it",
            mend=f"write --parent {text}:continued-pretraining, or another relation",
        )
    return {"variant": variant, "relation": relation}


def _tree_line(project: Project, line: TreeLine) -> str:
    variant = project.registry.variants[line.name]
    notes = [line.relation] if line.relation else []
    notes += [f"also {p.relation} of {p.variant}" for p in line.other_parents]
    if variant.supersedes:
        notes.append(f"supersedes {variant.supersedes}")
    if line.repeated:
        notes.append("↑ drawn above")
    return line.prefix + line.name + (f"  ({'; '.join(notes)})" if notes else "")


def _count(variants: int) -> str:
    return f"{variants} variant{'s' if variants != 1 else ''}"
