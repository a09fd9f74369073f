"""``mbrelease registry check-hub``: does the Hub's model tree agree with the registry?"""

from __future__ import annotations

import shutil
import sys
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mbrelease.cli.options import json_option, registry_option
from mbrelease.cli.output import print_json, print_table, progress, talk
from mbrelease.errors import CheckFailed, UserError

if TYPE_CHECKING:
    from mbrelease.hub.family.disagreements import Disagreement

# With the gaps between them they fill 80 columns.
_WIDTHS = (22, 11, 20, 18)
_TABLE = 80
_COLUMNS = ("variant", "about", "registry", "Hub")


@click.command("check-hub")
@click.argument("variants", nargs=-1, metavar="[VARIANT]...")
@json_option
@registry_option
def command(variants: tuple[str, ...], as_json: bool, registry_path: Path | None) -> int:
    """Compare the published models of the family, or VARIANTs, with the registry.

    Told is where they disagree: base models and the relation to them (what the Hub guesses, where
    a card has none), licences, newer versions; repos that are gone or renamed; what is private
    though released, or published though planned. Where the registry is silent they agree.

    HF_ENDPOINT says which Hub. Exits 1 where they disagree, 2 where they do not so far and the Hub
    could not be asked, about some or at all.
    """
    from mbrelease.hub.client import connect, quiet_client
    from mbrelease.hub.family.answers import answers_path, read_answers
    from mbrelease.hub.family.asking import Asker
    from mbrelease.hub.family.check import check_hub, repos_of, unasked
    from mbrelease.hub.family.kept import KeptFacts
    from mbrelease.hub.family.reading import read_family
    from mbrelease.registry.load import load_project

    project = load_project(registry_path)
    names = [project.resolve_name(name) for name in variants] or list(project.registry.variants)
    names = list(dict.fromkeys(names))
    answers = read_answers(answers_path(project))
    repos = repos_of(project, names)
    with progress(quiet=as_json) as told, quiet_client():
        asker = Asker(connect(), told)
        kept = KeptFacts.beside(project, asker.endpoint)
        try:
            family = read_family(asker, kept, repos, upwards=False, limit=len(repos), progress=told)
        except CheckFailed as error:
            if as_json:
                print_json(unasked(project, names, asker.endpoint, error.message).as_json())
            # No disagreement, so not its exit code.
            raise UserError(error.message, mend=error.mend) from error
    result = check_hub(project, names, family, answers, asker.endpoint)
    code = {True: 0, False: 1, None: 2}[result.agree]
    if as_json:
        print_json(result.as_json())
        return code
    for repo, why in result.unreadable.items():
        talk(f"could not read {repo}: {why}")
    if result.findings:
        _print(result.findings)
    accepted = f", {result.accepted} skipped" if result.accepted else ""
    talk(
        f"{_count(len(result.commits), 'model')} read from {result.endpoint}: "
        f"{_count(len(result.findings), 'disagreement')}{accepted}"
    )
    return code


def _print(findings: Sequence[Disagreement]) -> None:
    """As a table; where the terminal is too narrow for that, one thing below the other."""
    from mbrelease.questions.columns import stacked_text

    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else _TABLE
    if width >= _TABLE:
        print_table(_COLUMNS, [_row(each) for each in findings])
        return
    cells = [(each.variant, each.about, each.registry, each.hub) for each in findings]
    click.echo("\n".join(stacked_text(_COLUMNS, cells, width)))


def _row(each: Disagreement) -> Sequence[str]:
    cells = (each.variant, each.about, each.registry, each.hub)
    return ["\n".join(_folded(cell, width)) for cell, width in zip(cells, _WIDTHS, strict=True)]


def _folded(text: str, width: int) -> list[str]:
    """Lines no wider than ``width``; an id that is too long is broken behind its account."""
    lines: list[str] = []
    for line in textwrap.wrap(text, width, break_long_words=False, break_on_hyphens=False):
        account, slash, rest = line.partition("/")
        parts = [account + slash, rest] if len(line) > width and slash else [line]
        lines += [piece for part in parts for piece in textwrap.wrap(part, width)]
    return lines or [""]


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'s' if number != 1 else ''}"
