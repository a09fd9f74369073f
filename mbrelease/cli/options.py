"""Options that several commands share, declared once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click


class GivenOnce(click.Option):
    """An option whose first value would be lost without a word, were a second one given."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **{**options, "multiple": True})

    def process_value(self, ctx: click.Context, value: Any) -> Any:
        """The one value, or ``None``."""
        values = super().process_value(ctx, value)
        if len(values) > 1:
            raise click.UsageError(f"{max(self.opts, key=len)} is given {len(values)} times", ctx)
        return values[0] if values else None


json_option = click.option("--json", "as_json", is_flag=True, help="Print the answer as JSON.")


def _registry(_context: click.Context, _option: click.Parameter, path: Path | None) -> Path | None:
    """The registry that a path means."""
    if path is None or path.name == "registry.yaml":
        return path
    from mbrelease.registry.include import registry_at

    return registry_at(path)


registry_option = click.option(
    "--registry",
    "registry_path",
    type=click.Path(path_type=Path),
    callback=_registry,
    metavar="FILE",
    default=None,
    help="The registry file.  [default: the nearest registry.yaml, here or above]",
)
