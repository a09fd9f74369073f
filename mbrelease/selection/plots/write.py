"""Write the pictures of a decision."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from mbrelease.evaluation.metric_names import split_metric
from mbrelease.pictures.write import write_pictures
from mbrelease.selection.decision import Decision
from mbrelease.selection.plots.words import measured

if TYPE_CHECKING:
    from mbrelease.pictures.render import Picture


def write_plots(decision: Decision, folder: Path) -> list[Path]:
    """Write each metric over training, and the primary metric against the first guardrail's.

    Each is an SVG and a PNG of the same name; the same decision gives the same bytes.

    Raises:
        MissingExtra: matplotlib is not installed.
        UserError: the folder cannot be written.
    """
    return write_pictures(lambda: draw(decision), folder)


def draw(decision: Decision) -> dict[str, Picture]:
    """The pictures of ``decision`` by the stems of their files, drawn in the style around it."""
    from mbrelease.selection.plots.draw_trajectory import draw_trajectory
    from mbrelease.selection.plots.front import draw_front

    pictures = {
        trajectory_stem(decision, metric): draw_trajectory(decision, metric)
        for metric in decision.metrics
        if any(measured(candidate, metric) for candidate in decision.candidates)
    }
    across = across_metric(decision)
    if across is not None:
        pictures[front_stem(decision)] = draw_front(decision, across)
    return pictures


def across_metric(decision: Decision) -> str | None:
    """The first guardrail's metric that is not the primary one and was measured, if any."""
    up = decision.policy.primary
    return next(
        (
            metric
            for metric in decision.metrics
            if metric != up
            and any(measured(one, metric) and measured(one, up) for one in decision.candidates)
        ),
        None,
    )


def trajectory_stem(decision: Decision, metric: str) -> str:
    """The file name, less its suffix, of the picture of ``task/metric``."""
    task, key = split_metric(metric)
    return f"{decision.variant}.{task.replace('/', '-')}.{key}"


def front_stem(decision: Decision) -> str:
    """The file name, less its suffix, of the picture of two metrics."""
    return f"{decision.variant}.front"
