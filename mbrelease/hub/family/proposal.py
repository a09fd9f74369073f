"""What a registry could say of models that were read from a Hub. Nothing is changed here."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

from mbrelease.hub.family.answers import Answers
from mbrelease.hub.family.disagreements import Disagreement, disagreements, license_differs
from mbrelease.hub.family.model import PublishedModel
from mbrelease.hub.family.names import variant_name
from mbrelease.hub.family.reading import Family
from mbrelease.hub.family.relations import Judgement, judge
from mbrelease.registry.facts import published_repos
from mbrelease.registry.project import Project
from mbrelease.registry.schema import Variant

_ORDER = (
    "repo", "parents", "supersedes", "released", "license", "languages", "sources", "architecture",
)  # fmt: skip


@dataclass
class Addition:
    """A variant that is not in the registry."""

    name: str
    repo: str
    commit: str
    entry: dict[str, Any] = field(default_factory=dict)
    remarks: list[str] = field(default_factory=list)
    """What is open; comments above the entry."""

    def ordered(self) -> dict[str, Any]:
        """The entry, its keys in the order in which people write them."""
        return {key: self.entry[key] for key in _ORDER if key in self.entry}


@dataclass(frozen=True)
class Setting:
    """A key of a variant that the registry is silent about."""

    variant: str
    key: str
    """``license``, or ``architecture.layers``."""
    value: Any


@dataclass(frozen=True)
class Question:
    """What nothing on the Hub tells for certain."""

    repo: str
    variant: str
    parents: tuple[str, ...]
    guess: str
    why: str


@dataclass
class Proposal:
    """Additions and settings, and what came up on the way to them."""

    additions: list[Addition] = field(default_factory=list)
    settings: list[Setting] = field(default_factory=list)
    disagreements: list[Disagreement] = field(default_factory=list)
    questions: list[Question] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)

    @property
    def is_empty(self) -> bool:
        """Whether the registry would stay as it is."""
        return not self.additions and not self.settings

    def as_json(self) -> dict[str, Any]:
        """For ``--json``."""
        return {
            "additions": [{**asdict(each), "entry": each.ordered()} for each in self.additions],
            "settings": [asdict(each) for each in self.settings],
            "disagreements": [each.as_json() for each in self.disagreements],
            "questions": [asdict(each) for each in self.questions],
            "remarks": self.remarks,
        }


def propose(project: Project, family: Family, answers: Answers) -> Proposal:
    """Compare a family with a registry, and say what the registry could gain.

    What the registry says stays: where a model contradicts it, that is told and no change.
    """
    return _Proposer(project, family, answers).proposal()


class _Proposer:
    def __init__(self, project: Project, family: Family, answers: Answers) -> None:
        self.project = project
        self.registry = project.registry
        self.family = family
        self.answers = answers
        self.result = Proposal()
        self.published = published_repos(project)
        # The lower-case id of a model → its variant, there or proposed.
        self.variants = {
            entry.repo.casefold(): name
            for name, entry in self.registry.variants.items()
            if entry.repo
        }
        for asked, model in family.models.items():
            if asked in self.variants:
                self.variants.setdefault(model.repo_id.casefold(), self.variants[asked])
        self.additions: dict[str, Addition] = {}
        self.parents = {
            name: {parent.variant for parent in entry.parents}
            for name, entry in self.registry.variants.items()
        }
        self.superseded = {name: entry.supersedes for name, entry in self.registry.variants.items()}

    def proposal(self) -> Proposal:
        models = [m for m in _bases_first(self.family) if not self.skips(m)]
        for model in models:
            if model.repo_id.casefold() not in self.variants:
                self.name(model)
        for model in models:
            name = self.variants[model.repo_id.casefold()]
            addition = self.additions.get(name)
            if addition is None:
                self.complete(name, model)
            else:
                self.describe(addition, model)
        for model in models:
            self.newer(model)
        self.result.additions = list(self.additions.values())
        return self.result

    def skips(self, model: PublishedModel, key: str = "") -> bool:
        return any(self.answers.skips(each, key) for each in {model.repo_id, model.asked_as})

    def name(self, model: PublishedModel) -> None:
        """Give a model that is new a name, and a place among the variants."""
        registry = self.registry
        taken = {*registry.variants, *registry.aliases, *registry.peers, *self.additions}
        lower = {name.casefold() for name in taken}
        wanted = self.answers.of(model.repo_id).name
        if wanted is None:  # what another model was given is left to it
            lower |= {each.name.casefold() for each in self.answers.by_id.values() if each.name}
        if wanted is not None and wanted.casefold() in lower:
            self.result.remarks.append(
                f"{model.repo_id} cannot be called {wanted}: the registry has that name"
            )
            wanted = None
        name = wanted or variant_name(model.repo_id, lower)
        self.additions[name] = Addition(name, model.repo_id, model.commit)
        self.parents[name], self.superseded[name] = set(), None
        self.variants[model.repo_id.casefold()] = name

    def describe(self, addition: Addition, model: PublishedModel) -> None:
        """Fill the entry of a new variant."""
        addition.entry["repo"] = model.repo_id
        for key, value in self.facts(model):
            if not self.skips(model, key):
                addition.entry[key] = value
        if not self.skips(model, "parents"):
            parents, judgement = self.parents_of(addition.name, model)
            if parents:
                addition.entry["parents"] = parents
            if judgement is not None:
                named = ", ".join(parent["variant"] for parent in parents)
                addition.remarks.append(f"was it {judgement.relation} of {named}? {judgement.why}")
            for base in model.bases:
                if base.casefold() not in self.known() and not self.answers.skips(base):
                    addition.remarks.append(f"its base model {base} could not be read")
        if "license" not in addition.entry and not self.registry.defaults.license:
            addition.remarks.append("no license is told")
        if model.private:
            addition.remarks.append("private on the Hub")
        addition.remarks += [f"not read: {trouble}" for trouble in model.troubles]

    def known(self) -> set[str]:
        """Ids, in lower case, of what a variant stands for, also under former names."""
        moved = {a for a, m in self.family.models.items() if m.repo_id.casefold() in self.variants}
        return {*self.variants, *moved}

    def complete(self, name: str, model: PublishedModel) -> None:
        """Propose for a variant that is there what its entry is silent about."""
        entry = self.registry.variants[name]
        self.result.disagreements += [
            each
            for each in disagreements(self.project, name, model, self.published)
            if not self.skips(model, each.about)
        ]
        for key, value in self.facts(model):
            if self.skips(model, key):
                continue
            if key == "architecture":
                self.complete_architecture(name, entry, model)
            elif key == "released":
                silent = entry.released is None and model.repo_id.casefold() not in self.published
                self.result.settings += [Setting(name, key, value)] if silent else []
            elif not getattr(entry, key) and not getattr(self.registry.defaults, key, None):
                self.result.settings.append(Setting(name, key, value))
        self.compare_languages(name, entry, model)
        if not entry.parents and not self.skips(model, "parents"):
            parents, judgement = self.parents_of(name, model)
            if parents:
                self.result.settings.append(Setting(name, "parents", parents))
            if judgement is not None:
                self.result.remarks.append(
                    f"{name}: {judgement.relation} is a guess; {judgement.why}"
                )

    def complete_architecture(self, name: str, entry: Variant, model: PublishedModel) -> None:
        stated = entry.architecture.model_dump(exclude_none=True) if entry.architecture else {}
        found = {
            key: value
            for key, value in model.architecture.items()
            if not self.skips(model, f"architecture.{key}")
        }
        new = {key: value for key, value in found.items() if key not in stated}
        if new and not stated:
            self.result.settings.append(Setting(name, "architecture", new))
        else:
            self.result.settings += [
                Setting(name, f"architecture.{key}", value) for key, value in new.items()
            ]
        for key in found.keys() & stated.keys():
            if not _is_same_number(stated[key], found[key]):
                self.differ(name, model, f"architecture.{key}", stated[key], found[key])

    def compare_languages(self, name: str, entry: Variant, model: PublishedModel) -> None:
        stated = entry.languages or self.registry.defaults.languages
        differs = bool(stated) and set(stated) != set(model.languages) and bool(model.languages)
        if differs and not self.skips(model, "languages"):
            said, told = ", ".join(stated), ", ".join(model.languages)
            self.differ(name, model, "languages", said, told)

    def differ(self, name: str, model: PublishedModel, about: str, said: Any, told: Any) -> None:
        self.result.disagreements.append(
            Disagreement(name, model.repo_id, about, str(said), str(told))
        )

    def facts(self, model: PublishedModel) -> Iterator[tuple[str, Any]]:
        """What a model's own page tells; what the registry's defaults say anyway is left out."""
        defaults = self.registry.defaults
        if not model.private:
            yield "released", True
        if model.license and (
            not defaults.license or license_differs(defaults.license, model.license)
        ):
            yield "license", model.license
        if model.languages and list(model.languages) != defaults.languages:
            yield "languages", list(model.languages)
        if model.architecture:
            yield (
                "architecture",
                {
                    key: value
                    for key, value in model.architecture.items()
                    if not self.skips(model, f"architecture.{key}")
                },
            )
        papers = [f"https://arxiv.org/abs/{paper}" for paper in model.papers]
        yield "sources", [*papers, model.repo_id]

    def parents_of(
        self, name: str, model: PublishedModel
    ) -> tuple[list[dict[str, str]], Judgement | None]:
        """The parents, and the judgement where it is but a guess."""
        answer = self.answers.of(model.repo_id).relation
        parents: list[dict[str, str]] = []
        open_ones: list[Judgement] = []
        for base in model.bases:
            target = self.variant_of(base)
            if target is None or self.answers.skips(base):
                self.lost_base(model, base)
                continue
            if target == name or name in self.above(target):
                self.result.remarks.append(
                    f"{model.repo_id} and {base} name each other as base models: "
                    f"{base} is left out as a parent of {name}"
                )
                continue
            if target in {parent["variant"] for parent in parents}:
                continue
            judgement = judge(model, self.family.find(base))
            open_ones += [judgement] if answer is None and not judgement.is_sure else []
            relation = answer or judgement.relation
            parents.append({"variant": target, "relation": relation})
            self.parents[name].add(target)
        self.remark_on_merge(model)
        if not open_ones:
            return parents, None
        first = open_ones[0]
        targets = tuple(parent["variant"] for parent in parents)
        self.result.questions.append(
            Question(model.repo_id, name, targets, first.relation, first.why)
        )
        return parents, first

    def variant_of(self, repo_id: str) -> str | None:
        model = self.family.find(repo_id)
        known = self.variants.get(repo_id.casefold())
        return known or (self.variants.get(model.repo_id.casefold()) if model else None)

    def lost_base(self, model: PublishedModel, base: str) -> None:
        """Tell why a base model is no parent; that it could not be read is told of itself."""
        if base not in self.family.unreadable or self.answers.skips(base):
            why = "is skipped" if self.answers.skips(base) else "was not read"
            self.result.remarks.append(f"{base}, a base model of {model.repo_id}, {why}")

    def remark_on_merge(self, model: PublishedModel) -> None:
        named = {each.casefold() for each in model.bases}
        more = [each for each in model.merge.models if each.casefold() not in named] if (
            model.merge is not None and model.bases
        ) else []  # fmt: skip
        if more:
            self.result.remarks.append(
                f"{model.repo_id} was merged of models that its card does not name: "
                + ", ".join(more)
            )

    def above(self, name: str) -> set[str]:
        """All that ``name`` descends from, with what is proposed."""
        found: set[str] = set()
        waiting = [name]
        while waiting:
            more = self.parents.get(waiting.pop(), set()) - found
            found |= more
            waiting += more
        return found

    def newer(self, model: PublishedModel) -> None:
        """``new_version`` on the older card is ``supersedes`` of the newer variant."""
        if model.new_version is None:
            return
        older = self.variants[model.repo_id.casefold()]
        newer = self.variant_of(model.new_version)
        if newer is None:
            if not self.answers.skips(model.new_version):
                self.result.remarks.append(
                    f"{model.repo_id} names a newer version that is no variant: {model.new_version}"
                )
            return
        told = self.family.find(model.new_version)
        if self.superseded.get(newer) == older or (told and self.skips(told, "supersedes")):
            return
        if self.superseded.get(newer) is not None:
            self.result.remarks.append(
                f"{newer} supersedes {self.superseded[newer]}; the card of {model.repo_id} names "
                f"it as its newer version as well"
            )
            return
        if newer == older or self.leads_to(older, newer):
            self.result.remarks.append(
                f"{model.repo_id} and {model.new_version} each name the other as the newer version"
            )
            return
        self.superseded[newer] = older
        if newer in self.additions:
            self.additions[newer].entry["supersedes"] = older
        else:
            self.result.settings.append(Setting(newer, "supersedes", older))

    def leads_to(self, start: str, end: str) -> bool:
        """Whether ``start`` supersedes ``end``, directly or not."""
        seen: set[str] = set()
        name: str | None = start
        while name is not None and name not in seen:
            seen.add(name)
            name = self.superseded.get(name)
            if name == end:
                return True
        return False


def _bases_first(family: Family) -> list[PublishedModel]:
    """Every model after its base models, so far as they do not go round in a circle."""
    waiting = {model.repo_id.casefold(): model for model in family.every()}
    bases = {
        key: {found.repo_id.casefold() for b in model.bases if (found := family.find(b))}
        for key, model in waiting.items()
    }
    ordered: list[PublishedModel] = []
    while waiting:
        ready = [key for key in waiting if not (bases[key] - {key}) & waiting.keys()]
        for key in sorted(ready) or [min(waiting)]:
            ordered.append(waiting.pop(key))
    return ordered


# A card that says 150 million means 149,655,232; one that says 100 million does not.
_ROUNDING = 0.05


def _is_same_number(stated: Any, told: Any) -> bool:
    """Whether a stated number is the one that is told, or a rounding of it: 149 million."""
    if not isinstance(stated, int | float) or not isinstance(told, int | float):
        return bool(stated == told)
    if isinstance(stated, int) and stated >= 1_000_000:
        unit = 10 ** (len(str(stated)) - len(str(stated).rstrip("0")))
        return bool(abs(stated - told) < min(unit, _ROUNDING * told))
    return bool(abs(stated - told) <= 1e-9 * abs(told))
