"""``mbrelease import``: results of other harnesses as reported evidence."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mbrelease.cli.options import json_option, registry_option
from mbrelease.cli.output import print_json, print_table, talk

if TYPE_CHECKING:
    from mbrelease.evaluation.reported import Change, ReportedResult
    from mbrelease.registry.project import Project

# Not read from the importers, so that the help imports none of them.
FORMATS = ["mteb", "trainer", "lm-eval", "sentence-transformers", "csv"]


@click.command("import")
@click.argument(
    "files",
    nargs=-1,
    required=True,
    metavar="FILE…",
    type=click.Path(path_type=Path),
)
@click.option("--as", "variant", required=True, metavar="VARIANT", help="Whose results they are.")
@click.option("--source", metavar="URL", help="Where they were published.")
@click.option(
    "--format",
    "format_name",
    type=click.Choice(FORMATS),
    help="What wrote the files.  [default: each file's own]",
)
@click.option("--task", help="The task of files that name none, such as a Trainer's.")
@click.option("--plan", "plan_only", is_flag=True, help="Say what would change and stop.")
@json_option
@registry_option
def command(
    files: tuple[Path, ...],
    variant: str,
    source: str | None,
    format_name: str | None,
    task: str | None,
    plan_only: bool,
    as_json: bool,
    registry_path: Path | None,
) -> None:
    """Bring in what other harnesses found, as reported results with their source.

    FILES are of mteb, the Trainer, lm-eval, sentence-transformers, or a plain CSV. Reported results
    are kept apart from measured ones and are never compared with them. Importing a file again
    changes nothing.
    """
    from mbrelease.evaluation.importers.collect import Request, collect
    from mbrelease.evaluation.reported import plan_reported, write_reported
    from mbrelease.registry.load import load_project

    project = load_project(registry_path)
    name = project.resolve_model(variant)
    names = _names(project, name)
    results = collect(
        Request(
            files=files,
            models=names,
            root=project.root,
            format=format_name,
            url=source,
            task=task,
        )
    )
    bring_in = plan_reported if plan_only else write_reported
    changes = bring_in(project.evidence, name, results)
    if as_json:
        print_json([_as_json(change) for change in changes])
        return
    _print_changes(changes)
    others = {str(one.details["model"]) for one in results if "model" in one.details} - {*names}
    if others:
        talk(f"the files call the model {', '.join(sorted(others))}")
    talk(_summary(changes, name, plan_only))


def _names(project: Project, model: str) -> list[str]:
    """What a file may call the variant or peer: its name, its repo, an alias."""
    registry = project.registry
    repo = (registry.variants.get(model) or registry.peers[model]).repo
    aliases = [alias for alias, name in registry.aliases.items() if name == model]
    return [model, *([repo] if repo else []), *aliases]


def _print_changes(changes: list[Change]) -> None:
    shown = [change for change in changes if change.state != "known"]
    if not shown:
        return
    print_table(
        ["task", "split", "metric", ">value", ">before", "note"],
        [
            [
                change.result.task_name,
                change.result.split,
                change.result.metric,
                f"{change.result.value:g}",
                f"{change.before.value:g}" if change.before else "",
                _note(change),
            ]
            for change in shown
        ],
    )


def _note(change: Change) -> str:
    """What a reader of the table must know of a number."""
    result = change.result
    notes = [
        result.subset if result.subset != "default" else "",
        f"seed {result.seed}" if result.seed is not None else "",
        f"step {result.step}" if result.step is not None else "",
        _limit(result),
    ]
    return ", ".join(note for note in notes if note)


def _limit(result: ReportedResult) -> str:
    """That a run left examples out; a limit above the number of examples leaves none out."""
    n_examples, available = result.n_examples, result.details.get("n_available")
    if "limit" not in result.details or (n_examples is not None and n_examples == available):
        return ""
    return "of a part of the examples" if n_examples is None else f"of {n_examples} examples only"


def _summary(changes: list[Change], variant: str, plan_only: bool) -> str:
    count = {
        state: sum(change.state == state for change in changes)
        for state in ("new", "changed", "known")
    }
    if count["known"] == len(changes):
        return f"unchanged: all {len(changes)} results of {variant} are known"
    did = "would import" if plan_only else "imported"
    return (
        f"{did} for {variant}: {count['new']} new, {count['changed']} changed, "
        f"{count['known']} known"
    )


def _as_json(change: Change) -> dict[str, Any]:
    from dataclasses import asdict

    return {
        **asdict(change.result),
        "state": change.state,
        "before": None if change.before is None else change.before.value,
    }
