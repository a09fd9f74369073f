"""Is the Hub's tree of the family that of the registry?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mbrelease.hub.family.answers import Answers
from mbrelease.hub.family.disagreements import Disagreement, disagreements, gone
from mbrelease.hub.family.reading import Family
from mbrelease.registry.facts import published_repos
from mbrelease.registry.project import Project


@dataclass(frozen=True)
class HubCheck:
    """What was compared, and what differs.

    Fields:
        endpoint: of the Hub.
        commits: the commit of each repo that was read.
        without_repo: variants that name no repo, so that there is nothing to compare.
        unreadable: by repo, why the Hub did not tell of it; that is no disagreement.
        accepted: disagreements that the file of answers says are to be skipped.
    """

    endpoint: str
    commits: Mapping[str, str]
    findings: tuple[Disagreement, ...]
    without_repo: tuple[str, ...]
    unreadable: Mapping[str, str]
    accepted: int

    @property
    def agree(self) -> bool | None:
        """Whether the two agree; ``None`` where nothing differs and something was not read."""
        if self.findings:
            return False
        return None if self.unreadable else True

    def as_json(self) -> dict[str, Any]:
        """For ``--json``."""
        return {
            "endpoint": self.endpoint,
            "agree": self.agree,
            "models": dict(self.commits),
            "disagreements": [each.as_json() for each in self.findings],
            "unreadable": dict(self.unreadable),
            "without_repo": list(self.without_repo),
            "accepted": self.accepted,
        }


def repos_of(project: Project, variants: Sequence[str]) -> list[str]:
    """The repos that ``variants`` name."""
    entries = (project.registry.variants[name] for name in variants)
    return [entry.repo for entry in entries if entry.repo]


def unasked(project: Project, variants: Sequence[str], endpoint: str, why: str) -> HubCheck:
    """What is known where the Hub cannot be asked at all: of each repo, why not."""
    repos = repos_of(project, variants)
    without = tuple(name for name in variants if project.registry.variants[name].repo is None)
    return HubCheck(endpoint, {}, (), without, dict.fromkeys(repos, why), 0)


def check_hub(
    project: Project, variants: Sequence[str], family: Family, answers: Answers, endpoint: str
) -> HubCheck:
    """Compare ``variants`` with what was read of their repos."""
    published = published_repos(project)
    found: list[Disagreement] = []
    commits: dict[str, str] = {}
    unreadable: dict[str, str] = {}
    for name in variants:
        entry = project.registry.variants[name]
        if entry.repo is None:
            continue
        model = family.find(entry.repo)
        if model is not None:
            commits[entry.repo] = model.commit
            found += disagreements(project, name, model, published)
        elif not (why := family.unreadable[entry.repo]).is_gone:
            unreadable[entry.repo] = why.why
        elif entry.released is not False or entry.repo.casefold() in published:
            found.append(gone(project, name, published, why.why))
    open_ones = [each for each in found if not answers.skips(each.repo, each.about)]
    return HubCheck(
        endpoint=endpoint,
        commits=commits,
        findings=tuple(open_ones),
        without_repo=tuple(n for n in variants if project.registry.variants[n].repo is None),
        unreadable=unreadable,
        accepted=len(found) - len(open_ones),
    )
