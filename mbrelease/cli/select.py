"""``mbrelease select``: choose a candidate by the policy."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from shutil import get_terminal_size
from typing import TYPE_CHECKING

import click

from mbrelease.cli.options import json_option, registry_option
from mbrelease.cli.output import print_json, print_table, progress, talk
from mbrelease.errors import CheckFailed, UserError

if TYPE_CHECKING:
    from mbrelease.registry.project import Project
    from mbrelease.selection.decision import Candidate, Decision

MARKS = {"pass": "✓", "fail": "✗", "inconclusive": "?"}


@click.command("select")
@click.argument("variant")
@click.option(
    "--search",
    is_flag=True,
    help="First propose averages, add them to the registry, build them and measure all on dev.",
)
@click.option(
    "--reason",
    metavar="TEXT",
    help="Why the policy is changed after the test split was looked at; the card prints it.",
)
@click.option(
    "--plot",
    "plot_folder",
    type=click.Path(path_type=Path, file_okay=False),
    help="Write pictures of the decision into this folder, as SVG and PNG.",
)
@click.option(
    "--replay",
    is_flag=True,
    help="Decide nothing: derive the decision on disk again from its evidence, and compare.",
)
@json_option
@registry_option
@click.pass_context
def command(
    context: click.Context,
    variant: str,
    search: bool,
    reason: str | None,
    plot_folder: Path | None,
    replay: bool,
    as_json: bool,
    registry_path: Path | None,
) -> None:
    """Choose among the checkpoints and averages of VARIANT by its policy.

    The decision, with every candidate and the reasons, is written to decisions/VARIANT.json.
    Exit 1 if no candidate passes, or none is better: then the reference stays.
    """
    from mbrelease.registry.load import load_project
    from mbrelease.selection.decision import read_decision, write_decision

    if replay and search:
        raise UserError("--replay decides nothing, so there is nothing to --search for")
    if replay and reason is not None:
        raise UserError("--replay decides nothing, so there is no --reason to be kept")
    project = load_project(registry_path)
    path = project.decision(project.resolve_name(variant))
    if replay:
        decision = read_decision(path)
        _replay(project, path, decision)
    else:
        decision = _decide(project, variant, search=search, reason=reason)
        write_decision(path, decision)
    if as_json:
        print_json(decision.model_dump(mode="json"))
    elif not replay:
        print_decision(decision)
        talk(f"written to {path}")
    if plot_folder is not None:
        from mbrelease.selection.plots import write_plots

        for picture in write_plots(decision, plot_folder):
            talk(f"written to {picture}")
    if decision.chosen is None and not replay:
        context.exit(1)


def _decide(project: Project, variant: str, *, search: bool, reason: str | None) -> Decision:
    from mbrelease.selection.looks import freeze
    from mbrelease.selection.policy import decide

    if search:
        project = _search(project, variant, reason)
    freeze(project, variant, reason=reason)
    return decide(project, variant)


def _search(project: Project, variant: str, reason: str | None) -> Project:
    from mbrelease.evaluation.backend import choose_backend
    from mbrelease.registry.load import load_project
    from mbrelease.selection.looks import require_reason_to_add
    from mbrelease.selection.propose import is_finished, search

    if not is_finished(project, variant):
        require_reason_to_add(project, variant, reason)
    with progress() as bar:
        search(project, variant, backend=choose_backend("auto"), progress=bar)
    return load_project(project.registry_path)


def _replay(project: Project, path: Path, decision: Decision) -> None:
    from mbrelease.selection.replay import replay

    if decision.variant != path.stem:
        raise CheckFailed(f"{path}: it is the decision on '{decision.variant}'")
    differences = replay(project, decision)
    if differences:
        more = f" (and {len(differences) - 1} more)" if len(differences) > 1 else ""
        raise CheckFailed(
            f"{path}: {differences[0]}{more}", mend=f"decide again: mbrelease select {path.stem}"
        )
    talk(f"{path}: the same decision follows from its evidence")


def print_decision(decision: Decision) -> None:
    """Print the candidates as a table on stdout, and what is to be said below it.

    Where a terminal is too narrow for the intervals they are left out, and that is said.
    """
    columns = [
        "  candidate",
        *(f">{_two_lines(metric)}" for metric in decision.metrics),
        *(["guard-\nrails"] if decision.policy.guardrails else []),
        *([">P"] if decision.basis == "examples" else []),
    ]
    candidates = [decision.reference, *decision.candidates]
    rows = [_row(candidate, decision, intervals=True) for candidate in candidates]
    intervals = not sys.stdout.isatty() or _width([columns, *rows]) <= get_terminal_size().columns
    if not intervals:
        rows = [_row(candidate, decision, intervals=False) for candidate in candidates]
    print_table(columns, rows)
    for line in _legend(decision, intervals=intervals):
        talk(line)
    for sentence in decision.reasons:
        click.echo(sentence)
    _print_list("What the curves show:", [finding.sentence for finding in decision.findings])
    _print_list("Mind:", decision.warnings)


def _print_list(title: str, sentences: list[str]) -> None:
    if sentences:
        click.echo(f"\n{title}")
        for sentence in sentences:
            click.echo(f"- {sentence}")


def _width(rows: Sequence[Sequence[str]]) -> int:
    """How many columns of a terminal a table takes whose cells hold several lines."""
    cells = [
        max(len(line) for cell in column for line in cell.split("\n"))
        for column in zip(*rows, strict=True)
    ]
    return sum(cells) + 3 * len(cells) - 1


def _legend(decision: Decision, *, intervals: bool) -> list[str]:
    if decision.basis == "points":
        return []
    guardrails = [guardrail.metric for guardrail in decision.policy.guardrails]
    below = "Below each value its 95% interval."
    if not intervals:
        below = "The terminal is too narrow for the 95% intervals; --json has them."
    lines = [f"{below} P: how often the rule chooses it."]
    if guardrails:
        lines.append(
            f"Guardrails ({', '.join(guardrails)}): ✓ within the margin, ✗ worse, ? not settled; "
            "(✓) only by itself."
        )
    return lines


def _row(candidate: Candidate, decision: Decision, *, intervals: bool) -> list[str]:
    from mbrelease.evaluation.metric_names import shown

    is_reference = candidate.kind == "reference"
    chosen = candidate.name == decision.chosen and not is_reference
    name = f"{'→' if chosen else ' '} {candidate.name}"
    cells = [f"{name}\n  (reference)" if is_reference else name]
    for measurement in candidate.measurements:
        value = shown(measurement.metric, measurement.value)
        if measurement.ci95 is not None and intervals:
            low, high = (shown(measurement.metric, bound) for bound in measurement.ci95)
            value += f"\n{low}–{high}"
        cells.append(value)
    if decision.policy.guardrails:
        cells.append("" if is_reference else _marks(candidate))
    if decision.basis == "examples":
        share = decision.p_keep_reference if candidate.kind == "reference" else candidate.p_selected
        cells.append("" if share is None else f"{share:.2f}")
    return cells


def _marks(candidate: Candidate) -> str:
    marks = "".join(MARKS[result.state] for result in candidate.guardrails)
    alone = not candidate.eligible and set(marks) == {"✓"}
    return f"({marks})" if alone else marks


def _two_lines(metric: str) -> str:
    return metric.replace("/", "\n", 1)
