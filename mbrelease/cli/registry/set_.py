"""``mbrelease registry set``: set a key of a variant."""

from __future__ import annotations

from pathlib import Path

import click

from mbrelease.cli.options import json_option, registry_option
from mbrelease.cli.output import print_json, talk


@click.command("set")
@click.argument("variant")
@click.argument("key")
@click.argument("value")
@click.option("--text", "as_text", is_flag=True, help="Take VALUE as it is, not as YAML.")
@json_option
@registry_option
def command(
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
