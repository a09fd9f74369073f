"""Search over averages: propose recipes for a run, and make candidates of what they give."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

from mbrelease.averaging.compatibility import check_compatible
from mbrelease.averaging.recipes import parse_recipe
from mbrelease.averaging.recipes.wsm import EXAMPLES as WSM_RECIPES
from mbrelease.errors import UserError
from mbrelease.evaluation.backend import Backend
from mbrelease.evaluation.candidates import released_checkpoint, run_checkpoints
from mbrelease.progress import SILENT, Progress
from mbrelease.registry.edit import add_to_list
from mbrelease.registry.project import Project
from mbrelease.selection.averages import (
    build_average,
    check_recipes,
    make_averages,
    measure_on_dev,
)
from mbrelease.selection.candidates import average_members, search_members
from mbrelease.selection.greedy import RECIPE as GREEDY

LARGEST_K = 5


def propose(project: Project, variant: str) -> list[str]:
    """Recipes that would add something to the averages of ``variant``.

    Of recipes with the same weights the first is proposed, and none whose weights an average in
    the registry has, however that is spelt, or that would give a single checkpoint. Recipes that
    need no scores stand before those that choose by them. A search that has not been made is
    proposed, for its weights are not known.

    Raises:
        UserError: the variant has no policy or no run, an average of the registry cannot be made,
            or the checkpoints have not been measured on the policy's primary metric.
    """
    variant = project.resolve_name(variant)
    known = project.variant(variant).candidates.averages
    taken = {_weights(project, variant, recipe) for recipe in known} - {None}
    proposals = []
    for recipe in _recipes(len(run_checkpoints(project, variant))):
        if recipe in known:
            continue
        weights = _weights(project, variant, recipe)
        if weights is None or (weights not in taken and max(weights) < 1):
            taken.add(weights)
            proposals.append(recipe)
    return proposals


def is_finished(project: Project, variant: str) -> bool:
    """Whether a search would add nothing, as far as is known before anything is measured."""
    try:
        return not propose(project, variant)
    except UserError:
        return False


def _recipes(n_checkpoints: int) -> Iterator[str]:
    """All that is considered for a run of so many checkpoints."""
    if n_checkpoints < 2:
        return
    largest = min(LARGEST_K, n_checkpoints - 1)
    yield from (f"last:{k}" for k in range(2, largest + 1))
    yield "uniform"
    yield from WSM_RECIPES
    yield from (f"best:{k}+last" for k in range(1, largest + 1))
    # Of two checkpoints it finds the mean, or one of them.
    if n_checkpoints > 2:
        yield GREEDY


def _weights(project: Project, variant: str, recipe: str) -> tuple[Fraction, ...] | None:
    """The weight of each checkpoint in step order; ``None`` of a search that has not been made."""
    if parse_recipe(recipe).searches:
        members = search_members(project, variant, recipe)
    else:
        members = average_members(project, variant, recipe)
    return None if members is None else tuple(weight for _, weight in members)


def search(
    project: Project, variant: str, *, backend: Backend, progress: Progress = SILENT
) -> list[str]:
    """Make candidates of the averages that are proposed: in the registry, built, measured on dev.

    Reference and checkpoints are measured first, for what is best is told by their scores. What
    the registry says stays, and what it names already is built and measured too. A search that
    was killed goes on where it stood. The test split is not touched.

    Args:
        project: Whose registry and evidence are added to; load it again afterwards.
        variant: A variant's name or alias.
        backend: Where everything is measured.
        progress: Told what is measured, built and added.

    Returns:
        The recipes that were added to the registry.

    Raises:
        CheckFailed: the checkpoints differ in more than their weights, hold NaN or Inf, or
            measurements failed.
        UserError: an input is missing or wrong, or the registry cannot be edited.
    """
    variant = project.resolve_name(variant)
    # Measuring can take hours: what would stop it later is told before.
    reference = released_checkpoint(project, project.policy(variant).reference)
    checkpoints = run_checkpoints(project, variant)
    check_recipes(project, variant)
    check_compatible(checkpoints)
    measure_on_dev(project, variant, [reference, *checkpoints], backend=backend, progress=progress)
    # What the greedy search finds may be what another recipe gives: it is made before.
    if was_searched := GREEDY in propose(project, variant):
        build_average(project, variant, GREEDY, backend=backend, progress=progress)
    added = propose(project, variant)
    if was_searched and GREEDY not in added:
        progress.note(f"{GREEDY} finds what is a candidate already: it is not added")
    edit = add_to_list(project.registry_path, variant, "candidates.averages", added)
    progress.note(_told(project, variant, added, len(checkpoints)))
    made = make_averages(edit.project, variant, backend=backend, progress=progress)
    progress.note(f"averages on dev: {made.summary}")
    return added


def _told(project: Project, variant: str, added: list[str], n_checkpoints: int) -> str:
    if added:
        return f"added to the averages of {variant} in {project.registry_path}: {', '.join(added)}"
    if n_checkpoints < 2:
        return f"{variant} has one checkpoint: nothing to average"
    return f"nothing to add to the averages of {variant}"
