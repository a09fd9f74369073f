"""`mbrelease verify`: is it ModernBERT, will it load, does it compute."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mbrelease.checkpoints.checkpoint import Checkpoint
from mbrelease.cli.options import json_option, registry_option
from mbrelease.cli.output import print_json, progress, talk
from mbrelease.cli.sign_options import TrustRequest, trust_options
from mbrelease.cli.verify_signature import check_signature
from mbrelease.cli.verify_targets import Target, resolve
from mbrelease.errors import CheckFailed, UserError
from mbrelease.parity.checks.lineage import MAY_CHANGE

if TYPE_CHECKING:
    from mbrelease.parity.checks.shapes import SmTable
    from mbrelease.parity.report import CheckResult, Report

MARKS = {"pass": ("✓", "green"), "fail": ("✗", "red"), "warn": ("!", "yellow"), "skip": ("–", None)}
WIDTH = 80


@click.command()
@click.argument("target", metavar="PATH|VARIANT|ID")
@click.option(
    "--against",
    metavar="PATH|VARIANT|ID|MEMBER",
    help="Compare with this parent, or with a known member of the family, such as 'base'.",
)
@click.option(
    "--relation",
    type=click.Choice(sorted(MAY_CHANGE)),
    help="How it came from the parent; says what may differ.",
)
@click.option(
    "--sm-table",
    type=click.Choice(["product", "die"]),
    default="product",
    help="Count the SMs of GPUs as sold, or of full dies as the authors of ModernBERT did.",
)
@click.option(
    "--with",
    "asked",
    metavar="transformers==V[,V]",
    multiple=True,
    help="Also read it with these versions of transformers, each in an environment of its own.",
)
@click.option(
    "--plot",
    "plot_folder",
    type=click.Path(path_type=Path, file_okay=False),
    help="Draw how far each layer moved from the parent into this folder, as SVG and PNG.",
)
@click.option(
    "--signature",
    "signature_only",
    is_flag=True,
    help="Check its signature instead: each file is as its publisher signed it, none more or less.",
)
@trust_options
@click.option("--headers-only", is_flag=True, help="Read headers and JSON alone; no torch.")
@json_option
@registry_option
def command(
    target: str,
    against: str | None,
    relation: str | None,
    sm_table: SmTable,
    asked: tuple[str, ...],
    plot_folder: Path | None,
    signature_only: bool,
    trust: TrustRequest,
    headers_only: bool,
    as_json: bool,
    registry_path: Path | None,
) -> None:
    """Check that a checkpoint or release is ModernBERT, loads and computes.

    Each check says what was expected, what was found and the mend. A VARIANT is its release
    folder, or its weights where there is none, and is compared with its first parent where that
    is on disk. An ID is a model on the Hub, org/name@revision, or at main without one; with
    --headers-only its weights are not fetched. Exit code 1 if a check fails.

    With --signature, nothing but the signature is checked, of all files and as --public-key or
    --identity says; PATH may then also be a receipt.
    """
    if signature_only:
        if against or relation or asked or plot_folder or headers_only:
            raise UserError(
                "--signature is a check of its own", mend="give --public-key or --identity alone"
            )
        check_signature(target, trust, registry_path, as_json=as_json)
        return
    if trust:
        raise UserError(
            "--public-key, --identity and --issuer say whose signature is believed",
            mend="add --signature",
        )
    from mbrelease.parity.verify import verify
    from mbrelease.parity.versions.requested import requested_versions

    versions = requested_versions(asked)
    if versions and headers_only:
        raise UserError("--with loads the model, --headers-only does not", mend="leave one out")
    if plot_folder is not None and headers_only:
        raise UserError("--plot reads the weights, --headers-only does not", mend="leave one out")
    with progress(quiet=as_json) as bar:
        found = resolve(target, against, registry_path, weights=not headers_only, progress=bar)
    if plot_folder is not None and not isinstance(found.parent, Path | Checkpoint):
        raise UserError(
            "--plot draws the drift from a parent, and the weights of none are at hand",
            mend="give its folder: --against FOLDER",
        )
    with progress(quiet=as_json) as bar:
        report = verify(
            found.model,
            against=found.parent,
            relation=relation or found.relation,
            declared=found.architecture,
            sm_table=sm_table,
            release=found.release,
            receipt=found.receipt,
            load=not headers_only,
            versions=versions,
            progress=bar,
        )
    if as_json:
        print_json(report.as_json())
    else:
        _print(report)
    if plot_folder is not None:
        _plot(report, found, plot_folder)
    if not report.passed:
        names = ", ".join(result.name for result in report.failures)
        raise CheckFailed(f"{report.path} fails {names}")


def _plot(report: Report, target: Target, folder: Path) -> None:
    from mbrelease.parity.plot_drift import write_drift

    drift = report.drift
    if drift is None or not drift.drawable:
        reasons = (result.found for result in report.results if result.name == "drift.summary")
        talk(f"no picture of the drift: {next(reasons)}")
        return
    for path in write_drift(drift, target.model_words, target.parent_words, folder):
        talk(f"written to {path}")


def _print(report: Report) -> None:
    longest = max(len(result.name) for result in report.results)
    for result in report.results:
        _print_result(result, longest)
    counts = {status: len(report.with_status(status)) for status in MARKS}  # type: ignore[arg-type]
    words = {"pass": "passed", "fail": "failed", "warn": "warned", "skip": "skipped"}
    said = ", ".join(f"{counts[status]} {words[status]}" for status in words if counts[status])
    click.echo(f"\n{report.path}: {said}")


def _print_result(result: CheckResult, longest: int) -> None:
    mark, colour = MARKS[result.status]
    name = f"{click.style(mark, fg=colour)} {result.name}"
    if result.status in ("pass", "skip"):
        click.echo(
            f"{name}{' ' * (longest - len(result.name))}  {_wrapped(result.found, longest + 4)}"
        )
        return
    click.echo(name)
    for word in ("expected", "found", "mend"):
        if text := getattr(result, word):
            click.echo(f"    {word:<8}  {_wrapped(text, 14)}")


def _wrapped(text: str, indent: int) -> str:
    lines = textwrap.wrap(text, WIDTH - indent, break_long_words=False, break_on_hyphens=False)
    return f"\n{' ' * indent}".join(lines)
