"""How far weights moved from those of the parent: relative norm and cosine, part by part.

For the weights θ of a part, taken as one long vector, and the parent's θ₀:

    relative norm = ‖θ − θ₀‖ / ‖θ₀‖        cosine = θ · θ₀ / (‖θ‖ ‖θ₀‖)

Both files are read tile by tile, without torch; values are exact in float64, and so summed.
"""

from __future__ import annotations

import contextlib
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from statistics import median
from typing import Literal

import numpy as np

from mbrelease.averaging.dtypes import FLOATING, Float64s, decode, encode
from mbrelease.averaging.reader import Reader
from mbrelease.checkpoints.safetensors_header import BYTES_PER_ELEMENT
from mbrelease.checkpoints.source import Source, StoredTensor
from mbrelease.progress import SILENT, Progress

Kind = Literal["embeddings", "attention", "mlp", "norms", "head"]
Place = tuple[Kind, int | None]

TILE_ELEMENTS = 1 << 16  # as float64 it stays in the second-level cache
WORDS: Mapping[Kind, str] = {"attention": "attention", "mlp": "MLP", "norms": "norms"}
_OF_LAYER = re.compile(r"layers\.(\d+)\.(attn|mlp|attn_norm|mlp_norm)\.")
_KINDS: Mapping[str, Kind] = {
    "attn": "attention",
    "mlp": "mlp",
    "attn_norm": "norms",
    "mlp_norm": "norms",
}


@dataclass(frozen=True)
class Change:
    """How some weights changed: sums over all their elements, θ the child's and θ₀ the parent's."""

    elements: int
    difference: float
    """Σ (θ − θ₀)²"""
    child: float
    """Σ θ²"""
    parent: float
    """Σ θ₀²"""
    product: float
    """Σ θ θ₀"""
    identical: bool
    """Whether each value is the parent's, bit for bit once that is rounded to the child's dtype."""

    def __add__(self, other: Change) -> Change:
        return Change(
            self.elements + other.elements,
            self.difference + other.difference,
            self.child + other.child,
            self.parent + other.parent,
            self.product + other.product,
            self.identical and other.identical,
        )

    @property
    def relative(self) -> float | None:
        """‖θ − θ₀‖ / ‖θ₀‖; ``None`` where the parent is all zeros and the child is not."""
        if self.difference == 0:
            return 0.0
        return math.sqrt(self.difference / self.parent) if self.parent else None

    @property
    def cosine(self) -> float | None:
        """The cosine between θ and θ₀; ``None`` where one of them is all zeros."""
        if self.difference == 0 and self.parent:
            return 1.0
        if not self.child or not self.parent:
            return None
        cosine = self.product / (math.sqrt(self.child) * math.sqrt(self.parent))
        return max(-1.0, min(1.0, cosine))


@dataclass(frozen=True)
class Part:
    """A part of the model: the embeddings, the attention of one layer, …

    ``norms`` of no layer are those after the embeddings and after the last layer.
    """

    kind: Kind
    layer: int | None
    change: Change

    @property
    def words(self) -> str:
        """``the embeddings``, ``the MLP of layer 3``, …"""
        name = WORDS.get(self.kind, self.kind)
        if self.layer is not None:
            return f"the {name} of layer {self.layer}"
        return "the norms outside the layers" if self.kind == "norms" else f"the {name}"

    @property
    def in_layer(self) -> bool:
        """Whether it is the attention or the MLP of a layer: nearly all that is trained."""
        return self.kind in ("attention", "mlp")


@dataclass(frozen=True)
class Drift:
    """A child against its parent."""

    parts: tuple[Part, ...]
    """In the order of a forward pass; only those of which something could be compared."""
    tensors: Mapping[str, Change]
    """By name, less ``model.``."""
    apart: tuple[str, ...]
    """The child's tensors of which the parent has none of that name and shape."""
    dtypes: tuple[str, str]
    """The child's and the parent's, where several, joined by ``+``."""

    @property
    def layers(self) -> list[Part]:
        """The attention and the MLP of each layer, but those that were all zeros."""
        return [part for part in self.parts if part.in_layer and part.change.relative is not None]

    @property
    def finite(self) -> bool:
        """Whether no weight was NaN or infinite."""
        sums = (part.change for part in self.parts)
        return all(math.isfinite(one.difference) and math.isfinite(one.product) for one in sums)

    @property
    def unmoved(self) -> bool:
        """Whether all that was compared is the parent's, bit for bit."""
        return all(part.change.identical for part in self.parts)

    @property
    def drawable(self) -> bool:
        """Whether there is something to show of it."""
        return bool(self.layers) and self.finite and not self.unmoved

    @property
    def median(self) -> float:
        """The median relative norm of ``layers``; 0 where there is none."""
        return median([part.change.relative or 0.0 for part in self.layers] or [0.0])


def drift(child: Source, parent: Source, progress: Progress = SILENT) -> Drift:
    """Compare every tensor that both have in the same shape; a few tiles are in memory at a time.

    Names are compared less the ``model.`` that only models with a head put before them.

    Raises:
        UserError: a file cannot be read or was cut short.
    """
    mine, theirs = _by_short_name(child), _by_short_name(parent)
    both = [name for name in mine if name in theirs and _comparable(mine[name], theirs[name])]
    changes: dict[str, Change] = {}
    progress.start("comparing with the parent", len(both), "tensors")
    with contextlib.ExitStack() as stack:
        stack.enter_context(np.errstate(invalid="ignore", over="ignore"))  # Drift.finite tells
        pair = _Pair(Reader(child, stack), Reader(parent, stack))
        for name in both:
            changes[name] = pair.change(mine[name], theirs[name])
            progress.advance()
    return Drift(
        parts=_parts(changes),
        tensors=changes,
        apart=tuple(mine[name].name for name in mine if name not in changes),
        dtypes=(_dtypes(mine), _dtypes(theirs)),
    )


@dataclass(frozen=True)
class _Named:
    """A tensor with the name that its own file gives it."""

    name: str
    tensor: StoredTensor


class _Pair:
    """Both checkpoints, opened, with room for one tile of each."""

    def __init__(self, child: Reader, parent: Reader) -> None:
        self._child, self._parent = child, parent
        widest = max(BYTES_PER_ELEMENT.values())
        self._rooms = [memoryview(bytearray(TILE_ELEMENTS * widest)) for _ in range(2)]

    def change(self, mine: _Named, theirs: _Named) -> Change:
        """Of one tensor."""
        total = Change(0, 0.0, 0.0, 0.0, 0.0, identical=True)
        for first, elements in _tiles(mine.tensor.elements):
            a = self._child.read(mine.name, first, elements, self._rooms[0])
            b = self._parent.read(theirs.name, first, elements, self._rooms[1])
            # A tensor that is known to have changed need not be asked again.
            total += _change(a, mine.tensor.dtype, b, theirs.tensor.dtype, total.identical)
        return total


def _change(a: memoryview, dtype: str, b: memoryview, other: str, ask: bool) -> Change:
    child, parent = decode(a, dtype).astype(np.float64), decode(b, other).astype(np.float64)
    identical = ask and _identical(a, dtype, b, parent, other)
    difference = child - parent
    return Change(
        elements=child.size,
        difference=_dot(difference, difference),
        child=_dot(child, child),
        parent=_dot(parent, parent),
        product=_dot(child, parent),
        identical=identical,
    )


def _dot(a: Float64s, b: Float64s) -> float:
    # NumPy sums pairwise, in this thread; np.dot would wait for threads of its own at each tile.
    return float(np.sum(a * b))


def _identical(a: memoryview, dtype: str, b: memoryview, parent: Float64s, other: str) -> bool:
    mine = np.frombuffer(a, np.uint8)
    if dtype == other:
        return np.array_equal(mine, np.frombuffer(b, np.uint8))
    # encode() takes finite values alone.
    return bool(np.isfinite(parent).all()) and np.array_equal(
        mine, encode(parent, dtype).view(np.uint8)
    )


def _tiles(elements: int) -> Iterator[tuple[int, int]]:
    for first in range(0, elements, TILE_ELEMENTS):
        yield first, min(TILE_ELEMENTS, elements - first)


def _by_short_name(source: Source) -> dict[str, _Named]:
    return {
        name.removeprefix("model."): _Named(name, tensor) for name, tensor in source.stored.items()
    }


def _comparable(mine: _Named, theirs: _Named) -> bool:
    same_shape = mine.tensor.shape == theirs.tensor.shape
    return same_shape and {mine.tensor.dtype, theirs.tensor.dtype} <= FLOATING


def _dtypes(tensors: Mapping[str, _Named]) -> str:
    return "+".join(sorted({named.tensor.dtype for named in tensors.values()}))


def place_of(name: str) -> Place:
    """The part that a tensor belongs to, by its name less ``model.``."""
    if found := _OF_LAYER.match(name):
        return _KINDS[found[2]], int(found[1])
    if name.startswith("embeddings.tok_embeddings."):
        return "embeddings", None
    if name.startswith(("embeddings.norm.", "final_norm.")):
        return "norms", None
    return "head", None


def _parts(changes: Mapping[str, Change]) -> tuple[Part, ...]:
    sums: dict[Place, Change] = {}
    for name, change in changes.items():
        place = place_of(name)
        sums[place] = sums[place] + change if place in sums else change
    return tuple(Part(*place, sums[place]) for place in sorted(sums, key=_order))


def _order(place: Place) -> tuple[float, int]:
    kinds: list[Kind] = ["embeddings", "attention", "mlp", "norms", "head"]
    kind, layer = place
    after = {"embeddings": -1.0, "norms": math.inf, "head": math.inf}
    return (after[kind] if layer is None else float(layer), kinds.index(kind))
