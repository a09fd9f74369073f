"""Where each part stands in the picture of a drift, from left to right."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from mbrelease.parity.drift import Drift, Kind, Part
from mbrelease.pictures.sheet import SMALL, text_width

_EDGE = 24.0
_END = 56.0  # beside a part that is in no layer
_WORDS: Mapping[Kind, str] = {"embeddings": "emb.", "norms": "norms", "head": "head"}


@dataclass(frozen=True)
class Columns:
    """In pixels from the left of a panel."""

    layers: Mapping[int, float]
    ends: Mapping[Kind, float]
    """The parts that are in no layer."""

    def of(self, part: Part) -> float:
        """Where ``part`` stands."""
        return self.ends[part.kind] if part.layer is None else self.layers[part.layer]

    def ticks(self) -> dict[str, float]:
        """The parts in no layer by name, and as many of the layers by number as there is room."""
        places = list(self.layers.values())
        pitch = places[1] - places[0] if len(places) > 1 else _END
        room = max(text_width(str(layer), SMALL) for layer in self.layers) + 8
        every = next(n for n in range(1, 1000) if n * pitch >= room)
        numbered = {str(layer): x for layer, x in list(self.layers.items())[::every]}
        return numbered | {_WORDS[kind]: x for kind, x in self.ends.items()}


def columns_of(drift: Drift, width: float) -> Columns:
    """The embeddings, the layers at equal distances, the norms outside them and the head."""
    outside = {part.kind for part in drift.parts if part.layer is None}
    layers = sorted({part.layer for part in drift.parts if part.layer is not None})
    after: list[Kind] = [kind for kind in ("norms", "head") if kind in outside]
    first = _EDGE + (_END if "embeddings" in outside else 0.0)
    last = width - _EDGE - _END * len(after)
    pitch = (last - first) / max(1, len(layers) - 1)
    ends = {kind: last + _END * i for i, kind in enumerate(after, 1)}
    if "embeddings" in outside:
        ends["embeddings"] = _EDGE
    return Columns({layer: first + pitch * i for i, layer in enumerate(layers)}, ends)
