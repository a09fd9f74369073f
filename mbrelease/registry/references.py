"""Names that must lead somewhere, and what only the registry as a whole can get wrong.

The checks read the document and not the validated registry, so that a misspelt key in one
place does not hide a lost parent in another. What has not the right shape is passed over here:
``shape`` has told of it.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any

from pydantic import TypeAdapter, ValidationError

from mbrelease.errors import did_you_mean
from mbrelease.registry.architectures import check_architectures
from mbrelease.registry.document import Document
from mbrelease.registry.entries import items, keys, lost, stating, text
from mbrelease.registry.lineage import cycles
from mbrelease.registry.mistakes import Mistake
from mbrelease.registry.table_references import check_tables
from mbrelease.registry.tasks import AnyTask, TrainedTask

Path = tuple[str | int, ...]

MAX_SHOWN = 12
"""Names of a circle."""


@cache
def _tasks_schema() -> TypeAdapter[AnyTask]:
    return TypeAdapter(AnyTask)


def check_references(document: Document) -> list[Mistake]:
    """Every reference that leads nowhere or round in a circle, and what is there twice.

    Of a registry that could not be read as a whole no name is told as lost.
    """
    told = [*_names(document), *_repos(document), *_tasks(document)]
    if not document.is_whole:
        return told
    return [
        *told,
        *_parents(document),
        *_supersedes(document),
        *_suites_and_policies(document),
        *_policy_metrics(document),
        *_aliases(document),
        *check_architectures(document),
        *check_tables(document),
    ]


def _parents(document: Document) -> Iterator[Mistake]:
    variants = keys(document, "variants")
    graph: dict[str, list[str]] = {}
    places: dict[tuple[str, str], Path] = {}
    for name, stated in stating(document, "parents"):
        graph[name] = []
        for index, item in enumerate(stated if isinstance(stated, list) else []):
            parent = item.get("variant") if isinstance(item, dict) else None
            if not isinstance(parent, str):
                continue
            path = ("variants", name, "parents", index, "variant")
            if parent not in variants:
                yield document.mistake(path, lost(document, "parent", parent, variants))
            elif parent in graph[name]:
                yield document.mistake(path, f"parent '{parent}' is given twice")
            else:
                graph[name].append(parent)
                places[name, parent] = path
    for cycle in cycles(graph):
        message = f"cycle in parents: {_round(cycle)}"
        yield document.mistake(places[cycle[0], cycle[1]], message)


def _supersedes(document: Document) -> Iterator[Mistake]:
    variants = keys(document, "variants")
    graph: dict[str, list[str]] = {}
    for name, older in stating(document, "supersedes"):
        if isinstance(older, str) and older not in variants:
            message = lost(document, "superseded variant", older, variants)
            yield document.mistake(("variants", name, "supersedes"), message)
        elif isinstance(older, str):
            graph[name] = [older]
    for cycle in cycles(graph):
        message = f"cycle in supersedes: {_round(cycle)}"
        yield document.mistake(("variants", cycle[0], "supersedes"), message)


def _round(cycle: list[str]) -> str:
    """A circle as a sentence shows it; of a long one its ends."""
    if len(cycle) > MAX_SHOWN:
        cycle = [*cycle[: MAX_SHOWN - 2], f"… {len(cycle) - MAX_SHOWN + 1} more …", cycle[-1]]
    return " → ".join(cycle)


def _names(document: Document) -> Iterator[Mistake]:
    """Names of variants of which the files would be one where a file system knows no case."""
    seen: dict[str, str] = {}
    for name in keys(document, "variants"):
        other = seen.setdefault(name.casefold(), name)
        if other != name:
            message = (
                f"variants '{other}' and '{name}' differ only in case, and some systems take "
                "their files for the same"
            )
            yield document.mistake(("variants", name), message, key=True)


def _repos(document: Document) -> Iterator[Mistake]:
    owners: dict[str, str] = {}
    for name, repo in stating(document, "repo"):
        if not isinstance(repo, str):
            continue
        # The Hub takes ids that differ only in case for one.
        owner = owners.setdefault(repo.casefold(), name)
        if owner != name:
            message = f"repo '{repo}' is already that of variant '{owner}'"
            yield document.mistake(("variants", name, "repo"), message)


def _suites_and_policies(document: Document) -> Iterator[Mistake]:
    variants = keys(document, "variants")
    for key, shelf in (("suite", "suites"), ("policy", "policies")):
        known = keys(document, shelf)
        for name, wanted in stating(document, key):
            if wanted and isinstance(wanted, str) and wanted not in known:
                yield document.mistake(("variants", name, key), lost(document, key, wanted, known))
    for name in keys(document, "policies"):
        path = ("policies", name, "reference")
        reference = text(document, *path)
        if reference is not None and reference not in variants:
            yield document.mistake(path, lost(document, "reference", reference, variants))


def _tasks(document: Document) -> Iterator[Mistake]:
    for suite in keys(document, "suites"):
        seen: set[str] = set()
        for index, value in enumerate(items(document, "suites", suite)):
            path = ("suites", suite, index)
            name = text(document, *path, "name")
            if name is not None and name in seen:
                message = f"task '{name}' is given twice in suite '{suite}'"
                yield document.mistake((*path, "name"), message)
            seen.update([name] if name is not None else [])
            task = _task(value)
            if isinstance(task, TrainedTask) and task.needs_train and task.data.train is None:
                message = f"task '{name}' trains {task.trains} and needs data.train"
                yield document.mistake((*path, "data"), message, key=True)


def _task(value: Any) -> AnyTask | None:
    """The task that ``value`` describes, if it describes one rightly."""
    try:
        return _tasks_schema().validate_python(value)
    except ValidationError:
        return None


def _policy_metrics(document: Document) -> Iterator[Mistake]:
    """Metrics of a policy, held against each suite that a variant uses it with."""
    users: dict[str, dict[str, str]] = {name: {} for name in keys(document, "policies")}
    for name, policy in stating(document, "policy"):
        suite = text(document, "variants", name, "suite")
        if not isinstance(policy, str) or suite is None:
            continue
        if policy in users and items(document, "suites", suite):
            users[policy].setdefault(suite, name)
    for policy, suites in users.items():
        guardrails = range(len(items(document, "policies", policy, "guardrails")))
        paths: list[Path] = [
            ("policies", policy, "primary"),
            *(("policies", policy, "guardrails", index, "metric") for index in guardrails),
        ]
        for path in paths:
            metric = text(document, *path)
            if metric is None:
                continue
            if "/" not in metric:
                message = f"metric '{metric}' should be task/metric, such as section/macro_f1"
                yield document.mistake(path, message)
                continue
            for suite, variant in suites.items():
                problem = _metric_problem(document, metric, suite)
                if problem is not None:
                    yield document.mistake(path, f"{problem} (of variant '{variant}')")


def _metric_problem(document: Document, metric: str, suite: str) -> str | None:
    wanted, _, label = metric.rpartition("/")
    tasks = {text(document, "suites", suite, index, "name"): value
             for index, value in enumerate(items(document, "suites", suite))}  # fmt: skip
    if wanted not in tasks:
        hint = did_you_mean(wanted, [name for name in tasks if name is not None])
        return f"no task '{wanted}' in suite '{suite}'" + (f", {hint}" if hint else "")
    task = _task(tasks[wanted])
    if task is None or label in task.known_metrics:
        return None
    hint = did_you_mean(label, task.known_metrics)
    has = f"task '{wanted}' of suite '{suite}' has no metric '{label}'"
    return f"{has}, {hint}" if hint else f"{has}; it has {', '.join(task.known_metrics)}"


def _aliases(document: Document) -> Iterator[Mistake]:
    variants = keys(document, "variants")
    for alias in keys(document, "aliases"):
        target = text(document, "aliases", alias)
        if target is not None and target not in variants:
            yield document.mistake(("aliases", alias), lost(document, "variant", target, variants))
        if alias in variants:
            message = f"alias '{alias}' is also the name of a variant"
            yield document.mistake(("aliases", alias), message, key=True)
