"""Which names are allowed: repositories, paths in them, branches and tags."""

from __future__ import annotations

import re

from mbrelease.hub.rehearsal.refusals import Refused

NAME = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9._-]{0,94}[A-Za-z0-9_])?")
COMMIT_ID = re.compile(r"[0-9a-f]{40}")
SHA256 = re.compile(r"[0-9a-f]{64}")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_REFERENCE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._+/-]{0,199}")
MAX_PATH_BYTES = 1024
# Addresses below /api are the Hub's own.
RESERVED_NAMESPACES = frozenset({"api"})


def is_repo_id(repo_id: str) -> bool:
    """Whether ``repo_id`` is ``namespace/name`` as the Hub allows it."""
    namespace, slash, name = repo_id.partition("/")
    return bool(slash) and _is_name(namespace) and _is_name(name) and not name.endswith(".git")


def checked_repo_id(namespace: str, name: str) -> str:
    """``namespace/name``, if both are allowed.

    Raises:
        Refused: 400, one of them is not.
    """
    repo_id = f"{namespace}/{name}"
    if not is_repo_id(repo_id):
        raise Refused(
            400,
            f"Invalid repository id {repo_id!r}: both names need 1 to 96 letters, digits, '-', '_'"
            " or '.', do not begin or end with '-' or '.', hold no '--' or '..', and the name does"
            " not end with '.git'",
        )
    if namespace.lower() in RESERVED_NAMESPACES:
        raise Refused(400, f"The namespace {namespace!r} is reserved")
    return repo_id


def checked_path(path: str) -> str:
    """``path``, if it can stand in a repository.

    Raises:
        Refused: 400, it is absolute, leaves the repository, or is no path at all.
    """
    parts = path.split("/")
    bad = (
        not path
        or len(path.encode("utf-8", "surrogatepass")) > MAX_PATH_BYTES
        or "\\" in path
        or _CONTROL.search(path) is not None
        or not _is_utf8(path)
        or any(part in {"", ".", ".."} or part.lower() == ".git" for part in parts)
    )
    if bad:
        raise Refused(400, f"Invalid path in the repository: {path[:200]!r}")
    return path


def checked_reference(name: str) -> str:
    """``name``, if a branch or tag can have it.

    Raises:
        Refused: 400, it breaks git's rules or looks like a commit id.
    """
    bad = (
        _REFERENCE.fullmatch(name) is None
        or ".." in name
        or "//" in name
        or name.endswith(("/", ".", ".lock"))
        or name.startswith("refs/")
        or COMMIT_ID.fullmatch(name) is not None
    )
    if bad:
        raise Refused(400, f"Invalid name for a branch or tag: {name[:200]!r}")
    return name


def _is_name(name: str) -> bool:
    return NAME.fullmatch(name) is not None and "--" not in name and ".." not in name


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
