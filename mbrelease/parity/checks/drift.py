"""How far the weights moved from the parent's, and whether any part did as none should."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from statistics import median
from typing import Any

from mbrelease.parity.drift import Drift, Part
from mbrelease.parity.report import CheckResult, passed, shortened, skipped, warned

# In 22 checkpoints of two runs, of 1,200 and 4,000 steps, with medians of 0.14 to 1.74, no part of
# a model moved more than 1.5 times as far as the median of the layers.
EXPLODED_TIMES = 5.0
# Less than half of what was there before is no explosion, however still the others stood: a model
# hardly trained at all has a median of 0.001. Weights drawn anew change by 1.4 or more.
EXPLODED_LEAST = 0.5
# In the same checkpoints the first third moved 1.0 to 1.3 times as far as the last.
EARLY_TIMES = 2.0
FEWEST_LAYERS = 6  # fewer have no thirds that mean something
# ‖rounded θ − θ‖ / ‖θ‖ of normally distributed θ.
ROUNDING = {"BF16": 0.0017, "F16": 0.0002}

SUMMARY, EXPECTED = "drift.summary", "weights that moved from the parent's"


def check_drift(drift: Drift) -> list[CheckResult]:
    """What a :func:`~mbrelease.parity.drift.drift` says; every remark of it only warns.

    A model may be frozen in parts, or given new layers, on purpose: what is not said in any file
    cannot fail. The first answer carries the figures of every part.
    """
    if not drift.parts:
        return [skip_drift("no tensor has the name and shape of one of the parent's")]
    if not drift.finite:
        return [skip_drift("weights that are NaN or infinite, here or in the parent")]
    if drift.unmoved:
        return [replace(_nothing_moved(drift), details=as_json(drift))]
    return [
        replace(passed(SUMMARY, summary(drift), EXPECTED), details=as_json(drift)),
        check_embeddings(drift),
        check_still(drift),
        check_exploded(drift),
        check_early(drift),
    ]


def skip_drift(reason: str) -> CheckResult:
    """The one answer where nothing can be compared."""
    return skipped(SUMMARY, expected=EXPECTED, reason=reason)


def _nothing_moved(drift: Drift) -> CheckResult:
    found = f"the parent's own weights, bit for bit, in all {len(drift.tensors)} tensors"
    if drift.apart:
        found += f" but those that the parent has not: {shortened(drift.apart)}"
    return warned(
        SUMMARY,
        expected=EXPECTED,
        found=found,
        mend="nothing, if no more was trained; else give the folder of what was, or its parent",
    )


def summary(drift: Drift) -> str:
    """The median and the range of the layers in one line."""
    if not drift.layers:
        return f"{len(drift.tensors)} tensors compared, none of them in a layer"
    ordered = sorted(drift.layers, key=_relative)
    least, most = ordered[0], ordered[-1]
    cosines = [part.change.cosine for part in drift.layers if part.change.cosine is not None]
    words = (
        f"median relative norm {drift.median:.3g}, from {_relative(least):.3g} ({least.words}) "
        f"to {_relative(most):.3g} ({most.words})"
    )
    if cosines:
        words += f"; cosine down to {min(cosines):.4f}"
    if drift.apart:
        words += f"; not the parent's in name or shape: {shortened(drift.apart)}"
    mine, theirs = drift.dtypes
    if mine != theirs and mine in ROUNDING:
        words += f"; {ROUNDING[mine]:g} of it is the rounding to {mine}"
    return words


def check_embeddings(drift: Drift) -> CheckResult:
    """The embeddings moved: they are trained with the rest, and tied to the decoder besides."""
    name, expected = "drift.embeddings", "embeddings that moved with the rest"
    found = next((part for part in drift.parts if part.kind == "embeddings"), None)
    if found is None:
        reason = "the parent's have another shape"
        return skipped(name, expected=expected, reason=reason)
    if not found.change.identical:
        return passed(name, _moved(found), expected)
    return warned(
        name,
        expected=expected,
        found="the parent's, bit for bit, while layers moved",
        mend="nothing, if frozen on purpose; else give them to the optimizer and train again",
    )


def check_still(drift: Drift) -> CheckResult:
    """No layer, and no head, stood still while others moved."""
    name, expected = "drift.still", "every layer moved"
    found = still(drift)
    if not found:
        return passed(name, expected)
    return warned(
        name,
        expected=expected,
        found=f"the parent's, bit for bit, while others moved: {shortened(found, shown=6)}",
        mend="nothing, if frozen on purpose; else see that the optimizer has them, in float32: "
        "in bfloat16 alone small updates round to nothing",
    )


def check_exploded(drift: Drift) -> CheckResult:
    """No part moved far more than the layers did."""
    name = "drift.exploded"
    bound = exploded_bound(drift)
    expected = (
        f"nothing above {bound:.3g}: {EXPLODED_TIMES:g} times the median of the layers, "
        f"and no less than {EXPLODED_LEAST:g}"
    )
    found = exploded(drift)
    if not found:
        return passed(name, "no part moved far more than the layers did", expected)
    return warned(
        name,
        expected=expected,
        found=f"{shortened(map(_moved, found), shown=4)}; the median is {drift.median:.3g}",
        mend="nothing, if it was made anew on purpose; else take an earlier checkpoint",
    )


def check_early(drift: Drift) -> CheckResult:
    """The first layers, on which all others build, did not change much more than the last."""
    name = "drift.early"
    expected = f"the first third moved at most {EARLY_TIMES:g} times as far as the last"
    ends = thirds(drift)
    if ends is None:
        layers = len({part.layer for part in drift.layers})
        return skipped(name, expected=expected, reason=f"{layers} layers have no thirds")
    first, last = ends
    found = f"median {first:.3g} in the first third of the layers, {last:.3g} in the last"
    if first <= EARLY_TIMES * last:
        return passed(name, found, expected)
    return warned(
        name,
        expected=expected,
        found=found,
        mend="nothing, if its scores are good; else a lower rate, or one that rises over the depth",
    )


def exploded_bound(drift: Drift) -> float:
    """The relative norm above which a part has exploded."""
    return max(EXPLODED_LEAST, EXPLODED_TIMES * drift.median)


def exploded(drift: Drift) -> list[Part]:
    """The parts that moved far more than the layers did, the farthest first."""
    bound = exploded_bound(drift)
    found = [part for part in drift.parts if _relative(part) > bound]
    return sorted(found, key=_relative, reverse=True)


def still(drift: Drift) -> list[str]:
    """The layers, or parts of them, and the head that did not move while others did.

    Of the norms nothing is said: in bfloat16 few of them leave 1.
    """
    if drift.unmoved:
        return []
    quiet = [part for part in drift.parts if part.change.identical]
    kinds: dict[int, list[Part]] = {}
    for part in quiet:
        if part.in_layer and part.layer is not None:
            kinds.setdefault(part.layer, []).append(part)
    whole = [layer for layer, parts in kinds.items() if len(parts) == 2]
    halves = [parts[0].words for parts in kinds.values() if len(parts) == 1]
    head = [part.words for part in quiet if part.kind == "head"]
    return [*_ranges(whole), *halves, *head]


def thirds(drift: Drift) -> tuple[float, float] | None:
    """The median relative norm of the first and of the last third of the layers."""
    layers = sorted({part.layer for part in drift.layers if part.layer is not None})
    if len(layers) < FEWEST_LAYERS:
        return None
    n = len(layers) // 3
    first, last = set(layers[:n]), set(layers[-n:])
    return (
        median(_relative(part) for part in drift.layers if part.layer in first),
        median(_relative(part) for part in drift.layers if part.layer in last),
    )


def as_json(drift: Drift) -> dict[str, Any]:
    """The figures of every part as JSON values; ``null`` where the parent's are all zeros."""
    return {
        "median_relative_norm": drift.median,
        "parts": [
            {
                "part": part.kind,
                "layer": part.layer,
                "parameters": part.change.elements,
                "relative_norm": part.change.relative,
                "cosine": part.change.cosine,
                "identical": part.change.identical,
            }
            for part in drift.parts
        ],
        "not_compared": list(drift.apart),
    }


def _relative(part: Part) -> float:
    return math.nan if part.change.relative is None else part.change.relative


def _moved(part: Part) -> str:
    return f"{part.words}: {_relative(part):.3g}"


def _ranges(layers: Sequence[int]) -> list[str]:
    """``layer 3``, or ``layers 3 to 7`` where they follow one another."""
    runs: list[list[int]] = []
    for layer in sorted(layers):
        if runs and layer == runs[-1][-1] + 1:
            runs[-1].append(layer)
        else:
            runs.append([layer])
    return [f"layers {run[0]} to {run[-1]}" if len(run) > 1 else f"layer {run[0]}" for run in runs]
