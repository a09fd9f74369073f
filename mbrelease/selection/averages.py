"""Build the averages that are candidates of a variant, and measure them on dev."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mbrelease.averaging.average import average_checkpoints, find_average
from mbrelease.averaging.recipes import Recipe, RecipeInput, parse_recipe
from mbrelease.checkpoints.checkpoint import Checkpoint
from mbrelease.evaluation.backend import Backend
from mbrelease.evaluation.candidates import run_checkpoints
from mbrelease.evaluation.jobs import plan_jobs, stored
from mbrelease.evaluation.measure import run_jobs
from mbrelease.progress import SILENT, Progress
from mbrelease.registry.project import Project
from mbrelease.selection.candidates import average_folder, average_members
from mbrelease.selection.greedy import greedy_average
from mbrelease.selection.measurements import SELECTION_SPLIT


@dataclass(frozen=True)
class Made:
    """What was done for the averages of a variant."""

    n_averages: int
    n_built: int
    n_jobs: int
    n_measured: int

    @property
    def changed(self) -> bool:
        """Whether anything had to be done."""
        return self.n_built > 0 or self.n_measured > 0

    @property
    def summary(self) -> str:
        """In words, such as ``2 built, 0 unchanged; 1 measured, 1 known``."""
        return (
            f"{self.n_built} built, {self.n_averages - self.n_built} unchanged; "
            f"{self.n_measured} measured, {self.n_jobs - self.n_measured} known"
        )


def make_averages(
    project: Project, variant: str, *, backend: Backend, progress: Progress = SILENT
) -> Made:
    """Build each average that the registry names and that is not there, and measure all on dev.

    The checkpoints of the run have been measured where a recipe ranks them.

    Args:
        project: Whose evidence is read and added to.
        variant: A variant's name.
        backend: Where averages are measured.
        progress: Told how far it is.

    Raises:
        CheckFailed: the checkpoints differ in more than their weights, or hold NaN or Inf.
        UserError: an input is wrong, or a score is missing that a recipe needs.
    """
    recipes = project.variant(variant).candidates.averages
    averages = [
        build_average(project, variant, recipe, backend=backend, progress=progress)
        for recipe in recipes
    ]
    n_jobs, n_measured = measure_on_dev(
        project, variant, [average for average, _ in averages], backend=backend, progress=progress
    )
    return Made(len(averages), sum(is_new for _, is_new in averages), n_jobs, n_measured)


def build_average(
    project: Project,
    variant: str,
    recipe_text: str,
    *,
    backend: Backend,
    progress: Progress = SILENT,
) -> tuple[Checkpoint, bool]:
    """The average by a recipe in its folder of the project, and whether it had to be built.

    A recipe that searches measures as it goes.

    Raises:
        CheckFailed: the checkpoints differ in more than their weights, or hold NaN or Inf.
        UserError: an input is wrong, or a score is missing that the recipe needs.
    """
    recipe = parse_recipe(recipe_text)
    folder = average_folder(project, variant, recipe.text)
    if recipe.searches:
        average, is_new = greedy_average(
            project,
            run_checkpoints(project, variant),
            project.policy(variant).primary,
            folder,
            tasks=project.suite(variant),
            backend=backend,
            progress=progress,
        )
    else:
        average, is_new = _mean(project, variant, recipe, folder, progress)
    if is_new:
        progress.note(f"built {recipe.text}")
    return average, is_new


def _mean(
    project: Project, variant: str, recipe: Recipe, folder: Path, progress: Progress
) -> tuple[Checkpoint, bool]:
    members = average_members(project, variant, recipe.text)
    if average := find_average(members, folder, recipe=recipe.text):
        return average, False
    average = average_checkpoints(
        members,
        folder,
        recipe=recipe.text,
        ranked_by=project.policy(variant).primary if recipe.needs_scores else None,
        progress=progress,
    )
    return average, True


def check_recipes(project: Project, variant: str) -> None:
    """See that each average that the registry names can be made of the checkpoints there are.

    Raises:
        UserError: there is no such recipe, or there are too few checkpoints for it.
    """
    inputs = [RecipeInput(one.name, one.step, 0.0) for one in run_checkpoints(project, variant)]
    for text in project.variant(variant).candidates.averages:
        recipe = parse_recipe(text)
        if not recipe.searches:
            recipe.weights(inputs)


def measure_on_dev(
    project: Project,
    variant: str,
    checkpoints: Sequence[Checkpoint],
    *,
    backend: Backend,
    progress: Progress = SILENT,
) -> tuple[int, int]:
    """Measure what is missing on dev; how many measurements there are, and how many were made.

    Raises:
        CheckFailed: measurements failed.
        UserError: data are missing, or nothing can be measured.
    """
    jobs = plan_jobs(
        checkpoints,
        project.suite(variant),
        SELECTION_SPLIT,
        backend=backend,
        data_root=project.root,
    )
    n_missing = sum(stored(job, project.evidence) is None for job in jobs)
    languages = project.registry.defaults.languages
    run_jobs(jobs, project.evidence, languages=languages, progress=progress)
    return len(jobs), n_missing
