"""The statistics of document sets, as a table: statistics down, sets across."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

from mbrelease.cards.numbers import count_text
from mbrelease.cards.published_checks import Sets
from mbrelease.cards.tables import Table
from mbrelease.cards.told import Place, inline
from mbrelease.evaluation.reported import ReportSource

_STATISTICS = {
    "documents": "Documents",
    "tokens": "Tokens",
    "mean_tokens": "Mean length",
    "sd_tokens": "Standard deviation of the length",
    "longest_tokens": "Longest",
    "shortest_tokens": "Shortest",
}


def sets_table(sets: Sets, names: Sequence[str]) -> Table:
    """What is known of the sets called ``names``."""
    titles = [sets.place.at(name, "title").tell(sets.entries[name].title) for name in names]
    rows = []
    for key, label in _STATISTICS.items():
        values = [getattr(sets.entries[name], key) for name in names]
        if any(value is not None for value in values):
            cells = [
                "" if value is None else sets.place.at(name, key).tell(count_text(value), value)
                for name, value in zip(names, values, strict=True)
            ]
            rows.append((label, *cells))
    headings = [Markup(">" + inline(title)) for title in titles]  # noqa: S704  (inline escapes)
    return Table(("Statistic", *headings), tuple(rows))


def sources_of_sets(sets: Sets, names: Sequence[str]) -> list[tuple[ReportSource, Place]]:
    """Where the statistics were published."""
    given = [(sets.entries[name].source, sets.place.at(name, "source")) for name in names]
    return [
        (ReportSource(source.url, source.name, source.place), at)
        for source, at in given
        if source is not None
    ]
