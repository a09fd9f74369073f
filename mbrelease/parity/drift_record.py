"""How far weights moved from the parent's, kept as evidence.

It lies in ``evidence/drift/<child>.<parent>.json``, by the first digits of the sha256 of both. A
drift follows from the two files of weights alone, so it is measured once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from mbrelease.errors import UserError
from mbrelease.files import read_json, write_json
from mbrelease.parity.checks.drift import as_json
from mbrelease.parity.drift import Change, Drift, Kind, Part

FORMAT = 1
_SHOWN_DIGITS = 16
_SUMS = ("difference", "child", "parent", "product")
_AGAIN = "delete it; mbrelease release measures it again"


@dataclass(frozen=True)
class DriftRecord:
    """A drift, and between which weights it was measured."""

    weights_sha256: str
    parent: str
    """What the parent is called in the registry."""
    parent_weights_sha256: str
    drift: Drift
    """Without its tensors."""
    file: Path


def drift_folder(evidence: Path) -> Path:
    """Where drifts lie; no task's evidence is looked for there."""
    return evidence / "drift"


def drift_file(evidence: Path, weights_sha256: str, parent_weights_sha256: str) -> Path:
    """Where the drift between these weights lies."""
    names = (weights_sha256[:_SHOWN_DIGITS], parent_weights_sha256[:_SHOWN_DIGITS])
    return drift_folder(evidence) / f"{'.'.join(names)}.json"


def write_drift_record(
    evidence: Path, drift: Drift, weights_sha256: str, parent: str, parent_weights_sha256: str
) -> Path | None:
    """Keep ``drift``, unless it is known.

    Args:
        evidence: the folder of a project's evidence.
        drift: as it was measured between these weights.
        weights_sha256: of the child.
        parent: the variant that it was made from.
        parent_weights_sha256: of that.

    Returns:
        The file; ``None`` where there is nothing to tell: no part could be compared, or weights
        were NaN or infinite.

    Raises:
        UserError: it cannot be written.
    """
    if not drift.parts or not drift.finite:
        return None
    path = drift_file(evidence, weights_sha256, parent_weights_sha256)
    if _is_known(path, weights_sha256, parent, parent_weights_sha256):
        return path
    content = {
        "format": FORMAT,
        "weights_sha256": weights_sha256,
        "parent": parent,
        "parent_weights_sha256": parent_weights_sha256,
        "dtypes": list(drift.dtypes),
        **as_json(drift),
    }
    for entry, part in zip(content["parts"], drift.parts, strict=True):
        entry["sums"] = {name: getattr(part.change, name) for name in _SUMS}
    write_json(path, content)
    return path


def read_drift_records(evidence: Path, weights_sha256: str) -> list[DriftRecord]:
    """The drifts of these weights from whatever they were held against, by file name.

    Raises:
        UserError: a file is malformed, or a figure in it does not follow from its sums.
    """
    beginning = weights_sha256[:_SHOWN_DIGITS]
    found = [
        read_drift_record(p) for p in sorted(drift_folder(evidence).glob(f"{beginning}.*.json"))
    ]
    return [record for record in found if record.weights_sha256 == weights_sha256]


def read_drift_record(path: Path) -> DriftRecord:
    """The drift that stands in ``path``.

    Raises:
        UserError: it is malformed, or a figure in it does not follow from its sums.
    """
    content = read_json(path)
    try:
        if content["format"] != FORMAT:
            raise ValueError(f"its format is {content['format']}")
        mine, theirs = map(str, content["dtypes"])
        drift = Drift(
            parts=tuple(map(_part, content["parts"])),
            tensors={},
            apart=tuple(map(str, content["not_compared"])),
            dtypes=(mine, theirs),
        )
        if not drift.finite:
            raise ValueError("a sum is not a finite number")
        if content["median_relative_norm"] != drift.median:
            raise ValueError("its median is not that of its parts")
        return DriftRecord(
            weights_sha256=str(content["weights_sha256"]),
            parent=str(content["parent"]),
            parent_weights_sha256=str(content["parent_weights_sha256"]),
            drift=drift,
            file=path,
        )
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise UserError(f"{path}: malformed drift: {error!r}", mend=_AGAIN) from error


def _is_known(path: Path, weights_sha256: str, parent: str, parent_weights_sha256: str) -> bool:
    try:
        known = read_drift_record(path)
    except UserError:
        return False  # not there, or broken: it is written anew
    named = (known.weights_sha256, known.parent, known.parent_weights_sha256)
    return named == (weights_sha256, parent, parent_weights_sha256)


def _part(entry: Mapping[str, Any]) -> Part:
    if entry["part"] not in get_args(Kind):
        raise ValueError(f"{entry['part']} is no part of a model")
    sums = {name: float(entry["sums"][name]) for name in _SUMS}
    change = Change(elements=int(entry["parameters"]), identical=bool(entry["identical"]), **sums)
    if (change.relative, change.cosine) != (entry["relative_norm"], entry["cosine"]):
        raise ValueError(f"{entry['part']} of layer {entry['layer']} is not what its sums give")
    layer = entry["layer"]
    return Part(entry["part"], None if layer is None else int(layer), change)
