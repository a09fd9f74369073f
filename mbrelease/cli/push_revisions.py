"""``mbrelease push --revisions``: the checkpoints of the run, each on a branch of its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from mbrelease.cli.output import print_table, progress, talk
from mbrelease.cli.push_source import Source
from mbrelease.errors import CheckFailed, UserError

if TYPE_CHECKING:
    from huggingface_hub import HfApi

    from mbrelease.hub.plan import Plan
    from mbrelease.hub.revisions import Revision
    from mbrelease.hub.signing_keys import Signer

ALL = "all"


@dataclass(frozen=True)
class RevisionRequest:
    """Which steps were asked for; ``None`` for all."""

    steps: tuple[int, ...] | None

    def planned(
        self, source: Source, plan: Plan, api: HfApi, *, sign: bool, signer: Signer | None
    ) -> list[Revision]:
        """Compare them with the branches on the Hub; ``signer`` may not be known in a plan.

        Raises:
            CheckFailed: a branch holds other weights, or the Hub cannot be asked.
            UserError: there is no run, or no such step.
        """
        from mbrelease.checkpoints.sources import discover_sources
        from mbrelease.hub.revisions import plan_revisions

        if source.project is None or source.variant is None:
            raise UserError(
                f"{source.subject.folder} is a folder, and --revisions asks for a training run",
                mend="give a variant of the registry that names its run",
            )
        run = source.project.variant(source.variant).run
        if run is None:
            raise UserError(
                f"variant '{source.variant}' names no run",
                mend=f"mbrelease registry set {source.variant} run FOLDER",
            )
        folder = source.project.path(run)
        found = [each for each in discover_sources([str(folder)]) if each.step is not None]
        if self.steps is not None:
            known = {each.step for each in found}
            if lost := [step for step in self.steps if step not in known]:
                has = ", ".join(str(each.step) for each in found)
                raise UserError(f"{folder} has no step {lost[0]}", mend=f"it has: {has}")
            found = [each for each in found if each.step in self.steps]
        return plan_revisions(
            found,
            plan.repo_id,
            name=source.variant,
            run=folder.name,
            release=source.subject.folder,
            url=plan.url,
            sign=sign,
            verifier=signer.verifier() if signer is not None else None,
            api=api,
        )


def parse_revisions(
    context: click.Context, option: click.Parameter, value: str | None
) -> RevisionRequest | None:
    """``all``, or steps: ``1000,2000``."""
    if value is None:
        return None
    if value.strip() == ALL:
        return RevisionRequest(None)
    steps = [part.strip().removeprefix("step-") for part in value.split(",")]
    if not all(step.isdecimal() for step in steps):
        raise click.BadParameter(f"{value!r} is no list of steps; write all, or 1000,2000")
    return RevisionRequest(tuple(dict.fromkeys(int(step) for step in steps)))


def show_revisions(revisions: list[Revision], *, quiet: bool) -> list[dict[str, Any]]:
    """Say what would become of each branch; returns it for ``--json``."""
    if not quiet:
        rows = [(each.state, each.branch, each.source.name) for each in revisions]
        print_table(["what", "branch", "checkpoint"], rows)
        waiting = sum(each.state != "unchanged" for each in revisions)
        talk(f"{waiting} of {len(revisions)} checkpoints to publish as branches")
    return [{"branch": r.branch, "step": r.step, "state": r.state} for r in revisions]


def push_revisions(
    revisions: list[Revision],
    source: Source,
    plan: Plan,
    api: HfApi,
    *,
    signer: Signer | None,
    quiet: bool,
) -> list[dict[str, Any]]:
    """Publish those that are not there, in the order of their steps; returns it for ``--json``.

    Those that are there and have no receipt here are read back, and get one.

    Raises:
        CheckFailed: one was not published. Those before it are.
        KeyboardInterrupt: of which it was said what is left.
    """
    from mbrelease.hub.receipt import receipt_path
    from mbrelease.hub.revisions import publish_revision

    assert source.project is not None
    work = source.project.root / ".mbrelease" / "revisions" / str(source.variant)
    told: list[dict[str, Any]] = []
    with progress(quiet=quiet) as bar:
        for done, each in enumerate(revisions):
            entry: dict[str, Any] = {"branch": each.branch, "step": each.step, "state": each.state}
            told.append(entry)
            if each.is_proven(
                source.receipts, plan.repo_id, plan.endpoint, signed=signer is not None
            ):
                continue
            try:
                receipt = publish_revision(
                    each,
                    plan,
                    work=work,
                    receipts=source.receipts,
                    variant=source.variant,
                    signer=signer,
                    api=api,
                    progress=bar,
                )
            except UserError as error:
                raise CheckFailed(
                    f"{each.branch} ({done} of {len(revisions)} were done before it): "
                    f"{error.message}",
                    mend=error.mend,
                ) from error
            except KeyboardInterrupt as stop:
                _tell_what_is_left(stop, [later.branch for later in revisions[done:]])
                raise KeyboardInterrupt from stop
            path = receipt_path(source.receipts, receipt.repo_id, receipt.commit)
            entry |= {"commit": receipt.commit, "receipt_path": str(path)}
            if not quiet:
                click.echo(f"{each.branch:16}{receipt.commit}")
    return told


def _tell_what_is_left(stop: KeyboardInterrupt, branches: Sequence[str]) -> None:
    """Say of a Ctrl-C at the first of ``branches`` what stands of it, and which come after it."""
    from mbrelease.hub.stopped import Stopped

    at, *later = branches
    if isinstance(stop, Stopped):
        talk(f"{at}: {stop.sentence()}")
    left = later if isinstance(stop, Stopped) else branches
    if left:
        talk(f"not published yet: {', '.join(left)}")
