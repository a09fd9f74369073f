"""``mbrelease average``: checkpoints in, one averaged checkpoint out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mbrelease.averaging.recipes import KINDS, Recipe, RecipeInput, parse_recipe
from mbrelease.cli.options import json_option, registry_option
from mbrelease.cli.output import print_json, print_table, progress, talk
from mbrelease.errors import UserError
from mbrelease.evaluation.metric_names import lower_is_better, split_metric

if TYPE_CHECKING:
    from mbrelease.checkpoints.checkpoint import Checkpoint

EVAL_LOSS = "eval_loss"


@dataclass(frozen=True)
class Weighed:
    """A checkpoint, the value it is ranked by (in the metric's own direction), its weight."""

    checkpoint: Checkpoint
    label: str
    value: float | None
    weight: Fraction

    def as_json(self) -> dict[str, Any]:
        """The row for ``--json``."""
        return {
            "name": self.label,
            "path": str(self.checkpoint.path),
            "step": self.checkpoint.step,
            "value": self.value,
            "weight": str(self.weight),
        }


@click.command("average")
@click.argument("paths", metavar="VARIANT|PATH…", nargs=-1, required=True)
@click.option("-o", "--output", type=click.Path(path_type=Path), help="The folder to write.")
@click.option(
    "--recipe",
    "recipe_text",
    default="uniform",
    show_default=True,
    metavar="|".join(kind.syntax for kind in KINDS),
    help="Which checkpoints, with which weights.",
)
@click.option(
    "--score-by",
    default=EVAL_LOSS,
    show_default=True,
    metavar="eval_loss|TASK/METRIC",
    help="What 'best' means: the loss in trainer_state.json, or a metric measured on dev.",
)
@click.option("--show-weights", is_flag=True, help="Print the weights and read no tensor.")
@registry_option
@json_option
def command(
    paths: tuple[str, ...],
    output: Path | None,
    recipe_text: str,
    score_by: str,
    show_weights: bool,
    registry_path: Path | None,
    as_json: bool,
) -> None:
    """Average checkpoints into one, streaming: no model is ever whole in memory.

    PATH is a checkpoint's folder or a Trainer's output folder; VARIANT stands for the run the
    registry names. Checkpoints are ordered by step where each has one, else as given.
    """
    recipe = parse_recipe(recipe_text)
    if output is None and not show_weights:
        raise UserError("no output given", mend="add -o FOLDER, or --show-weights to only look")
    weighed = _weigh(_checkpoints(paths, registry_path), recipe, score_by, registry_path)
    if output is None or show_weights:
        _print_weights(recipe, score_by, weighed, as_json)
    else:
        _average(recipe, weighed, output, as_json)


def _checkpoints(paths: Sequence[str], registry_path: Path | None) -> list[Checkpoint]:
    from mbrelease.checkpoints.discover import discover_all

    if len(paths) > 1 or Path(paths[0]).exists() or "/" in paths[0]:
        return discover_all(map(Path, paths))
    from mbrelease.evaluation.candidates import run_checkpoints
    from mbrelease.registry.load import find_registry, load_project

    if registry_path is None:
        try:
            registry_path = find_registry(Path.cwd())
        except UserError:
            raise UserError(
                f"{paths[0]} does not exist, and no registry here or above names such a variant",
                mend="give a checkpoint's folder, a Trainer's output folder, or --registry FILE",
            ) from None
    project = load_project(registry_path)
    return run_checkpoints(project, project.resolve_name(paths[0]))


def _weigh(
    checkpoints: list[Checkpoint], recipe: Recipe, score_by: str, registry_path: Path | None
) -> list[Weighed]:
    values = _values(checkpoints, recipe, score_by, registry_path)
    names = [checkpoint.name for checkpoint in checkpoints]
    unique = len(set(names)) == len(names)
    labels = names if unique else [str(checkpoint.path) for checkpoint in checkpoints]
    sign = -1 if score_by == EVAL_LOSS or lower_is_better(score_by) else 1
    weights = recipe.weights(
        [
            RecipeInput(label, checkpoint.step, None if value is None else sign * value)
            for label, checkpoint, value in zip(labels, checkpoints, values, strict=True)
        ]
    )
    rows = zip(checkpoints, labels, values, weights, strict=True)
    return [Weighed(*row) for row in rows]


def _values(
    checkpoints: list[Checkpoint], recipe: Recipe, score_by: str, registry_path: Path | None
) -> list[float | None]:
    """What each checkpoint is ranked by; ``None`` everywhere where the recipe does not rank."""
    if not recipe.needs_scores:
        return [None] * len(checkpoints)
    if score_by == EVAL_LOSS:
        states = [checkpoint.trainer_state for checkpoint in checkpoints]
        return [None if state is None else state.eval_loss for state in states]
    if "/" not in score_by:
        raise UserError(
            f"--score-by '{score_by}' is neither {EVAL_LOSS} nor a metric of a task",
            mend="such as --score-by title-abstract/recall@1",
        )
    from mbrelease.registry.load import find_registry

    registry = registry_path or find_registry(Path.cwd())
    return _measured(checkpoints, registry.parent / "evidence", score_by)


def _measured(checkpoints: list[Checkpoint], root: Path, score_by: str) -> list[float | None]:
    """The metric on dev, of all checkpoints under the same settings."""
    from mbrelease.evaluation.comparable import comparable_records

    task, key = split_metric(score_by)
    records = comparable_records(root, checkpoints, task, "dev")
    return [record.metrics.get(key) if record else None for record in records]


def _print_weights(recipe: Recipe, score_by: str, weighed: list[Weighed], as_json: bool) -> None:
    ranked_by = score_by if recipe.needs_scores else None
    if as_json:
        rows = [row.as_json() for row in weighed]
        print_json({"recipe": recipe.text, "ranked_by": ranked_by, "members": rows})
        return
    print_table(
        ["checkpoint", ">step", f">{ranked_by or ''}", ">weight"],
        [
            [
                row.label,
                "" if row.checkpoint.step is None else str(row.checkpoint.step),
                "" if row.value is None else f"{row.value:.4f}",
                str(row.weight),
            ]
            for row in weighed
        ],
        title=recipe.text,
    )


def _average(recipe: Recipe, weighed: list[Weighed], output: Path, as_json: bool) -> None:
    from mbrelease.averaging.average import average_checkpoints, find_average

    members = [(row.checkpoint, row.weight) for row in weighed]
    earlier = find_average(members, output, recipe=recipe.text)
    if earlier is None:
        with progress(quiet=as_json) as bar:
            result = average_checkpoints(members, output, recipe=recipe.text, progress=bar)
    else:
        result = earlier
    if as_json:
        print_json(
            {
                "output": str(output),
                "recipe": recipe.text,
                "unchanged": earlier is not None,
                "weights_sha256": result.weights_sha256,
                "members": [row.as_json() for row in weighed],
            }
        )
        return
    names = ", ".join(f"{row.label} × {row.weight}" for row in weighed if row.weight)
    talk(f"{'unchanged' if earlier else 'averaged'}: {names}")
    click.echo(str(output))
