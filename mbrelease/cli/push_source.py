"""What ``mbrelease push`` is asked to publish: a folder, or the release of a variant."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mbrelease.errors import UserError

if TYPE_CHECKING:
    from mbrelease.registry.project import Project
    from mbrelease.release_checks.checks import Subject


@dataclass(frozen=True)
class Source:
    """What is pushed, and where its receipts go."""

    subject: Subject
    receipts: Path
    repo: str | None = None
    """Where it goes by the registry."""
    project: Project | None = None
    variant: str | None = None
    """By its name in the registry; ``None`` where a folder was given."""
    supersedes: str | None = None
    """The repo of the variant that this one supersedes, as far as it is published."""

    @property
    def decision_sha256(self) -> str | None:
        """Of the decision file, where the variant has one."""
        from mbrelease.files import sha256_file

        if self.project is None or self.variant is None:
            return None
        decision = self.project.decision(self.variant)
        return sha256_file(decision) if decision.is_file() else None

    def repos(self, given: tuple[str, ...]) -> tuple[str, ...]:
        """Where it goes: what was ``given``, or what the registry says.

        Raises:
            UserError: neither says it, or one is given twice.
        """
        if len({each.casefold() for each in given}) < len(given):
            raise UserError("one repository is given twice with --to", mend="leave one out")
        if given:
            return given
        if self.repo is not None:
            return (self.repo,)
        if self.variant is None:
            raise UserError(f"where should {self.subject.folder} go?", mend="give --to ORG/NAME")
        mend = f"give --to ORG/NAME, or: mbrelease registry set {self.variant} repo ORG/NAME"
        raise UserError(f"the registry names no repo for {self.variant}", mend=mend)


def find_source(release: str, registry_path: Path | None) -> Source:
    """A folder by its path, or the release of a variant by its name or alias.

    Raises:
        UserError: there is no such folder or variant, or the variant has no release yet.
    """
    from mbrelease.registry.load import load_project
    from mbrelease.release_checks.checks import Subject, subject_of

    if registry_path is None and Path(release).is_dir():
        return Source(subject_of(Path(release)), Path("receipts"))
    if registry_path is None and (release.startswith(".") or "/" in release):
        raise UserError(f"{release} is not a folder", mend="give a release folder or a variant")
    project = load_project(registry_path)
    name = project.resolve_name(release)
    folder, entry = project.release(name), project.variant(name)
    if not folder.is_dir():
        raise UserError(f"{name} has no release yet: {folder}", mend=f"mbrelease release {name}")
    older = project.variant(entry.supersedes) if entry.supersedes is not None else None
    old_repo = older.repo if older is not None and older.released is not False else None
    return Source(
        subject=Subject(folder, project, name),
        receipts=project.receipts,
        repo=entry.repo,
        project=project,
        variant=name,
        supersedes=old_repo,
    )


def find_receipts(registry_path: Path | None) -> Path:
    """``./receipts``, or those of the project, where there are none here.

    Raises:
        UserError: there is no registry at the path that was given.
    """
    if registry_path is None and Path("receipts").is_dir():
        return Path("receipts")
    from mbrelease.registry.load import load_project

    try:
        return load_project(registry_path).receipts
    except UserError:
        if registry_path is not None:
            raise
        return Path("receipts")
