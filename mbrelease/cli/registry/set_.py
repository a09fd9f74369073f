"""``mbrelease registry set``: set a key of a variant."""

from __future__ import annotations

import re
from pathlib import Path

import click

from mbrelease.cli.options import json_option, registry_option
from mbrelease.cli.output import print_json, talk
from mbrelease.cli.registry.refusal import refusal_as_json

_NUMBER = re.compile(r"-\.?[0-9]|-\.inf", re.IGNORECASE)


class _BelowZero(click.Command):
    """A command to which -5 is a number and no option."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Move such numbers, of which VALUE is the only one, behind the options."""
        numbers = [arg for arg in args if _NUMBER.match(arg)]
        if numbers and "--" not in args:
            args = [*(arg for arg in args if arg not in numbers), "--", *numbers]
        return super().parse_args(ctx, args)


@click.command("set", cls=_BelowZero)
@click.argument("variant")
@click.argument("key")
@click.argument("value", required=False)
@click.option("--text", "as_text", is_flag=True, help="Take VALUE as it is, not as YAML.")
@click.option("--remove", is_flag=True, help="Remove KEY, with the comments that belong to it.")
@json_option
@registry_option
def command(
    variant: str,
    key: str,
    value: str | None,
    as_text: bool,
    remove: bool,
    as_json: bool,
    registry_path: Path | None,
) -> None:
    """Set KEY of VARIANT to VALUE, which is read as YAML.

    KEY may lead inward by dots, and into lists by numbers, with + for behind the last:
    training.tokens, parents.0.relation, candidates.averages.+. Nothing else in the file changes;
    a change that would make the registry invalid is refused.
    """
    from mbrelease.registry.edit import parse_value, remove_value, set_value
    from mbrelease.registry.load import find_registry
    from mbrelease.registry.mistakes import shown_path

    if remove and value is not None:
        raise click.UsageError("--remove takes no VALUE")
    if not remove and value is None:
        raise click.UsageError("give a VALUE, or --remove")
    with refusal_as_json(as_json, variant=variant, key=key):
        parsed = value if as_text or value is None else parse_value(value)
        path = registry_path or find_registry(Path.cwd())
        done = remove_value(path, variant, key) if remove else set_value(path, variant, key, parsed)
    name = done.project.resolve_name(variant)
    where = shown_path(done.files[0] if done.files else done.project.defined_in(name)[0])
    if as_json:
        answer = {"path": where, "variant": name, "key": key, "value": parsed}
        print_json({**answer, "removed": remove, "changed": done.changed})
    elif remove:
        talk(f"removed {key} of '{name}' from {where}")
    else:
        talk(f"{'set' if done.changed else 'unchanged:'} {key} of '{name}' in {where}")
