"""``mbrelease eval``: measure what is missing."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mbrelease.cli.options import json_option, registry_option
from mbrelease.cli.output import print_json, print_table, progress, talk
from mbrelease.errors import UserError, did_you_mean

if TYPE_CHECKING:
    from mbrelease.checkpoints.checkpoint import Checkpoint
    from mbrelease.evaluation.backend import Backend
    from mbrelease.evaluation.evidence import EvidenceRecord
    from mbrelease.evaluation.grid.failures import Failure
    from mbrelease.evaluation.jobs import Job
    from mbrelease.evaluation.measure import Runner
    from mbrelease.registry.project import Project
    from mbrelease.registry.schema import Variant
    from mbrelease.registry.tasks import AnyTask


@click.command("eval")
@click.argument("targets", nargs=-1, required=True, metavar="[plan] VARIANT|PATH…")
@click.option("--suite", help="The suite of tasks.  [default: the variant's, or the only one]")
@click.option("--split", type=click.Choice(["dev", "test"]), default="dev", show_default=True)
@click.option(
    "--attn",
    type=click.Choice(["auto", "fa2-varlen", "flash_attention_2", "sdpa", "eager"]),
    default="auto",
    show_default=True,
    help="How attention is computed; part of every record.",
)
@click.option(
    "--dtype",
    type=click.Choice(["auto", "float32", "bfloat16"]),
    default="auto",
    show_default=True,
    help="What the model computes in; part of every record.",
)
@click.option(
    "--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto", show_default=True
)
@click.option(
    "--backend",
    "place",
    type=click.Choice(["local", "slurm"]),
    default="local",
    show_default=True,
    help="Where jobs run: on this machine, or each as an element of a Slurm array.",
)
@click.option(
    "--slots",
    type=click.IntRange(min=1),
    help="Processes on this machine.  [default: one a GPU; one in all on a CPU]",
)
@click.option(
    "--slurm",
    "sbatch",
    multiple=True,
    metavar="KEY=VALUE",
    help="An option of sbatch, such as partition=gpu or time=2:00:00; may be given often.",
)
@click.option(
    "--max-parallel",
    type=click.IntRange(min=1),
    help="Elements of a Slurm array that run at once.  [default: 256]",
)
@click.option("--plan", "plan_only", is_flag=True, help="The same as the word plan.")
@json_option
@registry_option
def command(
    targets: tuple[str, ...],
    suite: str | None,
    split: str,
    attn: Any,
    dtype: Any,
    device: Any,
    place: str,
    slots: int | None,
    sbatch: tuple[str, ...],
    max_parallel: int | None,
    plan_only: bool,
    as_json: bool,
    registry_path: Path | None,
) -> None:
    """Measure checkpoints on the tasks of a suite, and keep the score of every example.

    TARGETS are variants of the registry (every checkpoint of their run is measured) or folders.
    What was measured before, with the same weights, data and settings, is not measured again;
    a measurement that fails stops no other. After the word plan, what is missing is listed and
    nothing is measured.
    """
    from mbrelease.evaluation.grid.failures import MeasurementsFailed
    from mbrelease.evaluation.jobs import plan_jobs, stored
    from mbrelease.evaluation.measure import run_jobs
    from mbrelease.evaluation.remarks import few_seeds
    from mbrelease.registry.load import load_project

    if targets[0] == "plan" and len(targets) > 1:  # alone it is a variant of that name
        plan_only, targets = True, targets[1:]
    if slots is not None and place != "local":
        raise click.UsageError("--slots is for --backend local")
    if (sbatch or max_parallel) and place != "slurm":
        raise click.UsageError("--slurm and --max-parallel are for --backend slurm")
    backend, runner = _backend(attn, dtype, device, place, slots, sbatch, max_parallel)
    project = load_project(registry_path)
    tasks = _tasks(project, targets, suite)
    found = [c for target in targets for c in _checkpoints(project, target)]
    # A folder that is named twice, say as a variant and as a path, is one row.
    checkpoints = list({c.path.resolve(): c for c in found}.values())
    jobs = plan_jobs(checkpoints, tasks, split, backend=backend, data_root=project.root)
    if not jobs:
        raise UserError(
            f"no task of the suite has {split} data", mend=f"add data.{split} to a task"
        )
    missing = [job for job in jobs if stored(job, project.evidence) is None]
    talk(
        f"{len(jobs)} measurements, {len(jobs) - len(missing)} known, {len(missing)} to make "
        f"(attn {backend.attn}, dtype {backend.dtype}, device {backend.device})"
    )
    _warn(few_seeds({job.task.name: job.task for job in jobs}.values()))
    if plan_only:
        _print_plan(missing, as_json)
        return
    languages = project.registry.defaults.languages
    failed: MeasurementsFailed | None = None
    with progress() as bar:
        try:
            run_jobs(jobs, project.evidence, languages=languages, progress=bar, runner=runner)
        except MeasurementsFailed as error:
            failed = error
    records = {job.key: record for job in jobs if (record := stored(job, project.evidence))}
    _print_result(jobs, records, failed.failures if failed else {}, as_json)
    if failed:
        raise failed


def _backend(
    attn: Any,
    dtype: Any,
    device: Any,
    place: str,
    slots: int | None,
    sbatch: tuple[str, ...],
    max_parallel: int | None,
) -> tuple[Backend, Runner]:
    from mbrelease.evaluation.backend import choose_backend
    from mbrelease.evaluation.grid.local import on_slots
    from mbrelease.evaluation.grid.slurm import on_slurm
    from mbrelease.evaluation.grid.slurm_options import backend_on_nodes, parse_options

    if place == "slurm":
        options = parse_options(sbatch, max_parallel)
        return backend_on_nodes(options, attn, dtype, device), on_slurm(options)
    backend = choose_backend(device, attn, dtype)
    return backend, on_slots(backend, slots)


def _tasks(project: Project, targets: tuple[str, ...], suite: str | None) -> list[AnyTask]:

    suites = project.registry.suites
    if suite is None:
        named = {
            entry.suite
            for target in targets
            if (entry := _variant(project, target)) and entry.suite
        } or set(suites)
        if len(named) != 1:
            raise UserError(
                f"which suite? {project.registry_path} has {', '.join(sorted(suites)) or 'none'}",
                mend="name one with --suite",
            )
        suite = named.pop()
    if suite not in suites:
        listed = f"the suites are {', '.join(sorted(suites))}" if suites else "add one to 'suites'"
        raise UserError(f"no suite '{suite}'", mend=did_you_mean(suite, suites) or listed)
    return suites[suite]


def _variant(project: Project, target: str) -> Variant | None:
    name = project.registry.aliases.get(target, target)
    return project.registry.variants.get(name)


def _checkpoints(project: Project, target: str) -> list[Checkpoint]:
    from mbrelease.checkpoints.discover import discover
    from mbrelease.evaluation.candidates import released_checkpoint, run_checkpoints

    if target not in project.registry.variants and Path(target).is_dir():
        return discover(Path(target))
    try:
        name = project.resolve_name(target)
    except UserError as error:
        raise UserError(f"{error.message}, and no such folder", mend=error.mend) from error
    if project.variant(name).weights is None and project.variant(name).run is not None:
        return run_checkpoints(project, name)
    return [released_checkpoint(project, name)]


def _print_plan(jobs: list[Job], as_json: bool) -> None:
    if as_json:
        print_json(
            [
                {"checkpoint": str(j.path), "task": j.task.name, "split": j.split,
                 "key": j.key}
                for j in jobs
            ]
        )  # fmt: skip
    elif jobs:
        print_table(
            ["checkpoint", "task", "split"],
            [[job.checkpoint, job.task.name, job.split] for job in jobs],
        )


def _print_result(
    jobs: list[Job],
    records: Mapping[str, EvidenceRecord],
    failures: Mapping[str, Failure],
    as_json: bool,
) -> None:
    """What was measured, on stdout, and what to know of the data, on stderr."""
    from mbrelease.evaluation.remarks import odd_data

    if as_json:
        print_json(
            [
                _record_json(job, records[job.key])
                if job.key in records
                else _failure_json(job, failures[job.key])
                for job in jobs
            ]
        )
    elif records:
        _print_table(jobs, records)
    by_task: dict[str, list[EvidenceRecord]] = {}
    for record in records.values():
        by_task.setdefault(record.task_name, []).append(record)
    for of_task in by_task.values():
        _warn(odd_data(of_task))


def _warn(remark: str | None) -> None:
    if remark is not None:
        talk(f"warning: {remark}")


def _record_json(job: Job, record: EvidenceRecord) -> dict[str, Any]:
    return {"checkpoint": str(job.path), "task": record.task_name, **record.score_entry()}


def _failure_json(job: Job, failure: Failure) -> dict[str, Any]:
    said = {"failed": failure.reason, "mend": failure.mend}
    return {"checkpoint": str(job.path), "task": job.task.name, **said}


def _print_table(jobs: list[Job], records: Mapping[str, EvidenceRecord]) -> None:
    """A row a checkpoint and a column a task; ``failed`` where there is no record."""
    from mbrelease.evaluation.metric_names import metric_key, shown

    by_checkpoint: dict[Path, list[str]] = {}
    columns = {}
    for job in jobs:
        metric = job.task.main_metric
        columns[job.task.name] = f">{job.task.name}\n{metric}"
        record = records.get(job.key)
        value = shown(metric, record.metrics[metric_key(metric)]) if record else "failed"
        by_checkpoint.setdefault(job.path, [job.checkpoint]).append(value)
    print_table(["checkpoint", *columns.values()], list(by_checkpoint.values()))
