"""The model card: front matter and body, from a registry's variant or from a plain folder."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from markupsafe import Markup

from mbrelease import __version__
from mbrelease.cards.context import CardContext, folder_context, variant_context
from mbrelease.cards.eval_results import eval_results
from mbrelease.cards.figures import SECTIONS, Figure, figures
from mbrelease.cards.render import check_own_templates, render, template_folders, typed_in
from mbrelease.cards.snippets.outputs import with_outputs
from mbrelease.cards.snippets.records import Outcomes, known_outcomes
from mbrelease.cards.told import Origin, Span, extract
from mbrelease.cards.trace import FRONT_MATTER, Number, numbers_in
from mbrelease.cards.weights import read_decision_of
from mbrelease.metadata.regions import Page, fresh_page, has_marks, read_page
from mbrelease.registry.project import Project

OWN_TEMPLATES = "templates"
"""A folder of this name beside the registry overrides templates one by one."""

GENERATED_KEYS = (
    "language", "license", "license_name", "license_link", "library_name", "pipeline_tag",
    "base_model", "base_model_relation", "new_version", "datasets", "tags", "co2_eq_emissions",
    "model-index",
)  # fmt: skip
"""Of the front matter; other keys there are the author's."""


@dataclass(frozen=True)
class Card:
    """What is generated of a card."""

    variant: str
    version: str
    """Of the mbrelease that wrote it."""
    front_matter: str
    page: Page
    """Of nothing but generated regions."""
    numbers: tuple[Number, ...]
    figures: tuple[Figure, ...]
    """All pictures that could stand on it."""
    results: Mapping[str, str]
    """Files of results on benchmarks of the Hub, by path."""

    @property
    def text(self) -> str:
        """The card as it is where nobody has written to it."""
        return self.page.text

    @property
    def unfounded(self) -> tuple[Number, ...]:
        """Numbers that neither a record nor the text of a template has: a template's own sums."""
        return tuple(n for n in self.numbers if n.origin is None and n.template is None)


@dataclass(frozen=True)
class Draft:
    """All that a card needs, read; what is left is to fill the templates."""

    project: Project
    variant: str
    context: CardContext
    figures: tuple[Figure, ...]
    """All pictures that could stand on it."""

    def card(self, pictures: Collection[str] = ()) -> Card:
        """The card with those of its pictures, by their stems, that ``pictures`` names.

        What its code printed is read now.

        Raises:
            UserError: a template is at fault (``file:line``), or the record of what was printed.
        """
        standing = _pictures([figure for figure in self.figures if figure.stem in pictures])
        context = replace(self.context, pictures=standing)
        weights_sha256 = context.model.weights_sha256
        outcomes = None
        if weights_sha256 is not None:
            release = self.project.release(self.variant)
            outcomes = known_outcomes(self.project.evidence, weights_sha256, release)
        own_templates = self.project.root / OWN_TEMPLATES
        check_own_templates(own_templates)
        return _card(self.variant, context, own_templates, outcomes, self.figures)


def read_draft(project: Project, variant: str, *, version: str = __version__) -> Draft:
    """Read what the card of ``variant`` is made of; arguments and errors as of ``make_card``."""
    name = project.resolve_name(variant)
    decision = read_decision_of(project, name)
    context = variant_context(project, name, decision, version)
    drawable = figures(
        project,
        name,
        decision=decision,
        evaluation=context.evaluation,
        weights_sha256=context.model.weights_sha256,
    )
    return Draft(project, name, context, drawable)


def make_card(
    project: Project,
    variant: str,
    *,
    pictures: Collection[str] = (),
    version: str = __version__,
) -> Card:
    """The card of ``variant``; the same inputs give the same card.

    Args:
        project: the registry, with decisions and evidence beside it.
        variant: a variant's name or an alias.
        pictures: which of its pictures stand on it, by their stems.
        version: of the mbrelease that the card names as its writer.

    Raises:
        UserError: no such variant, a decision is missing, a file is malformed, or a template
            is at fault (``file:line``).
        CheckFailed: the decision chose no candidate.
    """
    return read_draft(project, variant, version=version).card(pictures)


def render_card(project: Project, variant: str) -> str:
    """The whole README.md of ``variant``: YAML front matter and Markdown, ending in one newline.

    Raises:
        UserError: as ``make_card``.
        CheckFailed: the decision chose no candidate.
    """
    return make_card(project, variant).text


def make_folder_card(folder: Path, repo_id: str | None = None) -> Card:
    """A minimal card for a checkpoint that no registry speaks of, from its own files.

    Args:
        folder: The checkpoint.
        repo_id: Where it will be published; its examples load it from there.

    Raises:
        UserError: ``folder`` is no checkpoint, or one of its files is malformed.
    """
    context = folder_context(folder, repo_id)
    return _card(context.model.name, context, None, None)


def render_folder_card(folder: Path, repo_id: str | None = None) -> str:
    """The text of ``make_folder_card``."""
    return make_folder_card(folder, repo_id).text


def _pictures(shown: Sequence[Figure]) -> dict[str, tuple[Markup, ...]]:
    found: dict[str, tuple[Markup, ...]] = dict.fromkeys(SECTIONS, ())
    for figure in shown:
        image = Markup(f"![{figure.alt!s}]({figure.png})")  # noqa: S704  (alt is Markdown)
        found[figure.section] = (*found[figure.section], image)
    return found


def _card(
    variant: str,
    context: CardContext,
    own_templates: Path | None,
    outcomes: Outcomes | None,
    drawable: tuple[Figure, ...] = (),
) -> Card:
    folders = template_folders(own_templates)
    body = _framed(render(context, folders))
    if outcomes is not None:
        body = with_outputs(body, outcomes)
    text, spans = extract(body)
    regions = read_page(text, "the card").regions
    return Card(
        variant=variant,
        version=str(context.source.tool_version),
        front_matter=context.metadata,
        page=fresh_page(context.metadata, regions),
        numbers=(
            *_values(context.metadata, context.metadata_origins),
            *_numbers(text, spans, regions, typed_in(folders)),
        ),
        figures=drawable,
        results=eval_results(context.evaluation, context.model.repo) if context.evaluation else {},
    )


def _framed(body: str) -> str:
    """``body`` as one region, where a project's own frame makes none."""
    if has_marks(body):
        return body
    return f"<!-- mbrelease:card -->\n\n{body}\n<!-- /mbrelease:card -->\n"


def _values(front_matter: str, origins: Sequence[Origin]) -> list[Number]:
    """The values of the results in the front matter."""
    lines = [
        (line, text.partition(":")[2].strip())
        for line, text in enumerate(front_matter.split("\n"), 1)
        if re.match(r" +(?:- )?value:", text)
    ]
    return [
        Number(FRONT_MATTER, line, value, origin)
        for (line, value), origin in zip(lines, origins, strict=True)
    ]


def _numbers(
    text: str,
    spans: tuple[Span, ...],
    regions: dict[str, str],
    template_of: Callable[[str, str], str | None],
) -> list[Number]:
    found: list[Number] = []
    position = 0
    for name, region in regions.items():
        start = text.index(region, text.index(f"<!-- mbrelease:{name} -->", position))
        position = start + len(region)
        own = tuple(
            Span(span.start - start, span.end - start, span.origin)
            for span in spans
            if start <= span.start < position
        )
        found += numbers_in(name, region, own, partial(template_of, name))
    return found
