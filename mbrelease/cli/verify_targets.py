"""What ``mbrelease verify`` is asked about: a folder, a variant or a model on the Hub."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from mbrelease.checkpoints.checkpoint import STEP_FOLDER
from mbrelease.checkpoints.hub_source import SCHEME
from mbrelease.cli.hub_names import bare_hub_model, explicit_hub_model, or_a_folder
from mbrelease.cli.output import talk
from mbrelease.cli.push_source import find_receipts
from mbrelease.errors import UserError
from mbrelease.progress import SILENT, Progress

if TYPE_CHECKING:
    from mbrelease.checkpoints.checkpoint import Checkpoint
    from mbrelease.checkpoints.hub_folder import HubFolder
    from mbrelease.checkpoints.hub_source import HubId
    from mbrelease.parity.checks.hashes import Recorded
    from mbrelease.parity.family import Member
    from mbrelease.registry.project import Project


@dataclass(frozen=True)
class Target:
    """A model, what it is compared with, and what is declared of it."""

    model: Path | Checkpoint
    parent: Path | Checkpoint | Member | None = None
    relation: str | None = None
    architecture: Mapping[str, int | None] | None = None
    """Of the registry."""
    release: bool = False
    """It is the folder that will be published."""
    receipt: Recorded | None = None

    @property
    def model_words(self) -> str:
        """What the model is called in a picture."""
        return _called(self.model)

    @property
    def parent_words(self) -> str:
        """What the parent is called in a picture."""
        return _called(self.parent)


def _called(model: Path | Checkpoint | Member | None) -> str:
    """A name; of a step that of its run too, as ``run/checkpoint-1200``."""
    if not isinstance(model, Path):
        return model.name if model is not None else "nothing"
    parts = model.resolve().parts
    return "/".join(parts[-2:]) if STEP_FOLDER.match(parts[-1]) else parts[-1]


def resolve(
    target: str,
    against: str | None,
    registry_path: Path | None,
    *,
    weights: bool,
    progress: Progress = SILENT,
) -> Target:
    """What the two names mean. What exists on disk goes before all else.

    Args:
        target: a folder, a variant, or a model on the Hub, at main if no revision is named.
        against: the parent, as ``target`` or as a known member of the family; for a variant its
            first parent by default.
        registry_path: where the registry is, if not above.
        weights: of a model on the Hub the weights are needed too.
        progress: told what is fetched.

    Raises:
        UserError: there is no such thing.
        CheckFailed: the Hub has no such model, or cannot be asked.
    """
    find = partial(_hub_folder, weights=weights, progress=progress)
    found = _target(target, against is None, registry_path, find)
    if against is None:
        return found
    return replace(found, parent=_parent(against, registry_path, find))


def _hub_folder(
    wanted: HubId, *, weights: bool, progress: Progress, whole: bool = True
) -> HubFolder:
    from mbrelease.checkpoints.hub_folder import open_hub_folder
    from mbrelease.hub.client import quiet_client

    with quiet_client():
        return open_hub_folder(wanted, weights=weights, whole=whole, progress=progress)


def _at_hub(name: str, find: Callable[[HubId], HubFolder]) -> HubFolder | None:
    """The model of that name; ``None`` for a name that no model of a Hub can have."""
    if wanted := explicit_hub_model(name):
        return find(wanted)
    if bare := bare_hub_model(name):
        with or_a_folder(name):
            return find(bare)
    return None


def _target(
    target: str, find_parent: bool, registry_path: Path | None, find: Callable[..., HubFolder]
) -> Target:
    if not Path(target).exists() or target.startswith(SCHEME):
        model = _at_hub(target, find)
        if model is not None:
            return Target(model, receipt=_receipt(model, registry_path))
    if Path(target).exists():
        return Target(Path(target))
    project = _project(target, registry_path)
    folder = _folder(project, target)
    variant = project.variant(target)
    parent = _first_parent(project, target) if find_parent else None
    return Target(
        folder,
        parent=parent,
        relation=variant.parents[0].relation if variant.parents else None,
        architecture=variant.architecture.model_dump() if variant.architecture else None,
        release=folder == project.release(project.resolve_name(target)),
    )


def _parent(
    against: str, registry_path: Path | None, find: Callable[..., HubFolder]
) -> Path | Checkpoint | Member:
    from mbrelease.parity.family import member_named

    if not Path(against).exists() or against.startswith(SCHEME):
        wanted = explicit_hub_model(against)
        if wanted is not None:
            return find(wanted, whole=False)
    if Path(against).exists():
        return Path(against)
    member = member_named(against)
    if member is not None and not _is_variant(against, registry_path):
        return member
    model = _at_hub(against, partial(find, whole=False))
    if model is not None:
        return model
    return _folder(_project(against, registry_path), against)


def _receipt(model: HubFolder, registry_path: Path | None) -> Recorded | None:
    """What the receipt of that commit says of its files, where it was published from here."""
    from mbrelease.hub.receipt import read_receipt, receipt_path
    from mbrelease.parity.checks.hashes import Recorded

    try:
        root = find_receipts(registry_path)
    except UserError:
        return None  # a registry that is wrong says nothing of this model
    path = receipt_path(root, model.pinned.repo_id, model.hub_commit)
    if not path.is_file():
        return None
    receipt = read_receipt(path)
    if (receipt.endpoint, receipt.commit) != (model.endpoint, model.hub_commit):
        return None
    digests = {name: file.sha256 for name, file in receipt.files.items()}
    return Recorded(f"the receipt {path.name}", digests)


def _is_variant(name: str, registry_path: Path | None) -> bool:
    """Whether the registry knows that name: what is on disk goes before what is only known of."""
    if registry_path is None and not _registry_above():
        return False
    try:
        project = _project(name, registry_path)
        return _folder_on_disk(project, name) is not None
    except UserError:
        return False


def _project(name: str, registry_path: Path | None) -> Project:
    from mbrelease.registry.load import load_project
    from mbrelease.registry.project import REGISTRY_NAME

    if registry_path is None and ("/" in name or not _registry_above()):
        hint = "" if "/" in name else f", and there is no {REGISTRY_NAME} to name a variant"
        mend = "give the folder of a checkpoint, or a model on the Hub: org/name@revision"
        raise UserError(f"{name} does not exist{hint}", mend=mend)
    return load_project(registry_path)


def _registry_above() -> bool:
    from mbrelease.registry.project import REGISTRY_NAME

    here = Path.cwd()
    return any((folder / REGISTRY_NAME).is_file() for folder in (here, *here.parents))


def _folder(project: Project, name: str) -> Path:
    folder = _folder_on_disk(project, name)
    if folder is None:
        raise UserError(
            f"variant '{name}' has no release in {project.release(project.resolve_name(name))}",
            mend=f"mbrelease release {name}, or set its weights in the registry",
        )
    return folder


def _folder_on_disk(project: Project, name: str) -> Path | None:
    variant = project.variant(name)
    release = project.release(project.resolve_name(name))
    if (release / "config.json").is_file():
        return release
    if variant.weights is not None and project.path(variant.weights).is_dir():
        return project.path(variant.weights)
    return None


def _first_parent(project: Project, name: str) -> Path | Member | None:
    from mbrelease.parity.family import member_named

    parents = project.variant(name).parents
    if not parents:
        return None
    first = parents[0].variant
    folder = _folder_on_disk(project, first)
    if folder is not None:
        return folder
    repo = project.variant(first).repo
    whole = f" (for all of it: --against {repo}@main)" if repo else ""
    if repo and (member := member_named(repo)):
        talk(f"compared with the config of {member.name} alone: {first} is not on disk{whole}")
        return member
    talk(f"not compared with its parent {first}, which is not on disk{whole}")
    return None
