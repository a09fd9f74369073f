"""``mbrelease registry``: describe the family and look at it."""

from __future__ import annotations

import gc

import click

from mbrelease.cli.lazy import LazyGroup

COMMANDS = {
    "lint": ("lint", "Check a registry and tell every mistake with its place."),
    "list": ("list_", "List the variants: repo, parents, released or planned."),
    "show": ("show", "Show one variant: its facts, its ancestors, its files."),
    "tree": ("tree", "Draw the family, or what descends from a variant."),
    "graph": ("graph", "Draw the lineage: text, Mermaid, DOT, SVG, HTML."),
    "which": ("which", "Name the variants that fit: by descent, licence, data and more."),
    "history": ("history", "Tell from git every commit that changed a variant."),
    "diff": ("diff", "Set two variants side by side: config, training, data, evidence."),
    "path": ("path", "Tell how one variant comes from another."),
    "add": ("add", "Add a variant."),
    "set": ("set_", "Set a key of a variant, or remove one."),
    "alias": ("alias", "Give a variant a further name."),
    "remove": ("remove", "Remove a variant that nothing names."),
    "rename": ("rename", "Rename a variant, in every place that names it."),
    "sync": ("sync", "Propose variants for published models, as a diff to review."),
    "check-hub": ("check_hub", "Tell where the Hub and the registry disagree."),
    "bom": ("bom", "Write a variant and its ancestors as a CycloneDX ML-BOM."),
    "schema": ("schema", "Print the JSON Schema of registry.yaml, for editors."),
}


@click.group(cls=LazyGroup, package="mbrelease.cli.registry", lazy=COMMANDS)
def command() -> None:
    """Describe the family: its variants, their parents, and how each was made.

    The description is registry.yaml, the nearest one here or above.
    """
    # What is read lives until the command ends; of ten thousand variants, looking for garbage
    # among it takes longer than reading it.
    if gc.isenabled():
        gc.disable()
        click.get_current_context().call_on_close(gc.enable)
