"""Ids of repositories, as the Hub takes them in metadata."""

from __future__ import annotations

import re

# huggingface_hub.utils.validate_repo_id and the Hub's own pattern for metadata.
_REPO_ID = re.compile(r"(?:[\w-]+/)?[\w.-]+", re.ASCII)
_PART = re.compile(r"\w(?:.*\w)?", re.ASCII | re.DOTALL)
MAX_CHARACTERS = 96
_PATH = re.compile(r"[.~]{0,2}[/\\]|[A-Za-z]:[/\\]|.*\\|[^/]*/[^/]*/|.*/\Z", re.DOTALL)


def fault_of_repo_id(repo_id: str) -> str | None:
    """What keeps ``repo_id`` from being ``name`` or ``org/name``, if anything does."""
    if looks_like_path(repo_id):
        return "is a path, and readers of the card do not have it"
    if not _REPO_ID.fullmatch(repo_id):
        return "is no id of a repository"
    if len(repo_id) > MAX_CHARACTERS:
        return f"is longer than {MAX_CHARACTERS} characters"
    if "--" in repo_id or ".." in repo_id:
        return "holds '--' or '..'"
    if not all(_PART.fullmatch(part) for part in repo_id.split("/")) or repo_id.endswith(".git"):
        return "begins or ends with '-' or '.', or ends with '.git'"
    return None


def looks_like_path(text: str) -> bool:
    """Whether ``text`` names a place on a disk: ``./run``, ``/data/x``, ``a/b/c``, ``C:\\x``."""
    return _PATH.match(text) is not None
