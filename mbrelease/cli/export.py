"""``mbrelease export``: measured evidence in mteb's layout."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from mbrelease.cli.options import json_option, registry_option
from mbrelease.cli.output import print_json, talk

if TYPE_CHECKING:
    from mbrelease.checkpoints.checkpoint import Checkpoint
    from mbrelease.evaluation.export import Model
    from mbrelease.registry.project import Project


@click.command("export")
@click.argument("targets", nargs=-1, metavar="[VARIANT|PATH…]")
@click.option(
    "-o",
    "--output",
    required=True,
    type=click.Path(path_type=Path, file_okay=False),
    help="The folder; mteb's 'results' folder is made in it.",
)
@json_option
@registry_option
def command(
    targets: tuple[str, ...], output: Path, as_json: bool, registry_path: Path | None
) -> None:
    """Write measured results as mteb does, for its tables and leaderboards.

    TARGETS are variants (their released weights, or every checkpoint of a run that has no release
    yet) or folders; without any, all variants whose weights are here. Reported results are not
    exported.
    """
    from mbrelease.evaluation.export import export_mteb
    from mbrelease.registry.load import load_project

    project = load_project(registry_path)
    models = [model for target in targets for model in _models(project, target)]
    if not targets:
        models = _all_models(project)
    files = export_mteb(models, project.evidence, output)
    if as_json:
        print_json([str(path) for path in files])
        return
    folders = {path.parent for path in files}
    for model in models:
        if output / model.folder not in folders:
            talk(f"nothing of {model.checkpoint.path}: not measured, or not as the others were")
    talk(f"exported {len(files) - len(folders)} results of {len(folders)} models")
    click.echo(str(output / "results"))


def _all_models(project: Project) -> list[Model]:
    from mbrelease.errors import UserError
    from mbrelease.evaluation.candidates import NoWeights

    models = []
    for name in project.registry.variants:
        try:
            models += _models(project, name)
        except NoWeights:
            continue
    if not models:
        raise UserError(
            f"no variant of {project.registry_path} has weights on disk",
            mend="give a checkpoint folder",
        )
    return models


def _models(project: Project, target: str) -> list[Model]:
    from mbrelease.checkpoints.discover import discover
    from mbrelease.evaluation.export import Model

    if target not in project.registry.variants and Path(target).is_dir():
        return [Model(one, one.path.resolve().name) for one in discover(Path(target))]
    name = project.resolve_name(target)
    return [_of_variant(project, name, one) for one in _checkpoints(project, name)]


def _checkpoints(project: Project, name: str) -> list[Checkpoint]:
    from mbrelease.evaluation.candidates import NoWeights, released_checkpoint, run_checkpoints

    try:
        return [released_checkpoint(project, name)]
    except NoWeights:
        run = project.variant(name).run
        if run is None or not project.path(run).exists():
            raise
        return run_checkpoints(project, name)


def _of_variant(project: Project, name: str, checkpoint: Checkpoint) -> Model:
    from mbrelease.evaluation.export import Model

    variant, defaults = project.variant(name), project.registry.defaults
    parents = [project.variant(one.variant).repo for one in variant.parents]
    languages = defaults.languages if variant.languages is None else variant.languages
    return Model(
        checkpoint,
        name=variant.repo or name,
        license=variant.license or defaults.license,
        languages=tuple(languages),
        url=f"https://huggingface.co/{variant.repo}" if variant.repo else None,
        parent=parents[0] if len(parents) == 1 else None,
    )
