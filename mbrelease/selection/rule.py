"""The rule by which one candidate is chosen, as a function of changes against the reference.

It is fixed once from all examples (margins, spreads, critical values) and then applied: to what was
measured, which is the decision, and to every resample, which tells how often it would have
decided otherwise.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mbrelease.selection.statistics import (
    Floats,
    allowances,
    holm,
    p_not_above,
    simultaneous_margins,
)

NOTHING = -1


@dataclass(frozen=True)
class Changes:
    """How much better each candidate is than the reference, on all examples and in resamples."""

    point: Floats
    """Shape (candidates, metrics); the primary metric first, then the guardrails."""
    values: Floats
    """Shape (resamples, candidates, metrics); no resamples where only points are known."""


@dataclass(frozen=True)
class Verdict:
    """What the rule says of each row of changes."""

    p_guardrails: Floats
    """Shape (rows, candidates): Holm-adjusted; 0 where there are no guardrails."""
    eligible: NDArray[np.bool_]
    superior: NDArray[np.bool_]
    tied: NDArray[np.bool_]
    """Eligible and superior, and not told from the best of those."""
    winner: NDArray[np.int64]
    """Shape (rows,): the candidate's position, or ``NOTHING``."""


@dataclass(frozen=True)
class Rule:
    """Guardrails by Holm, superiority by max-T, the best and its equals, then the tie-break."""

    changes: Changes
    margins: tuple[float, ...]
    alpha: float
    preference: tuple[int, ...] | None
    """Of equals the candidate with the smallest number; ``None``: with the greatest value."""
    superior_above: Floats
    """Shape (candidates,): what the primary metric's change must exceed."""
    lead: Floats
    """Shape (candidates, candidates): by how much b may lead t, in row t."""

    @staticmethod
    def fixed_by(
        changes: Changes,
        margins: Sequence[float],
        alpha: float,
        preference: Sequence[int] | None,
    ) -> Rule:
        """The rule whose spreads and critical values are those of ``changes``."""
        n_candidates = len(changes.point)
        primary, point = changes.values[:, :, 0], changes.point[:, 0]
        if len(primary):
            above = simultaneous_margins(primary, point, alpha)
            lead = allowances(primary, point, alpha)
        else:
            above, lead = np.zeros(n_candidates), np.zeros((n_candidates, n_candidates))
        order = None if preference is None else tuple(preference)
        return Rule(changes, tuple(margins), alpha, order, above, lead)

    def apply(self, changes: Floats) -> Verdict:
        """The verdict on each row of ``changes``, (rows, candidates, metrics)."""
        p = self._p_guardrails(changes)
        eligible = p <= self.alpha
        primary = changes[:, :, 0]
        superior = primary > self.superior_above
        admitted = eligible & superior
        tied = admitted & ~self._outdone(primary, admitted)
        return Verdict(p, eligible, superior, tied, self._winner(primary, tied))

    def _p_guardrails(self, changes: Floats) -> Floats:
        """All guardrails must hold, so the greatest p counts; several candidates cost Holm."""
        rows, n_candidates, _ = changes.shape
        greatest = np.zeros((rows, n_candidates))
        if not self.margins:
            return greatest
        for candidate in range(n_candidates):
            for column, margin in enumerate(self.margins, start=1):
                p = self.p_guardrail(candidate, column, margin, changes[:, candidate, column])
                greatest[:, candidate] = np.maximum(greatest[:, candidate], p)
        return holm(greatest)

    def p_guardrail(
        self, candidate: int, column: int, margin: float, at: Floats | float | None = None
    ) -> Floats:
        """p of one candidate being worse by ``margin`` or more on one metric."""
        point = float(self.changes.point[candidate, column])
        values = self.changes.values[:, candidate, column]
        if not len(values):  # points alone: held to be exact
            here = np.asarray(point if at is None else at, dtype=np.float64)
            return np.where((here > -margin) | np.isclose(here, -margin), 0.0, 1.0)
        return p_not_above(values, point, -margin, at)

    def _outdone(self, primary: Floats, admitted: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Whether some admitted candidate leads each one by more than may be chance."""
        outdone = np.zeros_like(admitted)
        for b in range(primary.shape[1]):
            leads = primary[:, b : b + 1] - primary > self.lead[:, b]
            outdone |= leads & admitted[:, b : b + 1]
        return outdone

    def _winner(self, primary: Floats, tied: NDArray[np.bool_]) -> NDArray[np.int64]:
        if self.preference is None:
            order = np.where(tied, -primary, np.inf)
        else:
            order = np.where(tied, np.asarray(self.preference, dtype=np.float64), np.inf)
        winner = order.argmin(axis=1)
        return np.where(tied.any(axis=1), winner, NOTHING)
