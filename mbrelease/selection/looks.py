"""The test split is looked at once: by the winner of a policy that was frozen before.

A policy that changes after a look, or another winner, could have been chosen because of what was
seen. It needs a reason, which the ledger keeps and the card prints.
"""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

from mbrelease.checkpoints.checkpoint import Checkpoint, open_checkpoint
from mbrelease.checkpoints.discover import step_folders
from mbrelease.errors import UserError
from mbrelease.evaluation.candidates import NoWeights, released_checkpoint
from mbrelease.evaluation.evidence import read_records
from mbrelease.registry.project import Project
from mbrelease.selection.decision import Decision
from mbrelease.selection.frozen import Frozen, frozen_policy
from mbrelease.selection.ledger import (
    Freeze,
    Ledger,
    Look,
    append,
    appending,
    ledger_path,
    read_ledger,
)
from mbrelease.selection.measurements import relative_to_project

REPORT_SPLIT = "test"


def freeze(project: Project, variant: str, *, reason: str | None = None) -> Frozen:
    """Write the policy of ``variant`` into its ledger, unless it stands there last.

    Args:
        project: Whose ledger and evidence are read.
        variant: A variant's name or alias.
        reason: Why the policy is changed after a look at the test split; not kept where there was
            none.

    Raises:
        UserError: the policy is another than before the test split was looked at, and there is no
            reason; or the ledger was changed by another hand or cannot be written.
    """
    variant = project.resolve_name(variant)
    frozen, path = frozen_policy(project, variant), ledger_path(project, variant)
    reason = _checked(reason)
    if _is_frozen(read_ledger(path), frozen.sha256):
        return frozen
    with appending(path) as ledger:
        if not _is_frozen(ledger, frozen.sha256):
            looked = _look_before(project, variant, frozen, ledger)
            if looked and reason is None:
                raise UserError(looked, mend='say why, and the card prints it: --reason "…"')
            because = reason if looked else None
            append(path, ledger, Freeze(policy_sha256=frozen.sha256, policy=frozen, reason=because))
    return frozen


def require_reason_to_add(project: Project, variant: str, reason: str | None) -> None:
    """Stop before candidates are added after a look at the test split, unless it is said why.

    Raises:
        UserError: there was a look, and there is no reason.
    """
    looks = read_ledger(ledger_path(project, project.resolve_name(variant))).looks
    if looks and reason is None:
        time, look = looks[-1]
        raise UserError(
            f"the test split of '{variant}' was looked at ({look.chosen}, {time}): candidates that "
            "are added now change the policy",
            mend='say why, and the card prints it: --reason "…"',
        )


def record_look(
    project: Project,
    decision: Decision,
    reference: Checkpoint,
    tasks: Collection[str],
    *,
    reason: str | None = None,
) -> bool:
    """Write down that the chosen candidate and the reference will be measured on test.

    Nothing is written where the last look was at the same two under the same policy.

    Args:
        project: Whose ledger is read.
        decision: Has a chosen candidate.
        reference: The policy's.
        tasks: What is measured, by name.
        reason: Why test is looked at again; not kept where the policy's change has one already.

    Returns:
        Whether it is a new look.

    Raises:
        UserError: there was another look and there is no reason; the policy is no longer the
            frozen one; or the ledger was changed by another hand or cannot be written.
    """
    chosen = decision.chosen_candidate
    assert chosen is not None
    look = Look(
        policy_sha256=decision.policy_sha256,
        chosen=chosen.name,
        weights_sha256=chosen.weights_sha256,
        reference=decision.reference.name,
        reference_weights_sha256=reference.weights_sha256,
        tasks=sorted(tasks),
    )
    path = ledger_path(project, decision.variant)
    reason = _checked(reason)
    if _is_known(read_ledger(path), look):
        return False
    with appending(path) as ledger:
        if _is_known(ledger, look):
            return False
        if not _is_frozen(ledger, look.policy_sha256):
            raise UserError(
                f"the policy of '{decision.variant}' is not the one that {path} has as frozen",
                mend=f"decide anew: mbrelease select {decision.variant}",
            )
        again = bool(ledger.looks) and ledger.reason_since_last_look is None
        if again and reason is None:
            raise _second_look(decision.variant, ledger, look)
        append(path, ledger, look.model_copy(update={"reason": reason if again else None}))
    return True


def _is_frozen(ledger: Ledger, policy_sha256: str) -> bool:
    return ledger.policy is not None and ledger.policy.policy_sha256 == policy_sha256


def _is_known(ledger: Ledger, look: Look) -> bool:
    # The last one alone: who goes back to what was looked at before that chooses by test as well.
    return bool(ledger.looks) and look.is_again(ledger.looks[-1][1])


def _checked(reason: str | None) -> str | None:
    if reason is None:
        return None
    if not reason.strip():
        raise UserError("the reason is empty", mend='say why: --reason "…"')
    try:
        reason.encode()
    except UnicodeEncodeError as error:
        raise UserError("the reason is not UTF-8 text") from error
    return reason.strip()


def _look_before(project: Project, variant: str, frozen: Frozen, ledger: Ledger) -> str | None:
    """What was seen of the test split before this policy, in a sentence; ``None`` if nothing."""
    earlier = ledger.policy
    changed = ", ".join(frozen.differences(earlier.policy)) if earlier else ""
    policy = f"the policy of '{variant}'" + (f" ({changed})" if changed else "")
    if ledger.looks:
        time, look = ledger.looks[-1]
        return f"{policy} changed after the test split was looked at: {look.chosen}, {time}"
    tasks = {task.name for task in project.suite(variant)}
    tasks |= set(earlier.policy.tasks) if earlier else set()
    for name, file in _tested_candidates(project, variant, sorted(tasks)):
        place = relative_to_project(project, file)
        return f"{policy} is younger than test evidence: {place} has {name} on {REPORT_SPLIT}"
    return None


def _tested_candidates(
    project: Project, variant: str, tasks: Sequence[str]
) -> Iterator[tuple[str, Path]]:
    """Candidates with test evidence, each with the file.

    Under whatever settings and data: who changes those has seen the numbers all the same.
    """
    reference = None
    with contextlib.suppress(NoWeights):  # of which only reported values are known
        reference = released_checkpoint(project, project.policy(variant).reference).weights_sha256
    for name, weights in _possible_candidates(project, variant):
        if weights == reference:  # measured for every variant that is held against it
            continue
        for task in tasks:
            for record in read_records(project.evidence, weights, task):
                if record.split == REPORT_SPLIT and record.file is not None:
                    yield name, record.file


def _possible_candidates(project: Project, variant: str) -> Iterator[tuple[str, str]]:
    """Name and weights of what may be, or may have been, a candidate and is still there.

    Every checkpoint of the run, admitted or not, every average, and what was released.
    """
    run = project.variant(variant).run
    steps = [folder for _, folder in step_folders(project.path(run))] if run else []
    alone = [project.path(run)] if run and not steps else []
    averages = sorted((project.averages / variant).glob("[!.]*"))
    for folder in [*steps, *alone, *averages, project.release(variant)]:
        # A checkpoint that is being written, and what is none, was never measured.
        with contextlib.suppress(UserError):
            checkpoint = open_checkpoint(folder)
            yield checkpoint.name, checkpoint.weights_sha256


def _second_look(variant: str, ledger: Ledger, look: Look) -> UserError:
    time, last = ledger.looks[-1]
    before, now = (
        f"{last.chosen} against {last.reference}",
        f"{look.chosen} against {look.reference}",
    )
    if before == now:
        now += " with other weights"
    return UserError(
        f"the test split of '{variant}' was looked at for {before}, {time}, and now for {now}",
        mend=f'say why, and the card prints it: mbrelease release {variant} --reason "…"',
    )
