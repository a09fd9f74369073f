"""Read files of any harness as the reported results of one variant."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from mbrelease.errors import UserError
from mbrelease.evaluation.importers import IMPORTERS
from mbrelease.evaluation.importers.contract import Importer, Reported
from mbrelease.evaluation.reported import ReportedResult, ReportSource, require_names, require_types

_MEND_OF_ROWS = "leave one out, or give each its own source or seed"
# The Trainer masks anew in each evaluation, so two of the same weights may differ.
_MEND_OF_HARNESS = (
    "import a file that holds one of them, such as eval_results.json or a checkpoint's state"
)


@dataclass(frozen=True)
class Request:
    """What to read, and what to say where the files do not."""

    files: Sequence[Path]
    models: Collection[str]
    """The names of the variant, in files that speak of several models."""
    root: Path
    """The project's folder; files in it are named relative to it."""
    format: str | None = None
    """A key of ``IMPORTERS``; left out, each file's own."""
    url: str | None = None
    """The source of results that name none."""
    task: str | None = None
    """The task of files that speak of one."""


def collect(request: Request) -> list[ReportedResult]:
    """The results in all files, each once.

    Raises:
        UserError: a file is of another format or none, says nothing of the variant or two things
            at once, or a name cannot be stored.
    """
    if request.url is not None and not re.fullmatch(r"https?://[^\s/]+\S*", request.url):
        raise UserError(f"{request.url} is no URL", mend="--source https://…")
    found = [one for path in request.files for one in _read(path, request)]
    if not found:
        names = ", ".join(str(path) for path in request.files)
        raise UserError(f"no result in {names}")
    for one in found:
        require_names(one.result, one.place)
    return _each_once(found)


def _read(path: Path, request: Request) -> list[Reported]:
    found = _choose(path, request.format).read(path)
    for one in found:
        require_types(one.result, one.place)
    named = [one for one in found if one.model is None or one.model in request.models]
    if found and not named:
        models = ", ".join(sorted({str(one.model) for one in found})[:5])
        raise UserError(
            f"{path} says nothing of {' or '.join(request.models)}; its models are {models}",
            mend="write the variant's name or its repo in the column 'model'",
        )
    tasks = {one.result.task_name for one in named}
    if request.task is not None and len(tasks) > 1:
        raise UserError(
            f"{path} speaks of {len(tasks)} tasks: {', '.join(sorted(tasks)[:5])}",
            mend="leave --task out",
        )
    return [
        replace(
            one,
            result=replace(
                one.result,
                task_name=request.task or one.result.task_name,
                source=_source(one, path, request),
            ),
        )
        for one in named
    ]


def _choose(path: Path, wanted: str | None) -> Importer:
    """The importer of ``path``: the one asked for, which must recognise it, or the one that does.

    Raises:
        UserError: there is none; says what was recognised.
    """
    if path.is_dir():
        raise UserError(f"{path} is a folder", mend=f"name the files in it: {path}/*.json")
    recognised = [name for name, importer in IMPORTERS.items() if importer.recognises(path)]
    if wanted is not None and wanted not in recognised:
        looks = f"recognised as {recognised[0]}" if recognised else "of no format known here"
        raise UserError(
            f"{path} is no {wanted} file; it is {looks}",
            mend=f"--format {recognised[0]}" if recognised else _formats(),
        )
    if not recognised:
        raise UserError(f"{path} is of no format known here", mend=_formats())
    return IMPORTERS[wanted or recognised[0]]


def _formats() -> str:
    return f"known are {', '.join(IMPORTERS)}; see docs/import-export.md"


def _source(one: Reported, path: Path, request: Request) -> ReportSource:
    """The result's own source; what it does not say is the file and the given URL."""
    source = one.result.source
    by_harness = one.model is None
    nameless = source.url is None and source.name is None
    place = _place(path, request.root) if by_harness or nameless else None
    # A row that names its source must not be given another one.
    url = request.url if by_harness or nameless else None
    return replace(source, url=source.url or url, place=source.place or place)


def _place(path: Path, root: Path) -> str:
    """A file as it may be named in public: below the project, or by its last two parts."""
    path = path.resolve()
    if path.is_relative_to(root.resolve()):
        return path.relative_to(root.resolve()).as_posix()
    return "/".join(path.parts[-2:])


def _each_once(found: Iterable[Reported]) -> list[ReportedResult]:
    seen: dict[tuple[object, ...], Reported] = {}
    for one in found:
        first = seen.setdefault(one.result.identity, one)
        if first.result.value != one.result.value:
            result = one.result
            raise UserError(
                f"{first.place} and {one.place} contradict each other: {result.metric} of "
                f"{result.task_name} {result.split} is {first.result.value} and {result.value}",
                mend=_MEND_OF_HARNESS if one.model is None else _MEND_OF_ROWS,
            )
    return [one.result for one in seen.values()]
