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
from mbrelease.cli.storage import dtype_option, shard_option, storage
from mbrelease.cli.whole_model import warn_unless_whole
from mbrelease.errors import UserError
from mbrelease.evaluation.metric_names import lower_is_better

if TYPE_CHECKING:
    from mbrelease.averaging.write_model import Storage
    from mbrelease.checkpoints.checkpoint import Checkpoint
    from mbrelease.checkpoints.source import Source
    from mbrelease.registry.project import Project


EVAL_LOSS = "eval_loss"
MOST_NAMED = 5


@dataclass(frozen=True)
class Call:
    """What was asked for."""

    targets: tuple[str, ...]
    recipe: Recipe
    score_by: str | None
    registry_path: Path | None
    storage: Storage
    allow: frozenset[str]
    as_json: bool


@dataclass(frozen=True)
class Weighed:
    """A checkpoint, the value it is ranked by (in the metric's own direction), its weight."""

    source: Source
    label: str
    value: float | None
    weight: Fraction

    def as_json(self) -> dict[str, Any]:
        """The row for ``--json``."""
        return {
            "name": self.label,
            "path": str(self.source.path),
            "step": self.source.step,
            "value": self.value,
            "weight": str(self.weight),
        }


@click.command("average")
@click.argument("targets", metavar="VARIANT|PATH…", nargs=-1, required=True)
@click.option("-o", "--output", type=click.Path(path_type=Path), help="The folder to write.")
@click.option(
    "--recipe",
    "recipe_text",
    default="uniform",
    show_default=True,
    metavar="RECIPE",
    help=f"Which checkpoints, with which weights: {', '.join(kind.syntax for kind in KINDS)}.",
)
@click.option(
    "--score-by",
    metavar="eval_loss|TASK/METRIC",
    help="What 'best' means: the loss in trainer_state.json, or a metric measured on dev.  "
    "[default: eval_loss; for greedy the primary metric of the variant's policy]",
)
@click.option("--show-weights", is_flag=True, help="Print the weights and read no tensor.")
@click.option(
    "--allow",
    multiple=True,
    metavar="NAME",
    help="Let checkpoints differ in this, and take it from the last: 'tokenizer', a field of the "
    "config, or a tensor. May be repeated.",
)
@dtype_option
@shard_option
@registry_option
@json_option
def command(
    targets: tuple[str, ...],
    output: Path | None,
    recipe_text: str,
    score_by: str | None,
    show_weights: bool,
    allow: tuple[str, ...],
    dtype: str | None,
    max_shard_bytes: int | None,
    registry_path: Path | None,
    as_json: bool,
) -> None:
    """Average checkpoints into one, streaming: no model is ever whole in memory.

    PATH is a checkpoint or a run: a Trainer's output folder, safetensors or pytorch_model.bin,
    Composer .pt files, torch DCP folders, or a model on the Hub with its revision
    (org/name@main). VARIANT stands for the run the registry names. Checkpoints are ordered by step
    where each has one, else as given.
    """
    recipe = parse_recipe(recipe_text)
    if score_by is not None:
        _check_metric(score_by)
    if output is None and not show_weights:
        raise UserError("no output given", mend="add -o FOLDER, or --show-weights to only look")
    stored = storage(dtype, max_shard_bytes)
    call = Call(targets, recipe, score_by, registry_path, stored, frozenset(allow), as_json)
    if recipe.searches:
        _search(call, output)
    elif output is None or show_weights:
        ranked_by = call.score_by or EVAL_LOSS
        _print_weights(recipe, ranked_by, _weigh(call, ranked_by), as_json)
    else:
        _average(call, output)


def _check_metric(score_by: str) -> None:
    if score_by != EVAL_LOSS and "/" not in score_by:
        raise UserError(
            f"--score-by '{score_by}' is neither {EVAL_LOSS} nor a metric of a task",
            mend="such as --score-by title-abstract/recall@1",
        )


def _sources(call: Call) -> list[Source]:
    from mbrelease.checkpoints.sources import discover_sources

    variant = _variant(call)
    if variant is None:
        found = discover_sources(call.targets)
        if call.recipe.text.startswith("weights:"):
            _check_order(call.targets, found)
        return found
    from mbrelease.evaluation.candidates import run_checkpoints

    project = _project(call)
    return list(run_checkpoints(project, project.resolve_name(variant)))


def _check_order(targets: Sequence[str], found: Sequence[Source]) -> None:
    """Weights that were written in one order must not be given out in another."""
    given = [Path(target).resolve() for target in targets]
    in_order = [source.path.resolve() for source in found]
    if given != in_order and set(given) == set(in_order):
        names = " ".join(source.name for source in found)
        raise UserError(
            "weights: are given in the order of training, and the checkpoints in another",
            mend=f"name both in this order: {names}",
        )


def _variant(call: Call) -> str | None:
    """The variant that is meant, if the one target is no path and no model on the Hub."""
    first = call.targets[0]
    if len(call.targets) > 1 or Path(first).exists() or "/" in first or "@" in first:
        return None
    return first


def _project(call: Call) -> Project:
    from mbrelease.registry.load import find_registry, load_project

    path = call.registry_path
    if path is None:
        try:
            path = find_registry(Path.cwd())
        except UserError:
            if (variant := _variant(call)) is None:
                raise
            raise UserError(
                f"{variant} does not exist, and no registry here or above names such a variant",
                mend="give a checkpoint, a Trainer's output folder, or --registry FILE",
            ) from None
    return load_project(path)


def _weigh(call: Call, ranked_by: str) -> list[Weighed]:
    sources = _sources(call)
    values = _values(call, sources, ranked_by)
    names = [source.name for source in sources]
    unique = len(set(names)) == len(names)
    labels = names if unique else [str(source.path) for source in sources]
    sign = -1 if ranked_by == EVAL_LOSS or lower_is_better(ranked_by) else 1
    weights = call.recipe.weights(
        [
            RecipeInput(label, source.step, None if value is None else sign * value)
            for label, source, value in zip(labels, sources, values, strict=True)
        ]
    )
    rows = zip(sources, labels, values, weights, strict=True)
    return [Weighed(*row) for row in rows]


def _values(call: Call, sources: Sequence[Source], ranked_by: str) -> list[float | None]:
    """What each checkpoint is ranked by; ``None`` everywhere where the recipe does not rank."""
    if not call.recipe.needs_scores:
        return [None] * len(sources)
    if ranked_by == EVAL_LOSS:
        states = [source.trainer_state for source in sources]
        return [None if state is None else state.eval_loss for state in states]
    from mbrelease.selection.ranking import measured_values, require_task, tasks_for

    project = _project(call)
    tasks = tasks_for(project, ranked_by, _variant(call))
    if project.registry.suites:
        require_task(tasks, ranked_by, project)
    return measured_values(project, sources, ranked_by, tasks)


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
                "" if row.source.step is None else str(row.source.step),
                "" if row.value is None else f"{row.value:.4f}",
                _shown(row.weight),
            ]
            for row in weighed
        ],
        title=recipe.text,
    )


def _shown(weight: Fraction) -> str:
    """A fraction that people can read, else a decimal; ``--json`` has it exactly."""
    return str(weight) if weight.denominator <= 1000 else f"{float(weight):.6f}"


def _members(weighed: Sequence[Weighed]) -> str:
    """Who took part: all of a few, the first and last of many."""
    names = [f"{row.label} × {_shown(row.weight)}" for row in weighed if row.weight]
    if len(names) <= MOST_NAMED:
        return ", ".join(names)
    return f"{len(names)} checkpoints, {names[0]} … {names[-1]}"


def _average(call: Call, output: Path) -> None:
    from mbrelease.averaging.average import average_checkpoints, find_average

    ranked_by = call.score_by or EVAL_LOSS
    weighed = _weigh(call, ranked_by)
    members = [(row.source, row.weight) for row in weighed]
    result = find_average(
        members, output, recipe=call.recipe.text, storage=call.storage, allow=call.allow
    )
    unchanged = result is not None
    if result is None:
        with progress(quiet=call.as_json) as bar:
            result = average_checkpoints(
                members,
                output,
                recipe=call.recipe.text,
                storage=call.storage,
                allow=call.allow,
                ranked_by=ranked_by if call.recipe.needs_scores else None,
                progress=bar,
            )
    _print_average(call, output, result, unchanged, weighed)


def _search(call: Call, output: Path | None) -> None:
    """Build an average member by member, measuring as it goes."""
    from mbrelease.checkpoints.checkpoint import Checkpoint
    from mbrelease.evaluation.backend import choose_backend
    from mbrelease.selection.greedy import greedy_average, greedy_members
    from mbrelease.selection.ranking import measured_values, require_task, tasks_for

    if output is None:
        raise UserError(
            f"recipe '{call.recipe.text}' measures as it goes: its weights are not known before",
            mend="add -o FOLDER",
        )
    if call.storage.dtype or call.storage.max_shard_bytes or call.allow:
        raise UserError(
            f"recipe '{call.recipe.text}' takes no --dtype, --max-shard-size or --allow: what it "
            "measures is what it writes",
            mend="convert the result: mbrelease convert FOLDER -o FOLDER --dtype …",
        )
    project = _project(call)
    metric = _search_metric(call, project)
    tasks = tasks_for(project, metric, _variant(call))
    require_task(tasks, metric, project)
    sources = _sources(call)
    checkpoints = [source for source in sources if isinstance(source, Checkpoint)]
    if others := [source for source in sources if not isinstance(source, Checkpoint)]:
        raise UserError(
            f"{others[0].path} cannot be measured as it is",
            mend=f"convert it first: mbrelease convert {others[0].path} -o FOLDER",
        )
    with progress(quiet=call.as_json) as bar:
        result, changed = greedy_average(
            project,
            checkpoints,
            metric,
            output,
            tasks=tasks,
            backend=choose_backend("auto"),
            progress=bar,
        )
    members = greedy_members(output, checkpoints)
    assert members is not None
    values = measured_values(project, checkpoints, metric, tasks)
    weighed = [
        Weighed(source, source.name, value, weight)
        for (source, weight), value in zip(members, values, strict=True)
    ]
    _print_average(call, output, result, not changed, weighed)


def _search_metric(call: Call, project: Project) -> str:
    """The metric of ``--score-by``, or the primary one of the variant's policy."""
    if call.score_by == EVAL_LOSS:
        raise UserError(
            f"recipe '{call.recipe.text}' measures averages, for which no Trainer logged a loss",
            mend="choose a metric of a task: --score-by TASK/METRIC",
        )
    if call.score_by is not None:
        return call.score_by
    variant = _variant(call)
    if variant is None or project.variant(variant).policy is None:
        raise UserError(
            f"recipe '{call.recipe.text}' needs a metric", mend="add --score-by TASK/METRIC"
        )
    return project.policy(variant).primary


def _print_average(
    call: Call, output: Path, result: Checkpoint, unchanged: bool, weighed: list[Weighed]
) -> None:
    if not unchanged:
        warn_unless_whole(result)
    if call.as_json:
        print_json(
            {
                "output": str(output),
                "recipe": call.recipe.text,
                "unchanged": unchanged,
                "weights_sha256": result.weights_sha256,
                "members": [row.as_json() for row in weighed],
            }
        )
        return
    talk(f"{'unchanged' if unchanged else 'averaged'}: {_members(weighed)}")
    click.echo(str(output))
