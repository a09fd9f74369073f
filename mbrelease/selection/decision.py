"""A decision on disk: what was chosen, among what, by which policy, and why."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from mbrelease.errors import UserError
from mbrelease.files import read_json, write_json
from mbrelease.registry.schema import Policy


class _Frozen(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Measurement(_Frozen):
    """One metric of one candidate, and the evidence record it was read from."""

    metric: str
    """``task/metric``, as the policy spells it."""
    value: float
    ci95: tuple[float, float] | None
    n_examples: int
    evidence: str
    """The evidence file, relative to the registry."""
    key: str
    """The key of the record in that file."""


class GuardrailResult(_Frozen):
    """A metric held against the reference. ``change`` is positive where the candidate is better."""

    metric: str
    margin: float
    value: float
    reference: float
    change: float
    passed: bool


class Candidate(_Frozen):
    """A checkpoint, an average, or the reference, with what was measured on it."""

    name: str
    kind: Literal["checkpoint", "average", "reference"]
    path: str
    """Relative to the registry where it lies below it."""
    weights_sha256: str
    step: int | None = None
    recipe: str | None = None
    """Of an average, such as ``best:3+last``."""
    members: dict[str, float] = {}
    """Of an average: the weight of each checkpoint, by name."""
    measurements: list[Measurement] = []
    guardrails: list[GuardrailResult] = []
    eligible: bool = True
    """Whether every guardrail passed."""

    def value(self, metric: str) -> float:
        """The measured value of ``task/metric``."""
        return next(m.value for m in self.measurements if m.metric == metric)


class Decision(_Frozen):
    """Which candidate was chosen; ``None`` where none passed, or none was better."""

    variant: str
    split: str
    policy_name: str
    policy: Policy
    policy_sha256: str
    reference: Candidate
    candidates: list[Candidate]
    chosen: str | None
    reasons: list[str]
    """Plain sentences, the deciding one first."""

    @property
    def chosen_candidate(self) -> Candidate | None:
        """The chosen candidate itself."""
        return next((c for c in self.candidates if c.name == self.chosen), None)


def write_decision(path: Path, decision: Decision) -> None:
    """Write ``decision``, whole or not at all."""
    write_json(path, decision.model_dump(mode="json"))


def read_decision(path: Path) -> Decision:
    """Read a decision.

    Raises:
        UserError: there is none or it is malformed.
    """
    if not path.exists():
        raise UserError(f"no decision at {path}", mend=f"mbrelease select {path.stem}")
    try:
        return Decision.model_validate(read_json(path))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise UserError(
            f"{path}: malformed decision: {where}: {first['msg']}",
            mend=f"mbrelease select {path.stem}",
        ) from error
