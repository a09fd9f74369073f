"""Options that several commands share, declared once."""

from __future__ import annotations

from pathlib import Path

import click

json_option = click.option("--json", "as_json", is_flag=True, help="Print the answer as JSON.")

registry_option = click.option(
    "--registry",
    "registry_path",
    type=click.Path(path_type=Path, dir_okay=False),
    default=None,
    help="The registry file.  [default: the nearest registry.yaml, here or above]",
)
