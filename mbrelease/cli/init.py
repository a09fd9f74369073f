"""``mbrelease init``: a first registry, and the release workflow for GitHub."""

from __future__ import annotations

import difflib
from pathlib import Path

import click

from mbrelease.cli.output import talk
from mbrelease.errors import CheckFailed, UserError

_IGNORED = (".mbrelease/", ".*.lock")
"""What is of this machine and not of the project: what was read is kept there, and locks."""


@click.command("init")
@click.argument(
    "folder", metavar="[DIR]", type=click.Path(path_type=Path, file_okay=False), default=Path()
)
@click.option("--github", is_flag=True, help="Also the workflow that releases on a git tag.")
def command(folder: Path, github: bool) -> None:
    """Start a project in DIR, the current folder unless another is named.

    Writes registry.yaml with a variant for each run that is found there, a folder with checkpoint-*
    in it, and a .gitignore for what is of this machine only. With --github also
    .github/workflows/release.yml, which shows the plan of a release on pull requests and publishes
    on a tag such as my-model/v1.0, and the versions that it installs.

    No file that is there is ever overwritten. Of a workflow that differs the difference is shown,
    and the exit code is 1.
    """
    from mbrelease.registry.project import REGISTRY_NAME

    if (folder / REGISTRY_NAME).exists():
        talk(f"kept     {folder / REGISTRY_NAME}: it is there already")
    else:
        _write_registry(folder, folder / REGISTRY_NAME)
    _write_ignored(folder / ".gitignore")
    if github:
        _write_workflow(folder)


def _write_registry(folder: Path, path: Path) -> None:
    from mbrelease.files import write_text
    from mbrelease.start.registry_text import registry_text, variant_names
    from mbrelease.start.runs import find_runs

    runs = find_runs(folder)
    family = folder.resolve().name or "models"
    write_text(path, registry_text(family, runs))
    talk(f"wrote    {path}")
    for run, name in zip(runs, variant_names(family, runs), strict=True):
        talk(f"  {name}: {run.path}, {run.checkpoints} checkpoints")
    if not runs:
        talk("  no run was found: add one with 'mbrelease registry add NAME --run FOLDER'")


def _write_ignored(path: Path) -> None:
    from mbrelease.files import write_text

    if not path.exists():
        write_text(path, "".join(f"{line}\n" for line in _IGNORED))
        talk(f"wrote    {path}")
        return
    there = {line.strip() for line in _text(path).splitlines()}
    lacking = [line for line in _IGNORED if line not in there]
    said = f"; add to it: {' '.join(lacking)}" if lacking else ""
    talk(f"kept     {path}: it is there already{said}")


def _write_workflow(folder: Path) -> None:
    from mbrelease.files import write_text
    from mbrelease.start.workflow import github_files

    differing = []
    for path, text in github_files().items():
        place = folder / path
        if not place.exists():
            write_text(place, text)
            talk(f"wrote    {place}")
        elif (there := _text(place)) == text:
            talk(f"kept     {place}: it is the same")
        else:
            differing.append(str(place))
            _show_difference(place, there, text)
    if differing:
        raise CheckFailed(
            f"{' and '.join(differing)} differ{'' if len(differing) > 1 else 's'}; nothing of it "
            "was changed",
            mend="take over what you want of the difference above, or move the file away first",
        )
    talk("set up the environment and the Trusted Publisher: docs/github-actions.md of mbrelease")


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"cannot read {path}: {error}", mend="move it away first") from error


def _show_difference(path: Path, there: str, new: str) -> None:
    lines = difflib.unified_diff(
        there.splitlines(keepends=True),
        new.splitlines(keepends=True),
        str(path),
        f"{path} of this mbrelease",
    )
    for line in lines:
        click.echo(line if line.endswith("\n") else line + "\n", nl=False)
