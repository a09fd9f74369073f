"""``mbrelease registry check-hub``: does the Hub's model tree agree with the registry?"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mbrelease.cli.options import json_option, registry_option
from mbrelease.cli.output import print_json, print_table, progress, talk

if TYPE_CHECKING:
    from mbrelease.hub.family.disagreements import Disagreement

# With the gaps between them they fill 80 columns.
_WIDTHS = (22, 11, 20, 18)


@click.command("check-hub")
@click.argument("variants", nargs=-1, metavar="[VARIANT]...")
@json_option
@registry_option
def command(variants: tuple[str, ...], as_json: bool, registry_path: Path | None) -> int:
    """Compare the published models of the family, or VARIANTs, with the registry.

    Told is where they disagree: base models and the relation to them (what the Hub guesses, where
    a card has none), licences, newer versions; repos that are gone or renamed; what is private
    though released, or published though planned. Where the registry is silent they agree.

    HF_ENDPOINT says which Hub. Exits 1 where they disagree.
    """
    from mbrelease.hub.client import connect, quiet_client
    from mbrelease.hub.family.answers import answers_path, read_answers
    from mbrelease.hub.family.asking import Asker
    from mbrelease.hub.family.check import check_hub, repos_of
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
        family = read_family(asker, kept, repos, upwards=False, limit=len(repos), progress=told)
    result = check_hub(project, names, family, answers, asker.endpoint)
    if as_json:
        print_json(result.as_json())
        return 1 if result.findings else 0
    if result.findings:
        print_table(
            ["variant", "about", "registry", "Hub"], [_row(each) for each in result.findings]
        )
    accepted = f", {result.accepted} skipped" if result.accepted else ""
    talk(
        f"{_count(len(result.commits), 'model')} read from {result.endpoint}: "
        f"{_count(len(result.findings), 'disagreement')}{accepted}"
    )
    return 1 if result.findings else 0


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
