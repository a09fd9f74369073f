"""Everything that this project knows to ask about a release, each answer with its problems."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mbrelease.cards.lint import lint_card
from mbrelease.cards.lock import LOCK_NAME, lock_path, read_lock
from mbrelease.checkpoints.checkpoint import open_checkpoint
from mbrelease.errors import UserError
from mbrelease.hub.problems import Check, Problem
from mbrelease.progress import SILENT, Progress
from mbrelease.registry.load import find_registry, load_project
from mbrelease.registry.project import Project
from mbrelease.release_checks.verified import release_contents, remembered_pass, verify_release
from mbrelease.selection.decision import read_decision

if TYPE_CHECKING:
    from mbrelease.parity.report import Report

README = "README.md"
# What a remembered pass covers; whether the card is true is asked by itself.
NOT_THE_CARD = "all but the card and its figures"


@dataclass(frozen=True)
class Subject:
    """A release folder, and the variant that it is of, where a registry knows it."""

    folder: Path
    project: Project | None = None
    variant: str | None = None

    @property
    def is_release(self) -> bool:
        """Whether the folder is where the project keeps the release of the variant."""
        if self.project is None or self.variant is None:
            return False
        return self.project.release(self.variant).resolve() == self.folder.resolve()


def subject_of(folder: Path) -> Subject:
    """The subject that ``folder`` is: its card's lock names a variant of the registry above."""
    readme = folder / README
    try:
        variant = read_lock(lock_path(readme)).variant
        project = load_project(find_registry(folder))
    except UserError:
        return Subject(folder)
    known = variant in project.registry.variants
    return Subject(folder, project, variant) if known else Subject(folder)


def release_checks(
    subject: Subject, *, run_verify: bool = False, progress: Progress = SILENT
) -> tuple[Check, ...]:
    """Ask what can be asked of ``subject`` on this machine; no check stops the others.

    Args:
        subject: the release.
        run_verify: run the checks of ``mbrelease verify``, where no pass is remembered; without,
            it is only told whether there is one.
        progress: told how far they are.
    """
    checks = [*_decision(subject), _verify(subject, run_verify, progress)]
    if (subject.folder / README).is_file():
        checks += [_lint(subject), _card(subject)]
    return tuple(checks)


def _decision(subject: Subject) -> Iterator[Check]:
    """The receipt will name the decision, so it must be the one that chose these weights."""
    if not subject.is_release or subject.project is None or subject.variant is None:
        return
    path = subject.project.decision(subject.variant)
    if not path.is_file():
        return
    try:
        decision = read_decision(path)
        chosen = decision.chosen_candidate
        weights = open_checkpoint(subject.folder).weights_sha256
    except UserError as error:
        yield _refused("decision", Problem.of(error))
        return
    if chosen is not None and chosen.weights_sha256 == weights:
        yield Check("decision", "passed", f"{path.name} chose these weights: {decision.chosen}")
        return
    message = (
        f"{subject.folder} holds other weights than {path.name} chose ({decision.chosen or 'none'})"
    )
    yield _refused("decision", Problem(message, f"mbrelease release {subject.variant}"))


def _verify(subject: Subject, run: bool, progress: Progress) -> Check:
    if not run:
        return _verified_before(subject)
    from mbrelease.parity.verify import verify

    try:
        if subject.is_release and subject.project is not None and subject.variant is not None:
            report = verify_release(subject.project, subject.variant, progress=progress)
        else:
            report = verify(subject.folder, release=True, progress=progress)
    except UserError as error:
        return _refused("verify", Problem.of(error))
    return _of_report(report)


def _of_report(report: Report | None) -> Check:
    if report is None:
        return Check("verify", "passed", f"{NOT_THE_CARD} passed before")
    counts = {status: len(report.with_status(status)) for status in ("pass", "warn", "skip")}
    words = {"pass": "passed", "warn": "warned", "skip": "skipped"}
    said = ", ".join(f"{counts[status]} {word}" for status, word in words.items() if counts[status])
    if report.passed:
        return Check("verify", "passed", said)
    problems = [
        Problem(f"verify: {one.name}: expected {one.expected}, found {one.found}", one.mend)
        for one in report.failures
    ]
    return _refused("verify", *problems)


def _verified_before(subject: Subject) -> Check:
    again = "push --verify asks first"
    if not subject.is_release or subject.project is None or subject.variant is None:
        return Check("verify", "not run", f"does it load and compute? {again}")
    known = remembered_pass(subject.project, subject.variant)
    if known is None:
        return Check("verify", "not run", f"no pass is remembered here; {again}")
    try:
        found = release_contents(subject.folder)
    except UserError as error:
        return _refused("verify", Problem.of(error))
    names = sorted(
        name for name in {*known.files, *found} if known.files.get(name) != found.get(name)
    )
    if not names:
        return Check("verify", "passed", f"{NOT_THE_CARD} passed mbrelease {known.mbrelease}")
    shown = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
    message = f"{subject.folder} has changed since it was verified: {shown}"
    mend = f"push with --verify, or: mbrelease release {subject.variant}"
    return _refused("verify", Problem(message, mend))


def _lint(subject: Subject) -> Check:
    try:
        text = (subject.folder / README).read_bytes().decode("utf-8")
        findings = lint_card(
            text, project=subject.project, variant=subject.variant, folder=subject.folder
        )
    except UnicodeDecodeError as error:
        mend = "save it as UTF-8"
        return _refused("lint", Problem(f"README.md is not UTF-8 text (byte {error.start})", mend))
    except UserError as error:
        return _refused("lint", Problem.of(error))
    problems = [Problem(f"{one.place}: {one.what}", one.mend) for one in findings if one.is_error]
    if problems:
        return _refused("lint", *problems)
    count = len(findings)
    warned = f", {_counted(count, 'warning')}: mbrelease card --lint" if count else ""
    return Check("lint", "passed", f"no error{warned}")


def _card(subject: Subject) -> Check:
    if not (subject.folder / LOCK_NAME).is_file():
        return Check("card", "not run", f"no {LOCK_NAME} says what its numbers come from")
    if subject.project is None or subject.variant is None:
        return Check("card", "not run", "no registry here knows its variant")
    from mbrelease.cards.check import check_card

    readme = subject.folder / README
    try:
        checked = check_card(subject.project, subject.variant, readme)
    except UserError as error:
        return _refused("card", Problem.of(error))
    if not checked.differences:
        said = f"{_counted(checked.numbers, 'number')} derived anew, no difference"
        return Check("card", "passed", said)
    mend = f"mbrelease card {subject.variant} -o {readme}"
    beside = f"{subject.folder}/"
    problems = [Problem(d.sentence.replace(beside, "", 1), mend) for d in checked.differences]
    return _refused("card", *problems)


def _refused(name: str, *problems: Problem) -> Check:
    return Check(name, "failed", _counted(len(problems), "problem"), problems)


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}" + ("" if count == 1 else "s")
