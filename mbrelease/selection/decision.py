"""A decision on disk: what was chosen, among what, by which policy, and how sure that is."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from mbrelease.errors import UserError
from mbrelease.files import read_json, write_json
from mbrelease.registry.schema import Policy
from mbrelease.registry.tasks import AnyTask

Interval = tuple[float, float]


class _Frozen(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Measurement(_Frozen):
    """One metric of one candidate, and the evidence record it was read from."""

    metric: str
    """``task/metric``, as the policy spells it."""
    value: float
    ci95: Interval | None
    """Percentile bootstrap, of this value alone; ``None`` of a reported point."""
    n_examples: int | None
    evidence: str
    """The evidence file, relative to the registry."""
    key: str | None
    """The key of the record in that file; ``None`` of a reported point."""
    per_example_sha256: str | None = None
    """Of the file with the score of each example."""


class Comparison(_Frozen):
    """A candidate against the reference on one metric, example by example.

    ``change`` and everything drawn from it is positive where the candidate is better.
    """

    metric: str
    change: float
    ci95: Interval | None
    """Two-sided, of the paired difference; not corrected for having looked at several."""
    standard_error: float | None
    wins: int | None
    """Examples on which the candidate is better; ``None`` where examples have no score of their
    own."""
    ties: int | None
    losses: int | None
    minimal_detectable_effect: float | None
    """The smallest true change that a test of this size finds with probability 0.8."""


class GuardrailResult(Comparison):
    """A non-inferiority test against the reference."""

    margin: float
    value: float
    reference: float
    lower: float | None
    """One-sided bound at 1 - alpha."""
    upper: float | None
    p: float | None
    """Of a change of -margin or worse."""
    state: Literal["pass", "fail", "inconclusive"]
    examples_to_settle: int | None = None
    """Of an inconclusive one: how many examples would probably settle it."""


class Candidate(_Frozen):
    """A checkpoint, an average, or the reference, with what was measured on it."""

    name: str
    kind: Literal["checkpoint", "average", "reference"]
    path: str
    """Relative to the registry where it lies below it; empty of a reported point."""
    weights_sha256: str
    step: int | None = None
    recipe: str | None = None
    """Of an average, such as ``best:3+last``."""
    members: dict[str, float] = {}
    """Of an average: the weight of each checkpoint, by name."""
    measurements: list[Measurement] = []
    primary: Comparison | None = None
    """Against the reference on the primary metric; ``None`` of the reference."""
    guardrails: list[GuardrailResult] = []
    p_guardrails: float | None = None
    """The greatest p of the guardrails, Holm-adjusted over the candidates."""
    eligible: bool = True
    """Whether every guardrail passes, also after the correction for several candidates."""
    superiority: float | None = None
    """The simultaneous lower bound (max-T over all candidates) of the primary metric's change."""
    p_superiority: float | None = None
    """Max-T adjusted p of no improvement over the reference."""
    superior: bool = False
    """Whether it is better than the reference, corrected for the number of candidates."""
    tied: bool = False
    """Among those that may be chosen, whether it is the best or cannot be told from it."""
    p_selected: float | None = None
    """How often the whole rule chooses it when the examples are resampled."""
    on_front: bool = False
    """No other candidate is as good on every metric of the policy and better on one."""

    @property
    def state(self) -> Literal["passes", "stopped", "unsettled"]:
        """What the guardrails say of it, all told."""
        if self.eligible:
            return "passes"
        failed = any(result.state == "fail" for result in self.guardrails)
        return "stopped" if failed else "unsettled"

    def measurement(self, metric: str) -> Measurement:
        """The measurement of ``task/metric``."""
        return next(m for m in self.measurements if m.metric == metric)

    def value(self, metric: str) -> float:
        """The measured value of ``task/metric``."""
        return self.measurement(metric).value


class Sample(_Frozen):
    """The examples that a metric's inference rests on."""

    metric: str
    n_examples: int
    n_clusters: int | None
    """Where examples belong together, how many groups; those are resampled."""
    n_seeds: int
    """Of trained heads, shared by all candidates; 1 where nothing is trained."""


class Finding(_Frozen):
    """Something that the curves show, in plain words, with its numbers."""

    kind: Literal[
        "turned", "last-not-best", "average-beats", "average-ties", "average-loses", "flat", "decay"
    ]
    sentence: str
    metrics: list[str]
    candidates: list[str]
    numbers: dict[str, float]


class Decision(_Frozen):
    """Which candidate was chosen; ``None`` where none passed, or none was better."""

    version: Literal[2] = 2
    variant: str
    split: str
    basis: Literal["examples", "points"]
    """Whether there were scores of single examples, or only values that somebody reported."""
    policy_name: str
    policy: Policy
    policy_sha256: str
    """Of everything that is frozen: the policy, the candidates' recipes, the tasks' settings."""
    tasks: list[AnyTask] = []
    """Those that the policy's metrics are of, as they were measured."""
    samples: list[Sample] = []
    """One for each metric of the policy; empty of reported points."""
    reference: Candidate
    candidates: list[Candidate]
    chosen: str | None
    p_keep_reference: float | None = None
    """How often the rule chooses nothing when the examples are resampled."""
    optimism: float | None = None
    """How much better the winner's primary metric looks for having been picked on these examples:
    the mean of its value in the resample less its value on the examples left out."""
    decay_start: int | None = None
    """The last step before the learning rate falls for good, as the trainer logged it."""
    findings: list[Finding] = []
    warnings: list[str] = []
    reasons: list[str]
    """Plain sentences, the deciding one first."""
    reasons_for_second_looks: list[str] = []
    """Why the policy was changed, or test was looked at, again: in the maintainer's words."""

    @property
    def chosen_candidate(self) -> Candidate | None:
        """The chosen candidate itself."""
        return next((c for c in self.candidates if c.name == self.chosen), None)

    @property
    def metrics(self) -> list[str]:
        """The metrics of the policy, the primary one first."""
        guardrails = [guardrail.metric for guardrail in self.policy.guardrails]
        return list(dict.fromkeys([self.policy.primary, *guardrails]))


def write_decision(path: Path, decision: Decision) -> None:
    """Write ``decision``, whole or not at all."""
    write_json(path, decision.model_dump(mode="json"))


def read_decision(path: Path) -> Decision:
    """Read a decision.

    Raises:
        UserError: there is none, it is malformed, or an older mbrelease wrote it.
    """
    if not path.exists():
        raise UserError(f"no decision at {path}", mend=f"mbrelease select {path.stem}")
    try:
        content = read_json(path)
        if isinstance(content, dict) and "version" not in content:
            raise UserError(
                f"{path}: written by an older mbrelease, from point values alone",
                mend=f"mbrelease select {path.stem}",
            )
        return Decision.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise UserError(
            f"{path}: malformed decision: {where}: {first['msg']}",
            mend=f"mbrelease select {path.stem}",
        ) from error
