"""``mbrelease card --lint``: hold a card to the Hub's rules."""

from __future__ import annotations

import os
import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mbrelease.cli.output import talk

if TYPE_CHECKING:
    from mbrelease.metadata.finding import Finding
    from mbrelease.registry.project import Project


def lint(
    readme: Path,
    *,
    project: Project | None,
    variant: str | None,
    endpoint: str | None,
    answer: dict[str, object],
    quiet: bool,
) -> int:
    """Print what is to mend, a line each, and return how many of them are errors.

    A Hub is asked too, at ``endpoint`` or at what ``HF_ENDPOINT`` says; at neither, none is.

    Args:
        project, variant: what the card is of, where a registry knows it.
        answer: takes the findings, for ``--json``.
        quiet: print nothing.

    Raises:
        UserError: the card cannot be read, or the Hub not be asked.
    """
    from mbrelease.cards.lint import lint_card
    from mbrelease.errors import UserError
    from mbrelease.files import unreadable

    try:
        text = readme.read_bytes().decode("utf-8")
    except UnicodeDecodeError as error:
        raise UserError(
            f"{readme} is not UTF-8 text (byte {error.start})", mend="save it as UTF-8"
        ) from error
    except OSError as error:
        raise unreadable(readme, error) from error
    findings = lint_card(text, project=project, variant=variant, folder=readme.parent)
    server = endpoint or os.environ.get("HF_ENDPOINT")
    if server:
        findings += _asked(server, text)
    errors = sum(finding.is_error for finding in findings)
    answer |= {
        "findings": [finding.as_json() for finding in findings],
        "errors": errors,
        "warnings": len(findings) - errors,
        "asked": server or None,
    }
    if not quiet:
        for finding in findings:
            click.echo(_located(finding, readme))
        talk(
            f"{readme}: {_counted(errors, 'error')}, {_counted(len(findings) - errors, 'warning')}"
        )
    return errors


def _asked(endpoint: str, text: str) -> list[Finding]:
    """What the Hub at ``endpoint`` says, each at the line of the field that it names."""
    from mbrelease.hub.client import connect, quiet_client, shown_endpoint
    from mbrelease.hub.front_matter import ask_server
    from mbrelease.metadata.finding import Finding

    api = connect(endpoint)
    api.token = False  # to check a text takes no account, and the address may be anybody's
    with quiet_client():
        errors, warnings = ask_server(api, "", text)
    told = shown_endpoint(api)
    return [
        *(Finding(*_place(text, said), f"{told} says: {said}") for said in errors),
        *(
            Finding(*_place(text, said), f"{told} says: {said}", None, "warning")
            for said in warnings
        ),
    ]


def _place(text: str, message: str) -> tuple[int, str]:
    """The line and the field that a message such as ``"license" must be …`` is about."""
    from mbrelease.metadata.check import top_of
    from mbrelease.metadata.front_matter import read_front_matter

    match = re.match(r'"?([\w-]+)', message)
    top = top_of(read_front_matter(text))
    spot = top.get(match[1]) if top is not None and match is not None else None
    return (1, "") if spot is None else (spot.line, spot.name)


def _located(finding: Finding, readme: Path) -> str:
    """The finding with the path of its file as a person would type it."""
    own = readme.name if finding.file == "README.md" else finding.file
    return str(replace(finding, file=str(readme.parent / own)))


def _counted(count: int, noun: str) -> str:
    return f"{count or 'no'} {noun}" + ("" if count == 1 else "s")
