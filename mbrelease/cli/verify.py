"""`mbrelease verify`: is it ModernBERT, will it load, does it compute."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mbrelease.cli.options import json_option, registry_option
from mbrelease.cli.output import print_json, progress, talk
from mbrelease.errors import CheckFailed, UserError
from mbrelease.parity.checks.lineage import MAY_CHANGE

if TYPE_CHECKING:
    from mbrelease.parity.checks.shapes import SmTable
    from mbrelease.parity.family import Member
    from mbrelease.parity.report import CheckResult, Report
    from mbrelease.registry.project import Project

MARKS = {"pass": ("✓", "green"), "fail": ("✗", "red"), "warn": ("!", "yellow"), "skip": ("–", None)}
WIDTH = 80


@click.command()
@click.argument("target", metavar="PATH|VARIANT")
@click.option(
    "--against",
    metavar="PATH|VARIANT|MEMBER",
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
@click.option("--headers-only", is_flag=True, help="Read headers and JSON alone; no torch.")
@json_option
@registry_option
def command(
    target: str,
    against: str | None,
    relation: str | None,
    sm_table: SmTable,
    asked: tuple[str, ...],
    headers_only: bool,
    as_json: bool,
    registry_path: Path | None,
) -> None:
    """Check that a checkpoint or release is ModernBERT, loads and computes.

    Each check says what was expected, what was found and the mend. A VARIANT is its release
    folder, or its weights where there is none, and is compared with its first parent where that
    is on disk. Exit code 1 if a check fails.
    """
    from mbrelease.parity.verify import verify
    from mbrelease.parity.versions.requested import requested_versions

    versions = requested_versions(asked)
    if versions and headers_only:
        raise UserError("--with loads the model, --headers-only does not", mend="leave one out")
    path, parent, declared = _resolve(target, against, registry_path)
    architecture = None if Path(target).exists() else _architecture(target, registry_path)
    with progress(quiet=as_json) as bar:
        report = verify(
            path,
            against=parent,
            relation=relation or declared,
            declared=architecture,
            sm_table=sm_table,
            load=not headers_only,
            versions=versions,
            progress=bar,
        )
    if as_json:
        print_json(report.as_json())
    else:
        _print(report)
    if not report.passed:
        names = ", ".join(result.name for result in report.failures)
        raise CheckFailed(f"{path} fails {names}")


def _resolve(
    target: str, against: str | None, registry_path: Path | None
) -> tuple[Path, Path | Member | None, str | None]:
    """The folder to verify, its parent's (or a member of the family) and the declared relation."""
    from mbrelease.parity.family import member_named

    parent: Path | Member | None
    if Path(target).exists():
        path, parent, relation = Path(target), None, None
    else:
        project = _project(target, registry_path)
        path = _folder(project, target)
        parent, relation = _first_parent(project, target)
    if against is None:
        return path, parent, relation
    if Path(against).exists():
        return path, Path(against), relation
    member = member_named(against)
    if member is not None and not _is_variant(against, registry_path):
        return path, member, relation
    return path, _folder(_project(against, registry_path), against), relation


def _architecture(target: str, registry_path: Path | None) -> dict[str, int | None] | None:
    """What the registry declares of the variant's sizes, context and vocabulary."""
    architecture = _project(target, registry_path).variant(target).architecture
    return None if architecture is None else architecture.model_dump()


def _is_variant(name: str, registry_path: Path | None) -> bool:
    """Whether the registry knows that name: what is on disk goes before what is only known of."""
    if registry_path is None and not _registry_above():
        return False
    try:
        project = _project(name, registry_path)
        return _folder_on_disk(project, name) is not None
    except UserError:
        return False


def _project(target: str, registry_path: Path | None) -> Project:
    from mbrelease.registry.load import load_project
    from mbrelease.registry.project import REGISTRY_NAME

    if registry_path is None and ("/" in target or not _registry_above()):
        hint = "" if "/" in target else f", and there is no {REGISTRY_NAME} to name a variant"
        raise UserError(f"{target} does not exist{hint}", mend="give the folder of a checkpoint")
    return load_project(registry_path)


def _registry_above() -> bool:
    from mbrelease.registry.project import REGISTRY_NAME

    here = Path.cwd()
    return any((folder / REGISTRY_NAME).is_file() for folder in (here, *here.parents))


def _folder(project: Project, name: str) -> Path:
    folder = _folder_on_disk(project, name)
    if folder is None:
        raise UserError(
            f"variant '{name}' has no release in {project.release(project.resolve_name(name))}",
            mend=f"mbrelease release {name}, or set its weights in the registry",
        )
    return folder


def _folder_on_disk(project: Project, name: str) -> Path | None:
    variant = project.variant(name)
    release = project.release(project.resolve_name(name))
    if (release / "config.json").is_file():
        return release
    if variant.weights is not None and project.path(variant.weights).is_dir():
        return project.path(variant.weights)
    return None


def _first_parent(project: Project, name: str) -> tuple[Path | Member | None, str | None]:
    from mbrelease.parity.family import member_named

    parents = project.variant(name).parents
    if not parents:
        return None, None
    first = parents[0]
    folder = _folder_on_disk(project, first.variant)
    repo = project.variant(first.variant).repo
    if folder is None and repo and (member := member_named(repo)):
        talk(f"compared with the config of {member.name} alone: {first.variant} is not on disk")
        return member, first.relation
    if folder is None:
        talk(f"not compared with its parent {first.variant}, which is not on disk")
    return folder, first.relation


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
