"""Every rule, applied to a card."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from mbrelease.metadata.base_models import check_lineage
from mbrelease.metadata.fields import FIELDS, check_fields
from mbrelease.metadata.finding import Finding
from mbrelease.metadata.front_matter import FrontMatter, read_front_matter
from mbrelease.metadata.kinds import nothing_is_null, numbers_are_finite
from mbrelease.metadata.spot import Spot
from mbrelease.metadata.yaml_versions import impossible_dates, read_differently


def check_metadata(text: str, *, repo_id: str | None = None) -> list[Finding]:
    """What is wrong with the metadata of a card, by line; empty if nothing is.

    Args:
        text: the whole README.md.
        repo_id: of the model, where it is known: a model is not its own parent.
    """
    matter = read_front_matter(text)
    top = top_of(matter)
    if top is None:
        return list(matter.findings)
    findings = [
        *matter.findings,
        *nothing_is_null(top),
        *numbers_are_finite(top),
        *_read_differently(top),
        *impossible_dates(top),
        *check_fields(top),
        *check_lineage(top, repo_id),
    ]
    return sorted(dict.fromkeys(findings), key=lambda each: (each.line, not each.is_error))


def top_of(matter: FrontMatter) -> Spot | None:
    """The metadata as a mapping with places; ``None`` where they cannot be read."""
    if matter.document is None:
        return None
    return Spot(matter.document)


def _read_differently(top: Spot) -> Iterator[Finding]:
    """An error in what the Hub reads; in a field of the author's own, a warning."""
    for finding in read_differently(top):
        read = finding.field.partition(".")[0].partition("[")[0] in FIELDS
        yield finding if read else replace(finding, level="warning")
