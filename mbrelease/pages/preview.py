"""The page of a card as one HTML file that asks for nothing."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from mbrelease.pages.lineage import Named
from mbrelease.pages.results import ResultSet
from mbrelease.pages.tags import Tag
from mbrelease.pages.templates import environment, style_sheet


@dataclass(frozen=True)
class Fact:
    """A line of the box beside the card."""

    name: str
    value: str
    note: str = ""
    href: str | None = None


@dataclass(frozen=True)
class ListedFile:
    """A file of the folder."""

    path: str
    size_bytes: int


@dataclass(frozen=True)
class PreviewPage:
    """What stands on the page.

    Fields:
        name: of the model, ``org/name`` where that is known.
        notices: what is wrong with the metadata, a sentence each.
        body: the card's text as HTML that is safe.
        relation: of the model to its ``parents``.
    """

    name: str
    tags: Sequence[Tag]
    notices: Sequence[str]
    body: Markup
    facts: Sequence[Fact] = ()
    parents: Sequence[Named] = ()
    relation: str = ""
    new_version: Named | None = None
    datasets: Sequence[Named] = ()
    papers: Sequence[Named] = ()
    results: Sequence[ResultSet] = ()
    files: Sequence[ListedFile] = ()

    @property
    def size_bytes(self) -> int:
        """Bytes of all files together."""
        return sum(file.size_bytes for file in self.files)


def preview_document(page: PreviewPage) -> str:
    """The page as one HTML file."""
    style = style_sheet()
    template = environment().get_template("preview.html.j2")
    return template.render(page=page, style=Markup(style), policy=content_policy(style))  # noqa: S704


def content_policy(style: str) -> str:
    """What a browser may load for the page: its own style and the pictures within it."""
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    return (
        f"default-src 'none'; style-src 'sha256-{digest}'; img-src data:; base-uri 'none';"
        " form-action 'none'"
    )
