"""What is otherwise in one variant than in another: config, training, data, evidence, lineage."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from mbrelease.questions.evidence import Measured, Reported, measured, reported
from mbrelease.questions.sides import Design, Side, designs, read_sides
from mbrelease.registry.changes import Change, changes
from mbrelease.registry.kinship import Kinship, kinship
from mbrelease.registry.project import Project
from mbrelease.registry.seen import Seen, seen


@dataclass(frozen=True)
class Difference:
    """Two variants side by side; of each change, ``before`` is the first's."""

    first: Side
    second: Side
    designs: tuple[Design, Design]
    config: tuple[Change, ...]
    training: tuple[Change, ...]
    data: tuple[Change, ...]
    rights: tuple[Change, ...]
    """Licence and languages, with the defaults."""
    card: tuple[Change, ...]
    measured: tuple[Measured, ...]
    """All that compares, also where both have the same value."""
    reported: tuple[Reported, ...]
    """As ``measured``."""
    kinship: Kinship
    seen: tuple[Seen, Seen]

    @property
    def same_in_config(self) -> int:
        """How many values of the design are the same."""
        one, two = (design.values for design in self.designs)
        return sum(key in two and value == two[key] for key, value in one.items())

    def as_json(self) -> dict[str, Any]:
        """For ``--json``."""
        return {
            "first": self.first.name,
            "second": self.second.name,
            "config": {
                "first": self.designs[0].source,
                "second": self.designs[1].source,
                "changes": _json(self.config),
                "same": self.same_in_config,
            },
            "training": _json(self.training),
            "data": _json(self.data),
            "rights": _json(self.rights),
            "card": _json(self.card),
            "evidence": {
                "first": _weights(self.first),
                "second": _weights(self.second),
                "measured": [row.as_json() for row in self.measured],
                "reported": [row.as_json() for row in self.reported],
            },
            "lineage": {
                "common_ancestors": list(self.kinship.ancestors),
                "chain": next((c.as_json() for c in self.kinship.chains(1)), None),
                "tokens_seen": [one.tokens.as_json() for one in self.seen],
            },
        }


def difference(project: Project, first: str, second: str) -> Difference:
    """What is otherwise in ``second`` than in ``first``, both resolved names.

    Raises:
        UserError: evidence beside the registry is malformed.
    """
    registry = project.registry
    sides = read_sides(project, first, second)
    both = designs(project, *sides)
    entries = tuple(
        registry.variants[name].model_dump(mode="json", exclude_none=True, exclude_defaults=True)
        for name in (first, second)
    )

    def of(*keys: str) -> tuple[Change, ...]:
        one, two = ({key: entry.get(key) for key in keys} for entry in entries)
        return tuple(changes(one, two))

    return Difference(
        first=sides[0],
        second=sides[1],
        designs=both,
        config=tuple(changes(dict(both[0].values), dict(both[1].values))),
        training=of("training", "chosen"),
        data=of("data", "corpus"),
        rights=tuple(changes(_rights(project, first), _rights(project, second))),
        card=of("card"),
        measured=tuple(measured(project, *sides)),
        reported=tuple(reported(project, *sides)),
        kinship=kinship(registry, first, second),
        seen=(seen(registry, first), seen(registry, second)),
    )


def _rights(project: Project, name: str) -> dict[str, Any]:
    entry, defaults = project.registry.variants[name], project.registry.defaults
    languages = defaults.languages if entry.languages is None else entry.languages
    return {"license": entry.license or defaults.license, "languages": languages}


def _weights(side: Side) -> dict[str, Any]:
    return {"weights": side.weights, "sha256": side.weights_sha256, "notes": list(side.notes)}


def _json(found: tuple[Change, ...]) -> list[dict[str, Any]]:
    return [change.as_json() for change in found]
