"""The greedy soup: checkpoint by checkpoint, what does not make the measured average worse stays.

Source: model soups, Wortsman et al. 2022 (https://arxiv.org/abs/2203.05482), recipe 1; the
algorithm stands in ``recipes.greedy``.

A trial is the mean of the k checkpoints that were kept and one more. With their sum on disk in
float64, where sums of float32, float16 and bfloat16 are exact (``engine`` says how far), it is

    trial = (Σ + x) / (k + 1)

which reads Σ and one checkpoint, whatever k is. It has the very bytes, header included, of the
average of those k + 1 checkpoints: what was measured on it holds for that average.
"""

from __future__ import annotations

import functools
import math
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from mbrelease.averaging.average import ANY_FORMAT, Plan, average_metadata
from mbrelease.averaging.compatibility import Merge, check_compatible
from mbrelease.averaging.engine import Member, Work, write_tensors
from mbrelease.averaging.fingerprint import by_content
from mbrelease.averaging.tiles import plan_files
from mbrelease.averaging.write_model import stored_as, write_model
from mbrelease.checkpoints.checkpoint import Checkpoint, open_checkpoint
from mbrelease.checkpoints.source import HashStream, Source
from mbrelease.errors import CheckFailed
from mbrelease.files import atomic_folder
from mbrelease.progress import SILENT, Progress


@dataclass(frozen=True)
class Scored:
    """A candidate. A higher ``score`` is better."""

    source: Source
    score: float


@dataclass(frozen=True)
class Trial:
    """The mean of what was kept so far and ``candidate``, as it was measured."""

    candidate: Source
    weights_sha256: str
    score: float
    kept: bool


@dataclass(frozen=True)
class Search:
    """What was tried, in that order, and what it led to."""

    trials: tuple[Trial, ...]
    members: tuple[tuple[Source, Fraction], ...]
    """Every candidate in training order: of k that were kept each has the weight 1/k, others 0."""


def greedy_search(
    candidates: Sequence[Scored],
    evaluate: Callable[[Checkpoint], float],
    workspace: Path,
    *,
    recipe: str = "greedy",
    on_trial: Callable[[Trial], None] = lambda trial: None,
    progress: Progress = SILENT,
) -> Search:
    """Find the checkpoints whose mean scores best, adding one at a time, the best one first.

    Of equal scores the earlier checkpoint comes first. One is kept if the score of the mean does
    not fall by it.

    Args:
        candidates: In training order.
        evaluate: The score of a trial; the folder is gone afterwards.
        workspace: An empty folder with room for one checkpoint and two sums of twice its size.
        recipe: What the average will be called, as its header says.
        on_trial: Told of each trial when it is measured.
        progress: Told the bytes that were read.

    Raises:
        CheckFailed: the candidates differ in more than their weights, or a value or score is NaN
            or infinite.
        UserError: an input cannot be read, or ``workspace`` cannot be written.
    """
    sources = [candidate.source for candidate in candidates]
    soup = _Soup(sources, check_compatible(sources), workspace, recipe, progress)
    scores = [_finite(candidate.score, candidate.source) for candidate in candidates]
    ranked = sorted(range(len(sources)), key=lambda position: (-scores[position], position))
    soup.keep(ranked[0])
    best, trials = scores[ranked[0]], []
    for position in ranked[1:]:
        folder = soup.write_trial(position)
        score = _finite(evaluate(folder), sources[position])
        trial = Trial(sources[position], folder.weights_sha256, score, kept=score >= best)
        shutil.rmtree(folder.path)
        trials.append(trial)
        on_trial(trial)
        if trial.kept:
            best = score
            soup.keep(position)
    return Search(tuple(trials), soup.members())


def _finite(score: float, source: Source) -> float:
    if math.isfinite(score):
        return score
    raise CheckFailed(
        f"the score with {source.path} is {score}", mend="leave it out of the candidates"
    )


class _Soup:
    """The candidates that were kept, by position, and their sum on disk."""

    def __init__(
        self,
        sources: Sequence[Source],
        merge: Merge,
        workspace: Path,
        recipe: str,
        progress: Progress,
    ) -> None:
        self._sources = sources
        self._merge = merge
        self._workspace = workspace
        self._recipe = recipe
        self._progress = progress
        self._kept: list[int] = []
        self._in_sum = 0
        self._sum = sources[0]
        self._sums_are_exact = all(spec.dtype != "F64" for spec in merge.averaged.values())

    def keep(self, position: int) -> None:
        """The candidate at ``position`` stays; it joins the sum when that is needed."""
        self._kept.append(position)

    def members(self) -> tuple[tuple[Source, Fraction], ...]:
        """Every candidate with its weight."""
        share = Fraction(1, len(self._kept))
        return tuple(
            (source, share if position in self._kept else Fraction(0))
            for position, source in enumerate(self._sources)
        )

    def write_trial(self, position: int) -> Checkpoint:
        """The mean of what was kept and the candidate at ``position``, as a folder."""
        share = Fraction(1, len(self._kept) + 1)
        together = sorted([*self._kept, position])
        plan = Plan(
            members=tuple(Member(self._sources[position], share) for position in together),
            output=self._workspace / f"with-{self._sources[position].name}",
            recipe=self._recipe,
            storage=ANY_FORMAT,
            allow=frozenset(),
        )
        metadata = average_metadata(
            plan, {member.source: member.source.weights_sha256 for member in plan.members}
        )
        write_model(
            self._parts(plan, self._sources[position]),
            self._merge,
            plan.last,
            plan.output,
            storage=plan.storage,
            draft_metadata=metadata,
            metadata=lambda: metadata,
            progress=self._progress,
        )
        return open_checkpoint(plan.output)

    def _parts(self, plan: Plan, source: Source) -> tuple[Member, ...]:
        """What is read for the mean of the kept and ``source``."""
        if not self._sums_are_exact:
            return by_content(plan.members)
        share = plan.members[0].weight
        return (Member(self._up_to_date_sum(), share), Member(source, share))

    def _up_to_date_sum(self) -> Source:
        """The sum of all that was kept; of one it is that one."""
        for position in self._kept[self._in_sum :]:
            source = self._sources[position]
            self._sum = self._added(source) if self._in_sum else source
            self._in_sum += 1
        return self._sum

    def _added(self, source: Source) -> _Sum:
        specs = {name: stored_as(spec, "F64") for name, spec in self._merge.averaged.items()}
        [file] = plan_files(specs, {}, None)
        one = Fraction(1)
        with atomic_folder(self._workspace / "sum") as folder:
            work = Work((Member(self._sum, one), Member(source, one)), (file,), folder)
            write_tensors(work, hashing=False, progress=self._progress)
            with (folder / file.name).open("r+b") as opened:
                opened.write(file.layout.header)
        path = self._workspace / "sum"
        return _Sum(path, None, (path / file.name,))


class _Sum(Checkpoint):
    """Scratch that is read often and known to nobody: no hash is taken of it."""

    @functools.cached_property
    def hash_streams(self) -> tuple[HashStream, ...]:
        """None."""
        return ()
