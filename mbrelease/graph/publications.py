"""The tags that variants were last published under, from the receipts beside the registry."""

from __future__ import annotations

from mbrelease.errors import UserError
from mbrelease.files import read_json
from mbrelease.registry.project import Project


def published_tags(project: Project) -> dict[str, str]:
    """The last tag of each repo that a receipt speaks of, by its id in lower case."""
    newest: dict[str, tuple[str, str]] = {}
    for path in sorted(project.receipts.rglob("*.json")) if project.receipts.is_dir() else []:
        try:
            receipt = read_json(path)
        except UserError:
            continue  # a broken receipt proves no publication; `push` tells of it
        told = receipt if isinstance(receipt, dict) else {}
        repo, tag, published = (told.get(key) for key in ("repo_id", "tag", "published"))
        if isinstance(repo, str) and isinstance(tag, str):
            known = newest.get(repo.casefold(), ("", ""))
            newest[repo.casefold()] = max(known, (str(published), tag))
    return {repo: tag for repo, (_, tag) in newest.items()}
