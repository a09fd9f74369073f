"""Which checkpoints a variant can become: those of its run, and averages of them."""

from __future__ import annotations

from mbrelease.checkpoints.checkpoint import Checkpoint, open_checkpoint
from mbrelease.checkpoints.discover import discover
from mbrelease.errors import UserError
from mbrelease.registry.project import Project


class NoWeights(UserError):
    """A variant whose weights are not on this machine."""


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
    if entry.candidates.checkpoints == "all":
        return discover(project.path(entry.run))
    wanted = set(entry.candidates.checkpoints)
    found = discover(project.path(entry.run), steps=wanted)
    missing = sorted(wanted - {checkpoint.step for checkpoint in found})
    if missing:
        raise UserError(
            f"{project.path(entry.run)} has no checkpoint at step {missing[0]}",
            mend=f"see candidates.checkpoints of '{variant}' in {project.registry_path}",
        )
    return found


def released_checkpoint(project: Project, variant: str) -> Checkpoint:
    """The one checkpoint that ``variant`` stands for.

    Its ``weights`` where the registry names them, else the only checkpoint of its run, else its
    release folder.

    Raises:
        NoWeights: none of these is on this machine, or the run has several checkpoints and no
            release.
        UserError: what is there is no checkpoint.
    """
    entry = project.variant(variant)
    if entry.weights is not None and project.path(entry.weights).exists():
        return open_checkpoint(project.path(entry.weights))
    has_run = entry.run is not None and project.path(entry.run).exists()
    found = discover(project.path(entry.run)) if entry.run and has_run else []
    if len(found) == 1:
        return found[0]
    if (project.release(variant) / "config.json").exists():
        return open_checkpoint(project.release(variant))
    if found:
        raise NoWeights(
            f"variant '{variant}' has {len(found)} checkpoints and no release yet",
            mend=f"release it first (mbrelease release {variant}), or name its 'weights'",
        )
    named = entry.weights or entry.run
    raise NoWeights(
        f"variant '{variant}' has no weights on disk"
        + (f": {project.path(named)} does not exist" if named else ""),
        mend=f"give the folder: mbrelease registry set {variant} weights FOLDER",
    )
