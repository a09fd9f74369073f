"""How often the statistics of ``mbrelease select`` are wrong, in worlds where the truth is known.

    python benchmarks/selection_error_rates.py [--repetitions 5000] [--resamples 999]

Each repetition draws the per-example scores of a whole selection anew and runs the functions that
decide on them. A rate stands with its Monte-Carlo error, 1.96 √(p (1 - p) / repetitions). Prints
Markdown; tests/selection/test_error_rates.py runs the same with fewer repetitions.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mbrelease.selection.rule import Changes, Rule
from mbrelease.selection.statistics import AdditiveScore, Floats, Score, bootstrap

ALPHA = 0.05
SEED = 20_240_518
# Repetitions that share the draws of the bootstrap: few, or what one draw is off by stays in.
BATCH = 20
CLASSES = np.asarray([0.5, 0.3, 0.15, 0.05])
MARGIN = 0.02

# P(Z > 0) and P(Z > 1.645) of the greatest of k normal Z, independent or correlated by 1/2.
EXPECTED = {
    (8, False): {"points": 1 - 0.5**8, "uncorrected": 1 - 0.95**8},
    (8, True): {"points": 8 / 9, "uncorrected": 0.2191},
    (7, True): {"points": 7 / 8, "uncorrected": 0.2033},
    (20, True): {"points": 20 / 21, "uncorrected": 0.3395},
}

Draw = Callable[[np.random.Generator], Sequence[Score]]


@dataclass(frozen=True)
class World:
    """Where scores come from: the reference first, then candidates."""

    name: str
    draw: Draw
    truth: float = 0.0
    """How much better each candidate truly is than the reference."""
    clusters: NDArray[np.int64] | None = None


@dataclass(frozen=True)
class Rate:
    """How often something happened."""

    share: float
    repetitions: int

    @staticmethod
    def of(happened: Iterable[object]) -> Rate:
        """The rate of what is true among ``happened``."""
        found = np.asarray(list(happened), dtype=bool)
        return Rate(float(found.mean()), len(found))

    @property
    def error(self) -> float:
        """Half of the 95 % interval of the simulation itself."""
        return 1.96 * math.sqrt(self.share * (1 - self.share) / self.repetitions)

    def __str__(self) -> str:
        return f"{100 * self.share:.1f}% ± {100 * self.error:.1f}"


# Worlds


def _ratio(sums: Floats) -> Floats:
    return np.asarray(sums[..., 0] / sums[..., 1])


def _macro_f1(sums: Floats) -> Floats:
    hits, positives, predicted = np.split(sums, 3, axis=-1)
    both = positives + predicted
    f1 = np.divide(2 * hits, both, out=np.zeros_like(hits), where=both > 0)
    return np.asarray(f1.sum(axis=-1) / np.maximum((both > 0).sum(axis=-1), 1))


def mean_of(values: Floats) -> AdditiveScore:
    """The mean of ``values``, (seeds, examples)."""
    return AdditiveScore(np.stack([values, np.ones_like(values)], axis=2), _ratio)


def accuracy(n: int) -> World:
    """0.70 against 0.75 of right answers, mostly of the same examples."""

    def draw(generator: np.random.Generator) -> list[Score]:
        ease, again = generator.random((2, 1, n))
        other = np.where(generator.random((1, n)) < 0.2, again, ease)
        return [mean_of((ease < 0.70).astype(float)), mean_of((other < 0.75).astype(float))]

    return World(f"accuracy, {n} examples", draw, 0.05)


def loss(n: int) -> World:
    """Σ nll / Σ tokens of documents whose length and difficulty differ a lot."""

    def draw(generator: np.random.Generator) -> list[Score]:
        tokens = generator.integers(5, 150, (1, n)).astype(float)
        hard = generator.gamma(4, 0.5, (1, n))
        found: list[Score] = []
        for effect in (0.0, 0.02):
            noise = generator.normal(0, 1, (1, n)) / np.sqrt(tokens)
            nll = tokens * (hard + effect + noise)
            found.append(AdditiveScore(np.stack([nll, tokens], axis=2), _ratio))
        return found

    return World(f"loss, Σ nll / Σ tokens, {n} documents", draw, 0.02)


def macro_f1(n: int) -> World:
    """Four classes, the rarest one in 20; 70 % against 78 % right, mostly of the same examples."""

    def draw(generator: np.random.Generator) -> list[Score]:
        label = generator.choice(len(CLASSES), n, p=CLASSES)
        ease = generator.random(n)
        found: list[Score] = []
        for share in (0.70, 0.78):
            own = np.where(generator.random(n) < 0.3, generator.random(n), ease)
            wrong = (label + generator.integers(1, len(CLASSES), n)) % len(CLASSES)
            said = np.where(own < share, label, wrong)
            is_label, is_said = (one[:, None] == np.arange(len(CLASSES)) for one in (label, said))
            columns = np.concatenate([is_label & is_said, is_label, is_said], axis=1)
            found.append(AdditiveScore(columns[None].astype(float), _macro_f1))
        return found

    return World(f"macro-F1, {n} examples", draw, _true_f1(0.78) - _true_f1(0.70))


def _true_f1(right: float) -> float:
    """Macro-F1 of all examples there could be, wrong ones going to every other class alike."""
    said = right * CLASSES + (1 - right) / 3 * (1 - CLASSES)
    return float(np.mean(2 * right * CLASSES / (CLASSES + said)))


def clusters(n: int, *, heeded: bool = True) -> World:
    """Questions about n documents, 1 to 7 of each; half of the variance is the document's."""
    of_document = np.repeat(np.arange(n), 1 + np.arange(n) % 7)

    def draw(generator: np.random.Generator) -> list[Score]:
        documents = generator.normal(0, 1, n)[of_document]
        change = documents + generator.normal(0, 1, len(of_document))
        return [mean_of(np.zeros((1, len(change)))), mean_of(change[None])]

    name = f"{len(of_document)} questions in {n} clusters" + ("" if heeded else ", not heeded")
    return World(name, draw, clusters=of_document if heeded else None)


def trained(n_seeds: int, seed: float, example: float, both: float, what: str) -> World:
    """Heads of several seeds on 100 examples; shares of the change's variance by their cause."""
    n = 100
    # Shares are of the mean's variance, to which a seed and an example contribute unalike.
    scales = [math.sqrt(seed * n_seeds), math.sqrt(example * n), math.sqrt(both * n * n_seeds)]

    def draw(generator: np.random.Generator) -> list[Score]:
        shapes = ((n_seeds, 1), (1, n), (n_seeds, n))
        parts = [
            scale * generator.normal(0, 1, shape)
            for scale, shape in zip(scales, shapes, strict=True)
        ]
        return [mean_of(np.zeros((n_seeds, n))), mean_of(sum(parts, np.zeros((n_seeds, n))))]

    return World(f"{n_seeds} seeds, 100 examples, {what}", draw)


def candidates(
    k: int, n: int, *, change: float = 0.0, ahead: float = 0.0, paired: bool = True
) -> World:
    """k candidates whose mean is better by ``change``, and of the first one by ``ahead`` more.

    Paired, what differs from example to example is shared and every model has noise of its own, so
    that differences from the reference correlate by 1/2. Otherwise they are independent.
    """

    def draw(generator: np.random.Generator) -> list[Score]:
        shared = generator.normal(0, 2, (1, n))
        models = shared + generator.normal(0, 1, (k + 1, n))
        if not paired:
            models[0] = shared[0]
        models[1:] += change
        models[1] += ahead
        return [mean_of(model[None]) for model in models]

    return World(f"{k} candidates, {n} examples", draw, change)


# Repetitions


def repeated(
    world: World, repetitions: int, resamples: int, *, out_of_bag: bool = False
) -> Iterator[tuple[Changes, Floats]]:
    """The changes of each repetition, (candidates, 1), and those on what was left out."""
    for start in range(0, repetitions, BATCH):
        generator = np.random.default_rng([SEED, start])
        drawn_worlds = [world.draw(generator) for _ in range(min(BATCH, repetitions - start))]
        flat = [score for scores in drawn_worlds for score in scores]
        drawn = bootstrap(
            flat,
            resamples=resamples,
            seed=SEED + start,
            clusters=world.clusters,
            out_of_bag=[out_of_bag] * len(flat),
        )
        size = len(drawn_worlds[0])
        for place in range(0, len(flat), size):
            point, values, left = (
                one[..., place + 1 : place + size] - one[..., place : place + 1]
                for one in (drawn.point, drawn.values, drawn.out_of_bag)
            )
            yield Changes(point[:, None], values[:, :, None]), left


@dataclass(frozen=True)
class Coverage:
    """How often the truth lies within the two-sided interval, above the lower, below the upper."""

    both: Rate
    lower: Rate
    upper: Rate


def coverage(world: World, repetitions: int, resamples: int) -> Coverage:
    """Of the intervals of one paired difference, at 95 %."""
    found = []
    levels = [ALPHA / 2, 1 - ALPHA / 2, ALPHA, 1 - ALPHA]
    for changes, _ in repeated(world, repetitions, resamples):
        low, high, lower, upper = np.quantile(changes.values[:, 0, 0], levels)
        held = (low <= world.truth <= high, lower <= world.truth, world.truth <= upper)
        found.append(held)
    return Coverage(*(Rate.of(one) for one in zip(*found, strict=True)))


def let_through(world: World, repetitions: int, resamples: int) -> dict[str, Rate]:
    """How often at least one candidate passes a guardrail: by points, by single tests, by Holm."""
    found: dict[str, list[bool]] = {"points": [], "uncorrected": [], "Holm": []}
    for one, _ in repeated(world, repetitions, resamples):
        # The primary metric is of no account here: the guardrail stands in for it.
        changes = Changes(np.tile(one.point, 2), np.tile(one.values, (1, 1, 2)))
        exact = Changes(changes.point, changes.values[:0])
        by_points = Rule.fixed_by(exact, [MARGIN], ALPHA, None).apply(changes.point[None])
        rule = Rule.fixed_by(changes, [MARGIN], ALPHA, None)
        single = [rule.p_guardrail(c, 1, MARGIN) for c in range(len(changes.point))]
        found["points"].append(bool(by_points.eligible.any()))
        found["uncorrected"].append(min(single) <= ALPHA)
        found["Holm"].append(bool(rule.apply(changes.point[None]).eligible.any()))
    return {name: Rate.of(one) for name, one in found.items()}


def found_better(world: World, repetitions: int, resamples: int) -> dict[str, Rate]:
    """How often at least one candidate is found better than the reference."""
    found: dict[str, list[bool]] = {"uncorrected": [], "max-T": []}
    for changes, _ in repeated(world, repetitions, resamples):
        rule = Rule.fixed_by(changes, [], ALPHA, None)
        lower = np.quantile(changes.values[:, :, 0], ALPHA, axis=0)
        found["uncorrected"].append(bool((lower > 0).any()))
        found["max-T"].append(bool(rule.apply(changes.point[None]).superior.any()))
    return {name: Rate.of(one) for name, one in found.items()}


def best_kept(world: World, repetitions: int, resamples: int) -> tuple[Rate, float]:
    """How often the first candidate is among the best, and how many are on average."""
    sizes, kept = [], []
    for changes, _ in repeated(world, repetitions, resamples):
        tied = Rule.fixed_by(changes, [], ALPHA, None).apply(changes.point[None]).tied[0]
        kept.append(tied[0])
        sizes.append(tied.sum())
    return Rate.of(kept), float(np.mean(sizes))


def flattery(world: World, repetitions: int, resamples: int) -> tuple[float, float]:
    """By how much the best candidate looks better than it is, and the mean optimism."""
    true, told = [], []
    for changes, left in repeated(world, repetitions, resamples, out_of_bag=True):
        true.append(changes.point.max() - world.truth)
        values = changes.values[:, :, 0]
        winner = values.argmax(axis=1)
        rows = np.arange(len(values))
        told.append((values[rows, winner] - left[rows, winner]).mean())
    return float(np.mean(true)), float(np.mean(told))


COVERED = [
    *(world(n) for world in (accuracy, loss, macro_f1) for n in (30, 100, 500)),
    *(clusters(n) for n in (10, 30, 100)),
    clusters(100, heeded=False),
    *(
        trained(n_seeds, *shares, what)
        for n_seeds in (3, 5, 10)
        for *shares, what in (
            (0.0, 1.0, 0.0, "variance all the examples'"),
            (0.0, 0.5, 0.5, "half the examples', half seed × example"),
            (0.5, 0.5, 0.0, "half the examples', half the seeds'"),
            (0.9, 0.1, 0.0, "a tenth the examples', the rest the seeds'"),
        )
    ),
]


def main() -> None:
    """Run all simulations and print their tables."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--repetitions", type=int, default=5000)
    parser.add_argument("--resamples", type=int, default=999)
    given = parser.parse_args()
    sizes = (given.repetitions, given.resamples)
    print(
        f"{given.repetitions:,} repetitions, {given.resamples:,} resamples; ± is the Monte-Carlo "
        "error.\n\n| paired difference of | two-sided 95% | lower bound 95% | upper bound 95% |\n"
        "|---|--:|--:|--:|"
    )
    for world in COVERED:
        one = coverage(world, *sizes)
        print(f"| {world.name} | {one.both} | {one.lower} | {one.upper} |", flush=True)
    print("\n| at least one wrong | | by theory | found |\n|---|---|--:|--:|")
    for n in (30, 100):
        for paired, how in ((False, "independent"), (True, "correlated by ½")):
            on_margin = candidates(8, n, change=-MARGIN, paired=paired)
            for name, rate in let_through(on_margin, *sizes).items():
                nominal = "≤ 5%" if name == "Holm" else f"{100 * EXPECTED[8, paired][name]:.1f}%"
                what = f"8 candidates on the margin, {n} examples, {how}"
                print(f"| {what} | {name} | {nominal} | {rate} |", flush=True)
    for k, n in ((7, 30), (7, 100), (7, 500), (20, 100)):
        for name, rate in found_better(candidates(k, n), *sizes).items():
            nominal = "5%" if name == "max-T" else f"{100 * EXPECTED[k, True][name]:.1f}%"
            what = f"{k} candidates as good as the reference, {n} examples"
            print(f"| {what} | {name} | {nominal} | {rate} |", flush=True)
    print("\n| the best of 8 is among the equals | by theory | found | how many are |")
    print("|---|--:|--:|--:|")
    for n in (30, 100):
        for ahead in (0.0, 0.25, 0.5):
            kept, size = best_kept(candidates(8, n, change=5.0, ahead=ahead), *sizes)
            what = f"{n} examples, ahead by {ahead:g} standard deviations"
            print(f"| {what} | ≥ 95% | {kept} | {size:.1f} |", flush=True)
    print("\n| the best of k equally good ones looks better by | truly | told (optimism) |")
    print("|---|--:|--:|")
    for k in (1, 2, 8):
        true, told = flattery(candidates(k, 100, paired=False), *sizes)
        what = f"k = {k}, 100 examples, in standard errors"
        print(f"| {what} | {10 * true:.2f} | {10 * told:.2f} |", flush=True)


if __name__ == "__main__":
    main()
