"""The candidates of a variant, with their weights on disk: checkpoints and averages of them."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Literal

from mbrelease.averaging.average import find_average
from mbrelease.averaging.recipes import RecipeInput, parse_recipe
from mbrelease.checkpoints.checkpoint import Checkpoint
from mbrelease.errors import UserError
from mbrelease.evaluation.candidates import run_checkpoints
from mbrelease.evaluation.metric_names import lower_is_better
from mbrelease.registry.project import Project
from mbrelease.selection.greedy import searched_members, values_in_evidence
from mbrelease.selection.measurements import read_values

Members = list[tuple[Checkpoint, Fraction]]


@dataclass(frozen=True)
class CandidateSource:
    """Something that could become the release."""

    name: str
    kind: Literal["checkpoint", "average", "reference"]
    checkpoint: Checkpoint
    recipe: str | None = None
    members: dict[str, Fraction] = field(default_factory=dict)
    """Of an average: the weight of each checkpoint, by name."""


def candidate_sources(project: Project, variant: str) -> list[CandidateSource]:
    """The checkpoints of the run in step order, then the averages in the order of the registry.

    Raises:
        UserError: an average has not been built, or not from what the evidence says now.
    """
    checkpoints = run_checkpoints(project, variant)
    sources = [CandidateSource(c.name, "checkpoint", c) for c in checkpoints]
    for recipe in project.variant(variant).candidates.averages:
        members = average_members(project, variant, recipe)
        folder = average_folder(project, variant, recipe)
        average = find_average(members, folder, recipe=recipe)
        if average is None:
            raise _not_built(project, variant, recipe)
        weights = {checkpoint.name: weight for checkpoint, weight in members if weight}
        sources.append(CandidateSource(recipe, "average", average, recipe, weights))
    return sources


def average_members(project: Project, variant: str, recipe_text: str) -> Members:
    """Each checkpoint of the run and its weight in the average, in step order.

    What is best is decided by the policy's primary metric on dev. What a search found is read from
    the average that it led to.

    Raises:
        UserError: no such recipe, too few checkpoints, a score it needs is not measured, or a
            search has not been made, or not among what the evidence says now.
    """
    recipe = parse_recipe(recipe_text)
    checkpoints = run_checkpoints(project, variant)
    if recipe.searches:
        found = search_members(project, variant, recipe_text)
        if found is None:
            raise _not_built(project, variant, recipe_text)
        return found
    scores: list[float | None] = [None] * len(checkpoints)
    if recipe.needs_scores:
        primary = project.policy(variant).primary
        sign = -1 if lower_is_better(primary) else 1
        values = read_values(project, variant, checkpoints, primary)
        scores = [None if value is None else sign * value for value in values]
    inputs = [
        RecipeInput(checkpoint.name, checkpoint.step, score)
        for checkpoint, score in zip(checkpoints, scores, strict=True)
    ]
    return list(zip(checkpoints, recipe.weights(inputs), strict=True))


def search_members(project: Project, variant: str, recipe: str) -> Members | None:
    """As ``average_members`` of a recipe that searches.

    ``None`` if its search has not been made, or not among what the evidence says now.
    """
    primary, tasks = project.policy(variant).primary, project.suite(variant)
    checkpoints = run_checkpoints(project, variant)
    values = [values_in_evidence(project, one, primary, tasks) for one in checkpoints]
    folder = average_folder(project, variant, recipe)
    return searched_members(folder, checkpoints, primary, values)


def _not_built(project: Project, variant: str, recipe: str) -> UserError:
    primary, folder = project.policy(variant).primary, average_folder(project, variant, recipe)
    return UserError(
        f"the average {recipe} of '{variant}' is not built, or not from these checkpoints",
        mend=f"mbrelease average {variant} --recipe {recipe} --score-by {primary} -o {folder}",
    )


def average_folder(project: Project, variant: str, recipe: str) -> Path:
    """Where an average that is a candidate lies: ``averages/<variant>/best-3+last``."""
    # A weight may be written 1/3, and a third party's recipe hold anything.
    return project.averages / variant / re.sub(r"[^A-Za-z0-9.,+-]", "-", recipe)
