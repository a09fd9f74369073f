"""Names in tables of reported figures that must lead somewhere."""

from __future__ import annotations

from collections.abc import Iterator

from mbrelease.registry.document import Document
from mbrelease.registry.entries import hint, items, keys, lost, stating, text, texts
from mbrelease.registry.mistakes import Mistake
from mbrelease.registry.reported_tables import split_reported

Path = tuple[str | int, ...]


def check_tables(document: Document) -> Iterator[Mistake]:
    """Every mistake in peers, in tables, and in what cards say of tables."""
    yield from _peers(document)
    for name in keys(document, "tables"):
        yield from _models(document, ("tables", name))
        yield from _document_sets(document, ("tables", name))
    for name, card in stating(document, "card"):
        if isinstance(card, dict) and card.keys() & {"tables", "design_beside", "intended_use"}:
            yield from _card(document, name)
            yield from _measured_uses(document, name)


def _peers(document: Document) -> Iterator[Mistake]:
    variants, aliases = keys(document, "variants"), keys(document, "aliases")
    repos = stating(document, "repo")
    owners = {repo.casefold(): name for name, repo in repos if isinstance(repo, str)}
    for peer in keys(document, "peers"):
        path = ("peers", peer)
        if peer in variants or peer in aliases:
            other = "a variant" if peer in variants else "an alias"
            message = f"peer '{peer}' is also the name of {other}"
            yield document.mistake(path, message, key=True)
        repo = text(document, *path, "repo")
        if repo is not None:
            owner = owners.setdefault(repo.casefold(), peer)
            if owner != peer:
                yield document.mistake(
                    (*path, "repo"), f"repo '{repo}' is already that of '{owner}'"
                )


def _models(document: Document, table: Path) -> Iterator[Mistake]:
    known = {**keys(document, "variants"), **keys(document, "peers")}
    bands = [
        (*table, "bands", index, "models")
        for index, _ in enumerate(items(document, *table, "bands"))
    ]
    listed: set[str] = set()
    for path in [(*table, "models"), *bands]:
        seen: set[str] = set()
        for index, model in texts(document, *path):
            if model not in known:
                yield document.mistake((*path, index), lost(document, "model", model, known))
            elif model in seen:
                yield document.mistake((*path, index), f"model '{model}' is given twice")
            seen.add(model)
        listed |= seen
    labels = [
        ((*table, key, model), model, True)
        for key in ("labels", "stated")
        for model in keys(document, *table, key)
    ]
    changes = [(*table, "change", key) for key in ("of", "against")]
    named = [*labels, *((path, text(document, *path) or "", False) for path in changes)]
    for path, model, is_key in named:
        if model and model not in listed:
            message = f"model '{model}' is not in this table{hint(model, listed)}"
            yield document.mistake(path, message, key=is_key)


def _document_sets(document: Document, table: Path) -> Iterator[Mistake]:
    known = keys(document, "document_sets")
    listed = (*table, "document_sets")
    named = [((*listed, index), name) for index, name in texts(document, *listed)]
    for index, _ in enumerate(items(document, *table, "columns")):
        path = (*table, "columns", index, "check", "thousand_tokens")
        named.append((path, text(document, *path) or ""))
    for path, name in named:
        if name and name not in known:
            yield document.mistake(path, lost(document, "document set", name, known))


def _card(document: Document, variant: str) -> Iterator[Mistake]:
    shelves = (("tables", "tables", "table"), ("design_beside", "variants", "variant"))
    for key, shelf, what in shelves:
        known = keys(document, shelf)
        path = ("variants", variant, "card", key)
        for index, name in texts(document, *path):
            if name not in known:
                yield document.mistake((*path, index), lost(document, what, name, known))


def _measured_uses(document: Document, variant: str) -> Iterator[Mistake]:
    uses = ("variants", variant, "card", "intended_use")
    tasks = _tasks_of(document, variant)
    for use, _ in enumerate(items(document, *uses)):
        path = (*uses, use, "measured_by")
        for index, task in texts(document, *path):
            if task not in tasks:
                message = f"no task '{task}' in the suite or the tables of variant '{variant}'"
                yield document.mistake((*path, index), message + hint(task, tasks))


def _tasks_of(document: Document, variant: str) -> list[str]:
    """The tasks that a variant is measured on, here or by others."""
    suite = text(document, "variants", variant, "suite") or ""
    measured = range(len(items(document, "suites", suite)))
    tasks = [text(document, "suites", suite, index, "name") or "" for index in measured]
    for _, table in texts(document, "variants", variant, "card", "tables"):
        for index, _ in enumerate(items(document, "tables", table, "columns")):
            column = ("tables", table, "columns", index)
            metrics = [metric for _, metric in texts(document, *column, "mean")]
            metrics.append(text(document, *column, "metric") or "")
            tasks += [split_reported(metric)[0] for metric in metrics]
    return list(dict.fromkeys(task for task in tasks if task))
