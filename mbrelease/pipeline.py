"""``release``: the steps in order, each skipped when its inputs have not changed.

No step keeps a state of its own: evidence, averages, decision, release folder, card and receipt
are known by their content, so a killed release is run again and goes on where it stood.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mbrelease.averaging.recipes import RecipeInput, parse_recipe
from mbrelease.cards.write import write_variant_card
from mbrelease.checkpoints.checkpoint import Checkpoint, open_checkpoint
from mbrelease.checkpoints.normalize import release_files, write_release
from mbrelease.errors import CheckFailed, UserError
from mbrelease.evaluation.backend import Backend, Device, choose_backend
from mbrelease.evaluation.candidates import released_checkpoint, run_checkpoints
from mbrelease.evaluation.dataset import read_dataset
from mbrelease.evaluation.jobs import Job, plan_jobs, stored
from mbrelease.evaluation.measure import run_jobs
from mbrelease.evaluation.task_settings import split_files
from mbrelease.files import (
    atomic_folder,
    locked,
    read_json,
    sha256_file,
)
from mbrelease.progress import SILENT, Progress
from mbrelease.registry.project import Project
from mbrelease.registry.schema import Policy
from mbrelease.release_checks.checks import Subject, release_checks
from mbrelease.release_checks.verified import STATE, verify_release
from mbrelease.selection.averages import make_averages
from mbrelease.selection.decision import Decision, write_decision
from mbrelease.selection.ledger import reasons
from mbrelease.selection.looks import REPORT_SPLIT, freeze, record_look
from mbrelease.selection.policy import decide

if TYPE_CHECKING:
    from huggingface_hub import HfApi

    from mbrelease.hub.receipt import Receipt
    from mbrelease.hub.signing_keys import Signer

CARD = "README.md"
STEPS = ("evaluate", "average", "select", "report", "assemble", "verify", "card", "push")


@dataclass(frozen=True)
class Step:
    """What one step did."""

    name: str
    changed: bool
    """``False`` where nothing had to be done."""
    summary: str


@dataclass(frozen=True)
class Release:
    """What a release run made."""

    variant: str
    steps: tuple[Step, ...]
    folder: Path
    decision: Decision | None
    """``None`` for a variant without a policy: its one checkpoint is the release."""
    receipt: Receipt | None
    """``None`` where nothing was pushed."""


@dataclass(frozen=True)
class Destination:
    """Where a release is pushed."""

    api: HfApi
    repo_id: str
    tag: str | None = None
    signer: Signer | None = None
    """Signs the release and its receipt."""


def release_variant(
    project: Project,
    variant: str,
    *,
    destination: Destination | None = None,
    reason: str | None = None,
    device: Device = "auto",
    progress: Progress = SILENT,
    on_step: Callable[[Step], None] = lambda step: None,
) -> Release:
    """Take ``variant`` from its run to a verified release folder with a card, and push it.

    Args:
        project: The registry and the folders beside it.
        variant: A variant's name or alias.
        destination: Where to push; ``None`` stops before.
        reason: Why the policy is changed after a look at test, or test is looked at again.
        device: Where checkpoints are measured.
        progress: Told how far long work is.
        on_step: Told of each step when it ends.

    Raises:
        CheckFailed: no candidate passes, a check of the release fails, or the push is refused.
        UserError: an input is missing or wrong, or a reason.
    """
    variant = project.resolve_name(variant)
    waiting = f"waiting for another release of {variant} to end"
    with locked(project.root / STATE / f"{variant}.lock", lambda: progress.note(waiting)):
        run = _Run(project, variant, choose_backend(device), reason, progress)
        return _release(run, destination, on_step)


def _release(
    run: _Run, destination: Destination | None, on_step: Callable[[Step], None]
) -> Release:
    project, variant = run.project, run.variant
    steps: list[Step] = []

    def done(step: Step) -> None:
        steps.append(step)
        on_step(step)

    decision = None
    if project.variant(variant).policy is not None:
        done(run.evaluate())
        done(run.average())
        step, decision = run.select()
        done(step)
        step, decision = run.report(decision)
        done(step)
    source = run.source(decision)
    done(run.assemble(source))
    done(run.verify())
    done(run.card())
    receipt = None
    if destination is not None:
        step, receipt = run.push(destination)
        done(step)
    return Release(variant, tuple(steps), project.release(variant), decision, receipt)


@dataclass(frozen=True)
class _Run:
    """One step a method; what they share."""

    project: Project
    variant: str
    backend: Backend
    reason: str | None
    progress: Progress

    def evaluate(self) -> Step:
        """See that every input is there, freeze the policy, and measure on dev.

        Reference and checkpoints; averages have a step of their own.
        """
        self._check_inputs()
        freeze(self.project, self.variant, reason=self.reason)
        checkpoints = [self._reference(), *run_checkpoints(self.project, self.variant)]
        return self._measured("evaluate", self._jobs(checkpoints, "dev"))

    def average(self) -> Step:
        """Build the averages that the registry names, and measure them on dev."""
        made = make_averages(
            self.project, self.variant, backend=self.backend, progress=self.progress
        )
        return Step("average", made.changed, made.summary)

    def select(self) -> tuple[Step, Decision]:
        """Decide by the policy; stop where nothing passes."""
        path = self.project.decision(self.variant)
        decision = decide(self.project, self.variant)
        # What an older mbrelease wrote is another decision too.
        changed = not path.exists() or read_json(path) != decision.model_dump(mode="json")
        if changed:
            write_decision(path, decision)
        if decision.chosen is None:
            raise CheckFailed(
                f"nothing to release for '{self.variant}': {decision.reasons[0]}",
                mend=f"the table: mbrelease select {self.variant}",
            )
        return Step("select", changed, f"chose {decision.chosen}"), decision

    def report(self, decision: Decision) -> tuple[Step, Decision]:
        """Measure the chosen candidate and the reference, and nothing else, on test.

        The look is in the ledger before; the decision then has the reason for it, if there is one.
        """
        reference = self._reference()
        jobs = self._jobs([reference, self.source(decision)], REPORT_SPLIT)
        if not jobs:
            return Step("report", False, f"no task has {REPORT_SPLIT} data"), decision
        tasks = {job.task.name for job in jobs}
        looked = record_look(self.project, decision, reference, tasks, reason=self.reason)
        if looked:
            # As the decision will say when it is derived again.
            given = reasons(self.project, self.variant)
            decision = decision.model_copy(update={"reasons_for_second_looks": given})
            write_decision(self.project.decision(self.variant), decision)
        measured = self._measured("report", jobs)
        return Step("report", looked or measured.changed, measured.summary), decision

    def source(self, decision: Decision | None) -> Checkpoint:
        """The checkpoint that is released."""
        chosen = decision.chosen_candidate if decision else None
        if chosen is not None:
            checkpoint = open_checkpoint(self.project.path(chosen.path))
            if checkpoint.weights_sha256 != chosen.weights_sha256:
                raise UserError(
                    f"{checkpoint.path} is not what was chosen: its weights have changed since",
                    mend=f"run it again: mbrelease release {self.variant}",
                )
            return checkpoint
        return released_checkpoint(self.project, self.variant)

    def assemble(self, source: Checkpoint) -> Step:
        """Write the folder that will be published, unless it has these very bytes already.

        What else lies in it (the card, a licence, figures) is the maintainer's and stays.
        """
        release = self.project.release(self.variant)
        if source.path.resolve() == release.resolve():
            raise UserError(
                f"variant '{self.variant}' has nothing to release but its own release folder",
                mend=f"name its checkpoint: mbrelease registry set {self.variant} weights FOLDER",
            )
        changed = not _holds(release, source)
        if changed:
            with atomic_folder(release) as folder:
                write_release(source, folder)
                _carry_over(release, folder)
        return Step("assemble", changed, f"{source.name} in {self._shown(release)}")

    def verify(self) -> Step:
        """Check the release, and its parent's where that is on disk; remember a pass."""
        report = verify_release(self.project, self.variant, progress=self.progress)
        if report is None:
            return Step("verify", False, "passed before")
        if not report.passed:
            first = report.failures[0]
            release = self.project.release(self.variant)
            raise CheckFailed(
                f"the release of '{self.variant}' fails {len(report.failures)} checks, first "
                f"{first.name}: expected {first.expected}, found {first.found}",
                mend=f"{first.mend}; all of them: mbrelease verify {release}",
            )
        counts = {status: len(report.with_status(status)) for status in ("pass", "warn", "skip")}
        return Step("verify", True, ", ".join(f"{n} {status}" for status, n in counts.items() if n))

    def card(self) -> Step:
        """Run the code of the card against the release, and write the card into it."""
        path = self.project.release(self.variant) / CARD
        written = write_variant_card(
            self.project, self.variant, path, run=True, progress=self.progress
        )
        for remark in written.remarks:
            self.progress.note(remark)
        return Step("card", written.changed, self._shown(path))

    def push(self, destination: Destination) -> tuple[Step, Receipt]:
        """Publish the release folder in one guarded commit."""
        from mbrelease.hub.plan import make_plan
        from mbrelease.hub.publish import Origin, publish
        from mbrelease.hub.receipt import receipt_path
        from mbrelease.hub.signed_plan import sign_plan
        from mbrelease.hub.signing import sign_file

        api, signer = destination.api, destination.signer
        release = self.project.release(self.variant)
        plan = make_plan(
            release,
            destination.repo_id,
            tag=destination.tag,
            checks=release_checks(Subject(release, self.project, self.variant)),
            sign=signer is not None,
            api=api,
        )
        decision = self.project.decision(self.variant)
        receipt = publish(
            plan,
            api=api,
            progress=self.progress,
            receipts=self.project.receipts,
            origin=Origin(self.variant, sha256_file(decision) if decision.exists() else None),
            sign=partial(sign_plan, signer=signer, api=api) if signer is not None else None,
        )
        if signer is not None:
            receipts = self.project.receipts
            sign_file(receipt_path(receipts, receipt.repo_id, receipt.commit), signer)
        return Step("push", receipt.commit != plan.head, receipt.url), receipt

    def _check_inputs(self) -> None:
        # Measuring can take hours: what would stop a later step is told before.
        checkpoints = run_checkpoints(self.project, self.variant)
        for checkpoint in [self._reference(), *checkpoints]:
            _ = checkpoint.headers  # a file that is cut short
        inputs = [RecipeInput(one.name, one.step, 0.0) for one in checkpoints]
        for text in self.project.variant(self.variant).candidates.averages:
            recipe = parse_recipe(text)
            if not recipe.searches:
                recipe.weights(inputs)
        for task in self.project.suite(self.variant):
            for split in ("dev", "test"):
                if task.measures(split):
                    for path in split_files(task, split, self.project.root).values():
                        read_dataset(path)

    def _policy(self) -> Policy:
        return self.project.policy(self.variant)

    def _reference(self) -> Checkpoint:
        return released_checkpoint(self.project, self._policy().reference)

    def _jobs(self, checkpoints: Sequence[Checkpoint], split: str) -> list[Job]:
        tasks = self.project.suite(self.variant)
        root = self.project.root
        return plan_jobs(checkpoints, tasks, split, backend=self.backend, data_root=root)

    def _measured(self, name: str, jobs: Sequence[Job]) -> Step:
        missing = sum(stored(job, self.project.evidence) is None for job in jobs)
        languages = self.project.registry.defaults.languages
        run_jobs(jobs, self.project.evidence, languages=languages, progress=self.progress)
        return Step(name, missing > 0, f"{missing} measured, {len(jobs) - missing} known")

    def _shown(self, path: Path) -> str:
        return str(path.relative_to(self.project.root))


def _holds(folder: Path, source: Checkpoint) -> bool:
    """Whether ``folder`` has the weights, config and tokenizer of ``source``, and no others."""
    if not (folder / "config.json").is_file():
        return False
    files = release_files(source)
    expected = {*files, *(file.name for file in source.weight_files)}
    found = {file.name for file in folder.iterdir() if file.name in expected or _is_weights(file)}
    return (
        found == expected
        and all((folder / name).read_bytes() == data for name, data in files.items())
        and open_checkpoint(folder).weights_sha256 == source.weights_sha256
    )


def _carry_over(old: Path, new: Path) -> None:
    """Copy what ``new`` lacks of ``old``, but for weights, which would be those of another."""
    if not old.is_dir():
        return
    for entry in old.iterdir():
        if _is_weights(entry) or (new / entry.name).exists():
            continue
        if entry.is_dir() and not entry.is_symlink():
            shutil.copytree(entry, new / entry.name, symlinks=True)
        else:
            shutil.copy2(entry, new / entry.name, follow_symlinks=False)


def _is_weights(path: Path) -> bool:
    return path.name.endswith((".safetensors", ".safetensors.index.json"))


def as_json(release: Release) -> dict[str, Any]:
    """A release run as plain values, for ``--json``."""
    return {
        "variant": release.variant,
        "steps": [
            {"name": step.name, "changed": step.changed, "summary": step.summary}
            for step in release.steps
        ],
        "folder": str(release.folder),
        "chosen": release.decision.chosen if release.decision else None,
        "reasons": release.decision.reasons if release.decision else [],
        "receipt": release.receipt.model_dump(mode="json") if release.receipt else None,
    }
