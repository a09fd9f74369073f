"""Which checkpoints a variant can become: those of its run, and averages of them."""

from __future__ import annotations

from mbrelease.checkpoints.checkpoint import Checkpoint, open_checkpoint
from mbrelease.checkpoints.discover import discover
from mbrelease.errors import UserError
from mbrelease.registry.project import Project


def run_checkpoints(project: Project, variant: str) -> list[Checkpoint]:
    """The checkpoints of the variant's run that its ``candidates`` admit, in step order.

    Raises:
        UserError: the variant has no run, the run no checkpoints, or not those that are named.
    """
    entry = project.variant(variant)
    if entry.run is None:
        raise UserError(
            f"variant '{variant}' names no run in {project.registry_path}",
            mend=f"mbrelease registry set {variant} run FOLDER",
        )
    found = discover(project.path(entry.run))
    if entry.candidates.checkpoints == "all":
        return found
    wanted = entry.candidates.checkpoints
    missing = sorted(set(wanted) - {checkpoint.step for checkpoint in found})
    if missing:
        raise UserError(
            f"{project.path(entry.run)} has no checkpoint at step {missing[0]}",
            mend=f"see candidates.checkpoints of '{variant}' in {project.registry_path}",
        )
    return [checkpoint for checkpoint in found if checkpoint.step in wanted]


def released_checkpoint(project: Project, variant: str) -> Checkpoint:
    """The one checkpoint that ``variant`` stands for.

    Its ``weights`` where the registry names them, else the only checkpoint of its run, else its
    release folder.

    Raises:
        UserError: none of these is there, or the run has several checkpoints and no release.
    """
    entry = project.variant(variant)
    if entry.weights is not None:
        return open_checkpoint(project.path(entry.weights))
    found = discover(project.path(entry.run)) if entry.run is not None else []
    if len(found) == 1:
        return found[0]
    if (project.release(variant) / "config.json").exists():
        return open_checkpoint(project.release(variant))
    if found:
        raise UserError(
            f"variant '{variant}' has {len(found)} checkpoints and no release yet",
            mend=f"release it first (mbrelease release {variant}), or name its 'weights'",
        )
    raise UserError(
        f"variant '{variant}' has no weights on disk",
        mend=f"give the folder: mbrelease registry set {variant} weights FOLDER",
    )
