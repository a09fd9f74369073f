"""Models side by side on several metrics: what there is to show, and the finding in words."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal

from mbrelease.cards.pictures.wording import Wording, several, worded
from mbrelease.errors import UserError

MOST_MODELS, MOST_GROUPS = 6, 12
_SAID = 6  # metrics of the alternative text

Interval = tuple[float, float]


@dataclass(frozen=True)
class Group:
    """One metric of all models, in their order."""

    label: str
    """Such as ``title-abstract recall@1``."""
    better: Literal["higher", "lower"]
    """Where higher is better, bars begin at zero; of a loss points stand on a scale of its own."""
    values: tuple[float | None, ...]
    """Unrounded; ``None`` where a model was not measured."""
    texts: tuple[str, ...]
    """The values as the card writes them, perhaps with their origins."""
    intervals: tuple[Interval | None, ...]
    """At 95%, where there are any."""


@dataclass(frozen=True)
class Bars:
    """One small panel a metric, in each of them one bar a model.

    Raises:
        UserError: a value or the end of an interval is not a finite number.
    """

    title: str
    subtitle: str
    models: tuple[str, ...]
    own: int
    """The position of this model."""
    reference: int | None
    """The position of the model that it is held against."""
    groups: tuple[Group, ...]

    def __post_init__(self) -> None:
        for group in self.groups:
            rows = (group.values, group.texts, group.intervals)
            assert all(len(row) == len(self.models) for row in rows), group.label
            bounds = [bound for interval in group.intervals if interval for bound in interval]
            for number in (*group.values, *bounds):
                if number is not None and not math.isfinite(number):
                    raise UserError(
                        f"{group.label} is {number}, which no picture can show",
                        mend="look for what broke the model or the evaluation, then measure again",
                    )

    @property
    def has_intervals(self) -> bool:
        """Whether any value has an interval."""
        return any(interval for group in self.groups for interval in group.intervals)

    @property
    def measured(self) -> tuple[Group, ...]:
        """The metrics that this model was measured on."""
        return tuple(group for group in self.groups if group.values[self.own] is not None)


def readable(bars: Bars) -> Bars:
    """``bars`` with no more models and metrics than a picture can show: this one's, then the first.

    A model that was measured nowhere is left out.
    """
    groups = bars.measured[:MOST_GROUPS]
    needed = [bars.own] + ([] if bars.reference is None else [bars.reference])
    others = [
        i
        for i in range(len(bars.models))
        if i not in needed and any(group.values[i] is not None for group in groups)
    ]
    kept = sorted([*needed, *others[: MOST_MODELS - len(needed)]])
    return replace(
        bars,
        models=tuple(bars.models[i] for i in kept),
        own=kept.index(bars.own),
        reference=None if bars.reference is None else kept.index(bars.reference),
        groups=tuple(
            replace(
                group,
                values=tuple(group.values[i] for i in kept),
                texts=tuple(group.texts[i] for i in kept),
                intervals=tuple(group.intervals[i] for i in kept),
            )
            for group in groups
        ),
    )


def bars_words(bars: Bars) -> Wording:
    """The finding in one sentence: each metric of this model against the reference's."""
    found = [_group_words(bars, group) for group in bars.measured[:_SAID]]
    against = () if bars.reference is None else (bars.models[bars.reference],)
    begin = worded("This model against {}" if against else "This model", *against)
    more = "; and more." if len(bars.measured) > _SAID else "."
    return worded("{}: {}" + more, begin, several(found))


def _group_words(bars: Bars, group: Group) -> Wording:
    own = group.texts[bars.own]
    if bars.reference is not None and group.values[bars.reference] is not None:
        return worded("{} {} (against {})", group.label, own, group.texts[bars.reference])
    best = _best(group)
    if bars.reference is not None or best is None:
        return worded("{} {}", group.label, own)
    if group.texts[best] == own:
        return worded("{} {}, the best", group.label, own)
    ahead = (bars.models[best], group.texts[best])
    return worded("{} {}, behind {} with {}", group.label, own, *ahead)


def _best(group: Group) -> int | None:
    """The position of the best value, where there are several."""
    known = {i: value for i, value in enumerate(group.values) if value is not None}
    if len(known) < 2:
        return None
    return (max if group.better == "higher" else min)(known, key=lambda i: known[i])
