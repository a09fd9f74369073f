"""``mbrelease registry schema``: the JSON Schema of registry.yaml."""

from __future__ import annotations

import click


@click.command("schema")
def command() -> None:
    """Print the JSON Schema of registry.yaml, for editors.

    Written beside the registry as registry.schema.json it is found by the comment
    '# yaml-language-server: $schema=./registry.schema.json'.
    """
    from mbrelease.registry.json_schema import registry_schema_text

    click.echo(registry_schema_text(), nl=False)
