"""The entry point: a lazy group, and the one place where exceptions become sentences."""

from __future__ import annotations

import contextlib
import io
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from mbrelease import __version__
from mbrelease.cli.lazy import LazyGroup
from mbrelease.errors import UserError

COMMANDS = {
    "init": ("init", "Start a project: a registry for the runs here, a release workflow."),
    "registry": ("registry", "Describe the family: its variants, and what each was made from."),
    "eval": ("eval", "Measure what is missing and keep it as evidence."),
    "import": ("import_", "Bring in results of other harnesses, with their source."),
    "export": ("export", "Write measured results in mteb's layout."),
    "average": ("average", "Average checkpoints into one."),
    "convert": ("convert", "Write a checkpoint of any format as safetensors."),
    "normalize": ("normalize", "Rewrite config and tokenizer so that all transformers read them."),
    "select": ("select", "Choose a candidate by the policy."),
    "verify": ("verify", "Check that a checkpoint is ModernBERT and loads."),
    "card": ("card", "Write the model card from the evidence."),
    "push": ("push", "Publish a release folder in one guarded commit."),
    "pull-check": ("pull_check", "Download a published model and hold it against its receipt."),
    "release": ("release", "All of the above in order, skipping what is unchanged."),
    "rehearse": ("rehearse", "Serve a local Hub for rehearsals."),
    "demo": ("demo", "Train a small ModernBERT here and release it to a local Hub."),
}


class ReaderLeft(Exception):
    """Nobody reads our output any more, as in ``mbrelease … | head``."""


@contextlib.contextmanager
def reader_may_leave() -> Iterator[None]:
    """Say so in our own words: click and rich would exit with 1, which here means "no"."""
    try:
        yield
    except BrokenPipeError as error:
        raise ReaderLeft from error
    except SystemExit as error:
        if isinstance(error.__context__, BrokenPipeError):
            raise ReaderLeft from error
        raise


class RootGroup(LazyGroup):
    """The command line as a whole: a reader who leaves the pipe is told from a mistake."""

    def make_context(self, *arguments: Any, **options: Any) -> click.Context:
        """Parse; ``--help`` is printed here."""
        with reader_may_leave():
            return super().make_context(*arguments, **options)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        with reader_may_leave():
            return super().invoke(ctx)


@click.group(
    cls=RootGroup,
    package="mbrelease.cli",
    lazy=COMMANDS,
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.version_option(__version__, prog_name="mbrelease")
def cli() -> None:
    """Take a ModernBERT training run to a model release people can trust.

    run → evidence → decision → release → Hub
    """


def main(argv: list[str] | None = None) -> int:
    """Run the command line and return (for tests) or exit with its code.

    0 done, 1 a check failed or nothing could be chosen, 2 the call was wrong, 130 interrupted,
    141 nobody reads the output any more (as other tools in a pipe answer).
    """
    code = run(argv)
    if argv is None:
        sys.exit(code)
    return code


def run(argv: list[str] | None) -> int:
    """Run the command line and return its exit code."""
    _prepare_streams()
    try:
        result: Any = cli.main(args=argv, prog_name="mbrelease", standalone_mode=False)
    except UserError as error:
        return _say(str(error), error.exit_code)
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message(), err=True)
        return 2
    except click.UsageError as error:
        where = f"\n  see '{error.ctx.command_path} --help'" if error.ctx else ""
        return _say(error.format_message() + where, 2)
    except click.ClickException as error:
        return _say(error.format_message(), 2)
    except (click.Abort, KeyboardInterrupt):
        return _interrupted()
    except ReaderLeft:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except OSError as error:
        # A file that no one expected to be unreadable, such as one in a locked folder.
        where = f"{error.filename}: " if error.filename else ""
        return _say(f"{where}{error.strerror or error}", 2)
    except Exception as error:
        if not _is_interrupt(error):
            raise
        return _interrupted()
    return result if isinstance(result, int) else 0


def _is_interrupt(error: BaseException) -> bool:
    """Whether an interrupt is behind ``error``: compiled code may put its own in its stead."""
    link: BaseException | None = error
    seen: set[int] = set()
    while link is not None and id(link) not in seen:
        seen.add(id(link))
        if isinstance(link, KeyboardInterrupt) or "KeyboardInterrupt" in str(link):
            return True
        link = link.__cause__ or link.__context__
    return False


def _interrupted() -> int:
    return _say("interrupted; what was finished is kept", 130)


def _prepare_streams() -> None:
    """Nothing that is said may fail: not where a stream is closed, nor for want of a letter."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115
        elif isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _say(message: str, code: int) -> int:
    click.echo(f"{click.style('error', fg='red', bold=True)}: {message}", err=True)
    return code


if __name__ == "__main__":
    main()
