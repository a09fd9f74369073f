"""What `mbrelease init --github` puts into a repository: the workflow, and the versions it uses."""

from __future__ import annotations

import re
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path

from mbrelease.files import read_text

WORKFLOW = Path(".github", "workflows", "release.yml")
CONSTRAINTS = Path(".github", "mbrelease-constraints.txt")
_PACKAGE = Path(__file__).resolve().parents[1]
# A rehearsal is needed in forks, a signature where it is wanted.
_EXTRAS = frozenset({"preview", "rehearsal", "sign"})


def github_files() -> dict[Path, str]:
    """The text of each file by its path in a repository."""
    return {WORKFLOW: workflow_text(), CONSTRAINTS: constraints_text()}


def workflow_text() -> str:
    """The release workflow as it is tested here."""
    in_the_wheel = _PACKAGE / "start" / WORKFLOW.name
    return read_text(in_the_wheel if in_the_wheel.is_file() else _PACKAGE.parent / WORKFLOW)


def constraints_text() -> str:
    """The installed versions of all that mbrelease needs without torch, for pip's --constraint."""
    pins = sorted(f"{name}=={version}" for name, version in _needed().items())
    head = "# What the release workflow installs; written by `mbrelease init --github`.\n"
    return head + "".join(f"{pin}\n" for pin in pins)


def _needed() -> dict[str, str]:
    """Every installed distribution below mbrelease's own requirements, with its version."""
    found: dict[str, str] = {}
    waiting = list(_names(metadata.requires("mbrelease") or [], _EXTRAS))
    while waiting:
        name = waiting.pop()
        if name in found or name == "mbrelease":
            continue
        try:
            distribution = metadata.distribution(name)
        except metadata.PackageNotFoundError:  # for another system, or an extra that is not here
            continue
        found[name] = distribution.version
        waiting += _names(distribution.requires or [], frozenset())
    return found


def _names(requirements: Iterable[str], extras: frozenset[str]) -> Iterable[str]:
    """The names in lines such as ``httpx[http2]>=0.27; extra == 'sign'`` (PEP 508)."""
    for line in requirements:
        extra = re.search(r"extra\s*==\s*['\"]([\w.-]+)['\"]", line)
        name = re.match(r"[A-Za-z0-9][A-Za-z0-9._-]*", line)
        if name is not None and (extra is None or extra[1] in extras):
            # As PEP 503 writes a name.
            yield re.sub(r"[-_.]+", "-", name[0]).lower()
