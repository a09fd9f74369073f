"""What is decided before anything is measured, in one hash: the frozen policy."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from mbrelease.evaluation.task_settings import task_sha256
from mbrelease.files import sha256_json
from mbrelease.registry.project import Project
from mbrelease.registry.schema import Candidates, Policy
from mbrelease.selection.entrants import policy_tasks

# Raised by hand whenever the same policy would choose by another rule, or a default changes.
RULE_VERSION = 1


class FrozenCandidates(BaseModel):
    """What may be chosen, as the registry says it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    checkpoints: Literal["all"] | list[int]
    averages: list[str]


class Frozen(BaseModel):
    """A policy with all that belongs to it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    rule: int
    """``RULE_VERSION`` when it was frozen."""
    policy: dict[str, Any]
    """The entry of the registry without what is at its default."""
    candidates: FrozenCandidates
    tasks: dict[str, str]
    """The sha256 of the settings of each task that the policy names."""

    @property
    def sha256(self) -> str:
        """Hex sha256 of all of it."""
        return sha256_json(self.model_dump(mode="json"))

    def differences(self, earlier: Frozen) -> list[str]:
        """What is not as in ``earlier``, in words such as ``guardrails`` or ``task mlm``."""
        old, new = earlier._parts(), self._parts()
        return [name for name in {**old, **new} if old.get(name) != new.get(name)]

    def _parts(self) -> dict[str, Any]:
        tasks = {f"task {name}": digest for name, digest in self.tasks.items()}
        return {**self.policy, **dict(self.candidates), **tasks, "the rule itself": self.rule}


def frozen_policy(project: Project, variant: str) -> Frozen:
    """The policy of ``variant`` with its candidates and the settings of the tasks that it names.

    Settings at their default are left out, so that a new one does not change the hash of what was
    frozen before there was one. The order of guardrails and checkpoints does not count,
    nor does the policy's own name.

    Raises:
        UserError: no such variant, or it names no policy or no suite.
    """
    policy = project.policy(variant)
    tasks = policy_tasks(project, variant, policy)
    return Frozen(
        rule=RULE_VERSION,
        policy=_plain(policy),
        candidates=_plain_candidates(project.variant(variant).candidates),
        tasks={task.name: task_sha256(task) for task in tasks},
    )


def _plain(policy: Policy) -> dict[str, Any]:
    plain = policy.model_dump(mode="json", exclude_defaults=True)
    guardrails = sorted((guardrail.metric, guardrail.margin) for guardrail in policy.guardrails)
    listed = [{"metric": metric, "margin": margin} for metric, margin in guardrails]
    return {**plain, "guardrails": listed}


def _plain_candidates(candidates: Candidates) -> FrozenCandidates:
    steps = candidates.checkpoints
    return FrozenCandidates(
        checkpoints=steps if steps == "all" else sorted(set(steps)),
        averages=list(candidates.averages),  # their order may decide a tie
    )
