"""``mbrelease select``: choose a candidate by the policy."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from mbrelease.cli.options import json_option, registry_option
from mbrelease.cli.output import print_json, print_table, talk

if TYPE_CHECKING:
    from mbrelease.selection.decision import Candidate, Decision


@click.command("select")
@click.argument("variant")
@json_option
@registry_option
@click.pass_context
def command(
    context: click.Context, variant: str, as_json: bool, registry_path: Path | None
) -> None:
    """Choose among the checkpoints and averages of VARIANT by its policy.

    The decision, with every candidate and the reasons, is written to decisions/VARIANT.json.
    Exit 1 if no candidate passes: then the reference stays.
    """
    from mbrelease.registry.load import load_project
    from mbrelease.selection.decision import write_decision
    from mbrelease.selection.policy import decide

    project = load_project(registry_path)
    decision = decide(project, variant)
    path = project.decision(decision.variant)
    write_decision(path, decision)
    if as_json:
        print_json(decision.model_dump(mode="json"))
    else:
        print_decision(decision)
        talk(f"written to {path}")
    if decision.chosen is None:
        context.exit(1)


def print_decision(decision: Decision) -> None:
    """Print the candidates as a table on stdout, and the reasons below it."""
    metrics = [m.metric for m in decision.reference.measurements]
    print_table(
        ["", "candidate", *(f">{_two_lines(metric)}" for metric in metrics), "guardrails"],
        [
            _row(candidate, decision)
            for candidate in [decision.reference, *decision.candidates]
        ],
    )  # fmt: skip
    for reason in decision.reasons:
        click.echo(reason)


def _row(candidate: Candidate, decision: Decision) -> list[str]:
    from mbrelease.evaluation.metric_names import shown

    marks = "".join("✓" if result.passed else "✗" for result in candidate.guardrails)
    chosen = candidate.name == decision.chosen
    return [
        "→" if chosen else "",
        candidate.name,
        *(shown(m.metric, m.value) for m in candidate.measurements),
        "reference" if candidate.kind == "reference" else marks,
    ]


def _two_lines(metric: str) -> str:
    return metric.replace("/", "\n", 1)
