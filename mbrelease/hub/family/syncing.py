"""A proposal for the registry as it is now, and its diff; or, when asked, written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mbrelease.errors import UserError
from mbrelease.hub.family.answers import Answers
from mbrelease.hub.family.proposal import Proposal, propose
from mbrelease.hub.family.reading import Family
from mbrelease.hub.family.writing import Written, changed_files, unified_diff, with_proposal
from mbrelease.metadata.repo_ids import fault_of_repo_id
from mbrelease.registry.draft import Draft
from mbrelease.registry.edit import edit
from mbrelease.registry.load import project_of, read_registry
from mbrelease.registry.project import Project


@dataclass(frozen=True)
class Synced:
    """What is proposed, as a diff of the registry's files."""

    proposal: Proposal
    diff: str
    files: tuple[Path, ...]
    """Those that the diff changes, the registry's own first."""
    refused: tuple[str, ...]
    """Changes that would have made the registry invalid; they are not in the diff."""
    is_written: bool


def sync(project: Project, family: Family, answers: Answers, *, write: bool) -> Synced:
    """Hold ``family`` against the registry of ``project`` as it is on the disk now.

    Args:
        write: whether what is proposed is written, under the registry's lock.

    Raises:
        UserError: the registry is invalid, or cannot be written.
    """
    if not write:
        return _synced(Draft.read(project.registry_path), family, answers)[1]
    results: list[Synced] = []

    def change(draft: Draft) -> Draft:
        written, synced = _synced(draft, family, answers)
        results.append(synced)
        return written.draft

    done = edit(project.registry_path, change)
    last = results[-1]
    return replace(last, is_written=done.changed)


def _synced(draft: Draft, family: Family, answers: Answers) -> tuple[Written, Synced]:
    project = project_of(draft.whole, read_registry(draft.whole))
    proposal = propose(project, family, answers)
    written = with_proposal(draft, proposal)
    diff = unified_diff(draft, written.draft)
    files = changed_files(draft, written.draft)
    return written, Synced(proposal, diff, files, written.refused, False)


def ids_to_read(project: Project, ids: Sequence[str]) -> list[str]:
    """The ids that were asked for, or those of all repos of the registry.

    Raises:
        UserError: there are none.
    """
    repos = [entry.repo for entry in project.registry.variants.values() if entry.repo]
    if not ids and not repos:
        raise UserError(f"no variant in {project.registry_path} names a repo", mend="give an ID")
    return list(ids) or [repo for repo in repos if fault_of_repo_id(repo) is None]


def unanswerable(
    project: Project, decided: Mapping[str, Mapping[str, Any]], answers: Answers
) -> None:
    """See that no answer is given to what the registry says already, or takes a name twice.

    Args:
        project: the registry.
        decided: the new answers.
        answers: those that were kept before.

    Raises:
        UserError: one does.
    """
    variants = project.registry.variants
    names = {entry.repo.casefold(): name for name, entry in variants.items() if entry.repo}
    _see_that_names_are_free(project, decided, answers, names)
    for repo_id, answer in decided.items():
        name = names.get(repo_id.casefold())
        if name is None:
            continue
        if "relation" in answer and variants[name].parents:
            said = ", ".join(parent.relation for parent in variants[name].parents)
            if said != answer["relation"]:
                mend = f"mbrelease registry set {name} parents.0.relation {answer['relation']}"
                raise UserError(f"the registry says {said} of '{name}'", mend=mend)
        if answer.get("name", name) != name:
            raise UserError(
                f"{repo_id} is '{name}' in the registry",
                mend=f"mbrelease registry rename {name} {answer['name']}",
            )


def _see_that_names_are_free(
    project: Project,
    decided: Mapping[str, Mapping[str, Any]],
    answers: Answers,
    own: Mapping[str, str],
) -> None:
    registry = project.registry
    taken = {
        name.casefold(): "the registry has that name"
        for name in (*registry.variants, *registry.aliases, *registry.peers)
    }
    taken |= {
        answer.name.casefold(): f"{repo_id} is called so in registry.answers.json"
        for repo_id, answer in answers.by_id.items()
        if answer.name is not None
        and repo_id not in own
        and repo_id not in {each.casefold() for each in decided}
    }
    for repo_id, answer in decided.items():
        name = answer.get("name")
        if name is None or repo_id.casefold() in own:
            continue
        if (why := taken.get(name.casefold())) is not None:
            raise UserError(f"{repo_id} cannot be called {name}: {why}", mend="give another name")
        taken[name.casefold()] = f"{repo_id} is to be called so"
