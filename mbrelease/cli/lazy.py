"""Groups whose commands are imported when they are called, so that ``--help`` waits for none."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

import click

from mbrelease.errors import did_you_mean

Commands = Mapping[str, tuple[str, str]]
"""name → (module below the group's package, short help). The help stands there so that ``--help``
imports no command: torch, transformers, pydantic and huggingface_hub cost seconds."""


class LazyGroup(click.Group):
    """A group whose commands are imported when they are called.

    Args:
        package: of the modules; each has a ``command``.
        lazy: the commands, in the order of the work.
        options: those of ``click.Group``.
    """

    def __init__(self, *, package: str, lazy: Commands, **options: Any) -> None:
        super().__init__(**options)
        self.package = package
        self.lazy = lazy

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The commands, in the order of the work."""
        return list(self.lazy)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the module of ``cmd_name`` and return its ``command``."""
        if cmd_name not in self.lazy:
            return None
        module = importlib.import_module(f"{self.package}.{self.lazy[cmd_name][0]}")
        command = module.command
        assert isinstance(command, click.Command)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command, proposing the nearest name for a misspelt one."""
        if args and args[0] not in self.lazy and not args[0].startswith("-"):
            hint = did_you_mean(args[0], self.lazy) or f"see '{ctx.command_path} --help'"
            raise click.UsageError(f"no command '{args[0]}'; {hint}", ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in self.lazy.items()])
