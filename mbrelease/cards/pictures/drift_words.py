"""How far a variant moved from its parent, in words with the origin of each number."""

from __future__ import annotations

from mbrelease.cards.pictures.wording import Wording, sourced
from mbrelease.cards.told import Origin, Place
from mbrelease.evaluation.candidates import NoWeights, released_checkpoint
from mbrelease.parity.drift_record import DriftRecord, read_drift_records
from mbrelease.parity.plot_drift import alt_text
from mbrelease.registry.project import Project


def read_drift(project: Project, variant: str, weights_sha256: str) -> DriftRecord | None:
    """How far the weights of ``variant`` (a resolved name) moved from its first parent that is
    known of; ``None`` where nobody measured it.

    Raises:
        UserError: a record is malformed.
    """
    records = read_drift_records(project.evidence, weights_sha256)
    for parent in project.registry.variants[variant].parents:
        found = [record for record in records if record.parent == parent.variant]
        if len(found) > 1:  # the parent was another once
            now = _weights(project, parent.variant)
            found = [record for record in found if record.parent_weights_sha256 == now]
        if found:
            return found[0]
    return None


def drift_words(record: DriftRecord, child: str, place: Place) -> Wording:
    """The finding in one sentence; the record stands in the file ``place``."""
    sentence = alt_text(record.drift, child, record.parent)
    return sourced(sentence, _origins(record, place), place.at("parts").field())


def _weights(project: Project, variant: str) -> str | None:
    try:
        return released_checkpoint(project, variant).weights_sha256
    except NoWeights:
        return None


def _origins(record: DriftRecord, place: Place) -> dict[str, Origin]:
    """By the text of a number, where it stands; the median's first, then those of layers."""
    drift = record.drift
    at = place.at("median_relative_norm")
    known: dict[str, Origin] = {f"{drift.median:.3g}": at.field(drift.median)}
    for i, part in sorted(enumerate(drift.parts), key=lambda pair: not pair[1].in_layer):
        relative, cosine = part.change.relative, part.change.cosine
        at = place.at("parts", i)
        if relative is not None:
            known.setdefault(f"{relative:.3g}", at.at("relative_norm").field(relative))
        if cosine is not None:
            known.setdefault(f"{cosine:.4f}", at.at("cosine").field(cosine))
        if part.layer is not None:
            known.setdefault(str(part.layer), at.at("layer").field(part.layer))
    return known
