"""What the pictures of a decision say, with the origin of each number."""

from __future__ import annotations

from mbrelease.cards.pictures.wording import Wording, sourced
from mbrelease.cards.told import Origin, Place
from mbrelease.evaluation.metric_names import shown
from mbrelease.selection.decision import Candidate, Decision
from mbrelease.selection.plots.alt import alt_text, front_alt_text


def trajectory_words(decision: Decision, metric: str, place: Place) -> Wording:
    """The finding of the picture of ``task/metric``; the decision stands in the file ``place``."""
    return sourced(alt_text(decision, metric), _origins(decision, [metric], place), _all(place))


def front_words(decision: Decision, across: str, place: Place) -> Wording:
    """The finding of the picture of the primary metric against ``across``."""
    known = _origins(decision, [across, decision.policy.primary], place)
    return sourced(front_alt_text(decision, across), known, _all(place))


def _all(place: Place) -> Origin:
    """Of what is counted among the candidates."""
    return place.at("candidates").field()


def _origins(decision: Decision, metrics: list[str], place: Place) -> dict[str, Origin]:
    """By the text of a number, where it stands: the reference's first, then the chosen one's."""
    known: dict[str, Origin] = {}
    everyone = [
        (decision.reference, place.at("reference")),
        *((one, place.at("candidates", i)) for i, one in enumerate(decision.candidates)),
    ]
    everyone.sort(key=lambda pair: pair[0].kind != "reference" and pair[0].name != decision.chosen)
    for candidate, at in everyone:
        _add(known, candidate, metrics, at)
    return known


def _add(known: dict[str, Origin], candidate: Candidate, metrics: list[str], at: Place) -> None:
    for i, found in enumerate(candidate.measurements):
        if found.metric in metrics:
            value = at.at("measurements", i, "value").field(found.value)
            known.setdefault(shown(found.metric, found.value), value)
            for j, bound in enumerate(found.ci95 or ()):
                origin = at.at("measurements", i, "ci95", j).field(bound)
                known.setdefault(shown(found.metric, bound), origin)
    if candidate.step is not None:
        known.setdefault(f"{candidate.step:,}", at.at("step").field(candidate.step))
