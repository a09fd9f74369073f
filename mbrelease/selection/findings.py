"""What the curves of a run show, in plain sentences with their numbers.

A sentence that says "more than noise" is corrected for all that was looked at to find it: the step
of a peak, the best average and the best checkpoint are picked by the same numbers. An interval is
of the one difference that is named (percentile bootstrap, 95%), and is not corrected. Of reported
points nothing but their values is known, and the sentences say so.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from mbrelease.evaluation.metric_names import decimals, lower_is_better, shown
from mbrelease.selection.decision import Finding
from mbrelease.selection.statistics import (
    Floats,
    percentile_interval,
    simultaneous_margins,
)

# What is written is the same on every machine: sums differ in their last digits.
DIGITS = 10
Kind = Literal[
    "turned", "last-not-best", "average-beats", "average-ties", "average-loses", "flat", "decay"
]


@dataclass(frozen=True)
class Curves:
    """Every metric of every candidate, on all examples and in resamples; higher is better."""

    names: tuple[str, ...]
    kinds: tuple[Literal["checkpoint", "average", "reference"], ...]
    """Checkpoints stand in training order; a reference is passed over."""
    steps: tuple[int | None, ...]
    metrics: tuple[str, ...]
    """``task/metric``, the primary one first; the name tells the metric's own direction."""
    point: Floats
    """Shape (candidates, metrics): of metrics such as a loss, the value times -1."""
    values: Floats
    """Shape (resamples, candidates, metrics), likewise; no resamples where only points are known.
    A metric's resamples are of the same examples for all candidates."""
    alpha: float
    """How often noise alone may be taken for something, in each kind of finding."""
    decay_start: int | None = None
    """The last step before the learning rate falls for good."""


def find(curves: Curves) -> list[Finding]:
    """What the curves show, what has turned first.

    A metric with a value that is not finite is passed over. ``numbers`` of a finding has values
    in the metric's own direction, and differences that are positive where the first is better:

    - ``turned``: ``peak_step``, ``last_step``, ``peak``, ``last``, ``fall`` with ``low`` and
      ``high``, and of the loss ``loss_at_peak`` and ``loss_at_last``.
    - ``last-not-best``: ``best``, ``last``, ``difference`` (of the best) with its interval, and
      ``more_than_noise``, 1 or 0.
    - ``average-beats``, ``-ties``, ``-loses``: ``average``, ``single``, ``difference`` (of the
      average) with its interval, ``n_averages``, ``n_checkpoints``.
    - ``flat``: ``lowest``, ``highest``, ``band`` (the widest half width of the simultaneous bands
      about the mean), ``n_checkpoints``.
    - ``decay``: ``step``, ``n_since`` and, where there are checkpoints on both sides, ``before``,
      ``last``, ``difference`` (of the last) with its interval, ``more_than_noise``.

    Steps are left out where they are unknown, intervals and ``more_than_noise`` where only points
    are known.
    """
    run = _Run.of(curves)
    turned = list(_turned(run))
    last = list(_last_not_best(run))
    moved = {metric for finding in turned for metric in finding.metrics[:1]}
    moved |= {f.metrics[0] for f in last if f.numbers.get("more_than_noise")}
    return [*turned, *last, *_averages(run), *_flat(run, moved), *_decay(run)]


@dataclass(frozen=True)
class _Run:
    """The curves, and where the checkpoints, the averages and the usable metrics stand in them."""

    curves: Curves
    checkpoints: tuple[int, ...]
    averages: tuple[int, ...]
    columns: tuple[int, ...]

    @staticmethod
    def of(curves: Curves) -> _Run:
        def of_kind(kind: str) -> tuple[int, ...]:
            return tuple(i for i, own in enumerate(curves.kinds) if own == kind)

        finite = np.isfinite(curves.point).all(axis=0) & np.isfinite(curves.values).all(axis=(0, 1))
        columns = tuple(int(column) for column in np.flatnonzero(finite))
        return _Run(curves, of_kind("checkpoint"), of_kind("average"), columns)

    @property
    def inferred(self) -> bool:
        """Whether there are resamples."""
        return len(self.curves.values) > 0

    def metric(self, column: int) -> str:
        return self.curves.metrics[column]

    def name(self, row: int) -> str:
        return self.curves.names[row]

    def best(self, rows: Sequence[int], column: int) -> int:
        """Of equal values the first."""
        return max(rows, key=lambda row: float(self.curves.point[row, column]))

    def value(self, row: int, column: int) -> float:
        """In the metric's own direction."""
        value = float(self.curves.point[row, column])
        return -value if lower_is_better(self.metric(column)) else value

    def text(self, row: int, column: int) -> str:
        return shown(self.metric(column), self.value(row, column))

    def place(self, row: int) -> str:
        """``step 50,000``, or the name of a checkpoint without a step."""
        step = self.curves.steps[row]
        return self.name(row) if step is None else f"step {step:,}"

    def steps(self, **rows: int) -> dict[str, float]:
        """The steps that are known."""
        known = {key: self.curves.steps[row] for key, row in rows.items()}
        return {key: float(step) for key, step in known.items() if step is not None}

    def leads(self, pairs: Sequence[tuple[int, int, int]]) -> _Leads:
        """Of each (a, b, metric) by how much a leads b, with bounds that hold for all at once."""
        curves = self.curves
        a, b, column = map(list, zip(*pairs, strict=True))
        point = curves.point[a, column] - curves.point[b, column]
        values = curves.values[:, a, column] - curves.values[:, b, column]
        if self.inferred:
            margins = simultaneous_margins(values, point, curves.alpha)
        else:
            margins = np.zeros(len(pairs))
        return _Leads(point, values, margins)


@dataclass(frozen=True)
class _Leads:
    """Differences that were looked at together."""

    point: Floats
    values: Floats
    margins: Floats

    def is_real(self, i: int) -> bool:
        """Whether the difference is above 0 by more than noise; of points, whether it is above."""
        return bool(self.point[i] > self.margins[i])

    def numbers(self, i: int, name: str) -> dict[str, float]:
        """The difference as ``name``, and its interval."""
        found = {name: float(self.point[i])}
        if len(self.values):
            found["low"], found["high"] = percentile_interval(self.values[:, i])
        return found


def _turned(run: _Run) -> Iterator[Finding]:
    """The last checkpoint against the peak, though a loss is better there than at the peak.

    The family is every earlier checkpoint against the last one, on every metric: whichever of
    them is the peak, it has been counted.
    """
    if len(run.checkpoints) < 2 or not run.columns:
        return
    *earlier, last = run.checkpoints
    falls, fell = _against(run, earlier, last)
    gains, gained = _against(run, earlier, last, reverse=True)
    for column in run.columns:
        peak = run.best(run.checkpoints, column)
        if peak == last or not falls.is_real(fell[peak, column]):
            continue
        loss = next(
            (
                other
                for other in run.columns
                if lower_is_better(run.metric(other)) and gains.is_real(gained[peak, other])
            ),
            None,
        )
        if loss is not None:
            numbers = falls.numbers(fell[peak, column], "fall")
            yield _turn(run, peak, last, column, loss, numbers)


def _against(
    run: _Run, earlier: Sequence[int], last: int, *, reverse: bool = False
) -> tuple[_Leads, dict[tuple[int, int], int]]:
    """Each earlier checkpoint against the last, on every metric, and the place of each."""
    keys = [(row, column) for column in run.columns for row in earlier]
    pairs = [(last, row, column) if reverse else (row, last, column) for row, column in keys]
    return run.leads(pairs), {key: i for i, key in enumerate(keys)}


def _turn(
    run: _Run, peak: int, last: int, column: int, loss: int, fall: dict[str, float]
) -> Finding:
    metric, other = run.metric(column), run.metric(loss)
    was, since = ("was best", "worsened") if lower_is_better(metric) else ("peaked", "fallen")
    by = _size(metric, fall["fall"]) + _interval(metric, fall)
    return _finding(
        "turned",
        f"{metric} {was} at {run.place(peak)} ({run.text(peak, column)}) and has {since} by {by} "
        f"until {run.place(last)}, while {other} still improved, from {run.text(peak, loss)} to "
        f"{run.text(last, loss)}{_ending(run, real=True)}",
        [metric, other],
        [run.name(peak), run.name(last)],
        {
            **run.steps(peak_step=peak, last_step=last),
            "peak": run.value(peak, column),
            "last": run.value(last, column),
            **fall,
            "loss_at_peak": run.value(peak, loss),
            "loss_at_last": run.value(last, loss),
        },
    )


def _last_not_best(run: _Run) -> Iterator[Finding]:
    """The best checkpoint against the last, on the primary metric."""
    if len(run.checkpoints) < 2 or 0 not in run.columns:
        return
    *earlier, last = run.checkpoints
    best = run.best(run.checkpoints, 0)
    if run.value(best, 0) == run.value(last, 0):
        return
    leads = run.leads([(row, last, 0) for row in earlier])
    i, metric = earlier.index(best), run.metric(0)
    numbers = leads.numbers(i, "difference")
    yield _finding(
        "last-not-best",
        f"The last checkpoint, {run.name(last)}, is not the best on {metric}: it has "
        f"{run.text(last, 0)}, and {run.place(best)} has {run.text(best, 0)}, "
        f"{_gap(metric, numbers)}{_ending(run, leads.is_real(i))}",
        [metric],
        [run.name(best), run.name(last)],
        {
            **run.steps(best_step=best, last_step=last),
            "best": run.value(best, 0),
            "last": run.value(last, 0),
            **numbers,
            **({"more_than_noise": float(leads.is_real(i))} if run.inferred else {}),
        },
    )


def _averages(run: _Run) -> Iterator[Finding]:
    """The best average against the best checkpoint, on the primary metric.

    Averaging beats if the best average leads every checkpoint, whichever is truly the best, by
    more than the averages' greatest lead over that one might be by chance (Hsu, 1996, chapter 4);
    and it loses the same way round.
    """
    if not run.averages or not run.checkpoints or 0 not in run.columns:
        return
    average, single = run.best(run.averages, 0), run.best(run.checkpoints, 0)
    leads = run.leads([(average, single, 0)])
    numbers, metric = leads.numbers(0, "difference"), run.metric(0)
    if _leads_all(run, average, run.averages, run.checkpoints):
        kind: Kind = "average-beats"
        lead = "Averaging beats the best single checkpoint"
    elif _leads_all(run, single, run.checkpoints, run.averages):
        kind, lead = "average-loses", "No average beats the best single checkpoint"
    else:
        kind, lead = "average-ties", "No average beats the best single checkpoint"
    many = len(run.averages)
    which = f"the best of {many} averages, {run.name(average)}," if many > 1 else run.name(average)
    than = f"{run.name(single)} with {run.text(single, 0)}"
    yield _finding(
        kind,
        f"{lead} on {metric}: {which} has {run.text(average, 0)}, "
        f"{_gap(metric, numbers, than=than)}{_ending(run, kind != 'average-ties')}",
        [metric],
        [run.name(average), run.name(single)],
        {
            "average": run.value(average, 0),
            "single": run.value(single, 0),
            **numbers,
            "n_averages": float(many),
            "n_checkpoints": float(len(run.checkpoints)),
        },
    )


def _leads_all(run: _Run, first: int, group: Sequence[int], rivals: Sequence[int]) -> bool:
    """Whether ``first`` of ``group`` is better than every rival, all of the group counted."""
    place = group.index(first)
    return all(run.leads([(row, rival, 0) for row in group]).is_real(place) for rival in rivals)


def _flat(run: _Run, moved: set[str]) -> Iterator[Finding]:
    """Metrics of which no checkpoint is told from the mean of all; those that moved are not."""
    rows = list(run.checkpoints)
    if len(rows) < 2 or not run.inferred:
        return
    for column in run.columns:
        metric = run.metric(column)
        deviations, bands = _about_the_mean(run, rows, column)
        if metric in moved or (np.abs(deviations) > bands).any():
            continue
        low, high = min(run.value(r, column) for r in rows), max(run.value(r, column) for r in rows)
        band = float(bands.max())
        yield _finding(
            "flat",
            f"{metric} does not change over the {len(rows)} checkpoints by more than its noise: "
            f"it lies between {shown(metric, low)} and {shown(metric, high)}, and "
            f"{1 - run.curves.alpha:.0%} bands that hold at once reach {_size(metric, band)} to "
            "either side of the mean.",
            [metric],
            [run.name(row) for row in rows],
            {"lowest": low, "highest": high, "band": band, "n_checkpoints": float(len(rows))},
        )


def _about_the_mean(run: _Run, rows: list[int], column: int) -> tuple[Floats, Floats]:
    """How far each of ``rows`` is from their mean, and how far it may be by chance."""
    point, values = run.curves.point[rows, column], run.curves.values[:, rows, column]
    # What rounding leaves of a mean of equal numbers is no change.
    slack = 1e-12 * np.abs(point).max()
    point, values = point - point.mean(), values - values.mean(axis=1, keepdims=True)
    values[np.abs(values) < slack] = 0.0
    # Both sides at once: the bands are two-sided.
    sides = np.concatenate([values, -values], axis=1), np.concatenate([point, -point])
    bands = simultaneous_margins(*sides, run.curves.alpha)[: len(rows)]
    return point, bands + slack


def _decay(run: _Run) -> Iterator[Finding]:
    """Where the learning rate begins to fall, and the primary metric since."""
    start, steps = run.curves.decay_start, run.curves.steps
    if start is None:
        return
    known = [(row, step) for row in run.checkpoints if (step := steps[row]) is not None]
    before = [row for row, step in known if step <= start]
    since = [row for row, step in known if step > start]
    sentence = f"The learning rate decays after step {start:,}"
    numbers = {"step": float(start), "n_since": float(len(since))}
    if not before or not since or 0 not in run.columns:
        yield _finding("decay", f"{sentence}.", [], [run.name(row) for row in since], numbers)
        return
    old, new, metric = before[-1], since[-1], run.metric(0)
    leads = run.leads([(new, old, 0)])
    change = leads.numbers(0, "difference")
    real = not change.get("low", 0.0) <= 0.0 <= change.get("high", 0.0)
    yield _finding(
        "decay",
        f"{sentence}; from {run.place(old)} to {run.place(new)} {metric} has gone from "
        f"{run.text(old, 0)} to {run.text(new, 0)}, {_gap(metric, change)}{_ending(run, real)}",
        [metric],
        [run.name(old), run.name(new)],
        {
            **numbers,
            "before": run.value(old, 0),
            "last": run.value(new, 0),
            **change,
            **({"more_than_noise": float(real)} if run.inferred else {}),
        },
    )


def _gap(metric: str, numbers: dict[str, float], *, than: str = "") -> str:
    """``0.040 better (95% interval 0.021 to 0.058) than X``, or worse, its ends turned."""
    difference, low, high = (numbers.get(key, 0.0) for key in ("difference", "low", "high"))
    if difference == 0:
        return f"the same{f' as {than}' if than else ''}"
    word = "better"
    if difference < 0:
        word, difference, low, high = "worse", -difference, -high, -low
    interval = _interval(metric, {"low": low, "high": high} if "low" in numbers else {})
    return f"{_size(metric, difference)} {word}{interval}{f' than {than}' if than else ''}"


def _ending(run: _Run, real: bool) -> str:
    if not run.inferred:
        return ", by the reported values alone."
    return "; that is more than noise." if real else "; that may be noise."


def _interval(metric: str, numbers: dict[str, float]) -> str:
    if "low" not in numbers:
        return ""
    return f" (95% interval {_size(metric, numbers['low'])} to {_size(metric, numbers['high'])})"


def _size(metric: str, difference: float) -> str:
    """A difference with the metric's decimals, or with one digit where those would show none."""
    text = f"{difference:.{decimals(metric)}f}"
    if float(text):
        return text
    return f"{difference:.1g}" if abs(difference) > 1e-9 else f"{0:.{decimals(metric)}f}"


def _finding(
    kind: Kind,
    sentence: str,
    metrics: list[str],
    candidates: list[str],
    numbers: dict[str, float],
) -> Finding:
    rounded = {key: float(f"{value:.{DIGITS}g}") for key, value in numbers.items()}
    return Finding(
        kind=kind, sentence=sentence, metrics=metrics, candidates=candidates, numbers=rounded
    )
