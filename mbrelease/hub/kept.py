"""What a push leaves on the Hub, and would mislead who loads or checks the new release."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from fnmatch import fnmatchcase

from mbrelease.hub.problems import Problem

SINGLE_FILE = "model.safetensors"
INDEX = "model.safetensors.index.json"
_WEIGHTS = re.compile(r"[^/]+\.(safetensors|bin|h5|msgpack)|[^/]+\.(safetensors|bin)\.index\.json")
# Each speaks of the release beside which it was written.
_OF_A_RELEASE = re.compile(r"card\.lock\.json|averaging\.json|\.eval_results/.*")


def matching(paths: Collection[str], patterns: Collection[str]) -> tuple[str, ...]:
    """The ``paths`` that one of ``patterns`` names; ``*`` also stands for ``/``."""
    return tuple(path for path in paths if any(fnmatchcase(path, one) for one in patterns))


def unmatched(paths: Collection[str], patterns: Collection[str]) -> Iterator[str]:
    """A remark for each of ``patterns`` that names nothing."""
    for pattern in patterns:
        if not matching(paths, [pattern]):
            yield f"--delete {pattern} names no file that is only on the Hub"


def shadows(files: Collection[str], kept: Collection[str]) -> Iterator[Problem]:
    """Kept weights that would be loaded in the place of the new ones."""
    # transformers looks for the one file before it looks for the index of several.
    if SINGLE_FILE in kept and INDEX in files:
        yield Problem(
            f"{SINGLE_FILE} would stay on the Hub, and be loaded instead of the shards pushed",
            f"--delete {SINGLE_FILE}",
        )


def leftovers(files: Collection[str], kept: Collection[str], *, has_changes: bool) -> Iterator[str]:
    """A remark on kept files that are of an earlier release.

    Where nothing is sent, what stays is of the very release; a signature is never told of here, for
    one that would be untrue is refused.
    """
    if any(_WEIGHTS.fullmatch(path) for path in files):
        yield from _remark("hold other weights", kept, _WEIGHTS)
    if has_changes:
        yield from _remark("are of another release", kept, _OF_A_RELEASE)


def _remark(what: str, kept: Collection[str], pattern: re.Pattern[str]) -> Iterator[str]:
    found = sorted(path for path in kept if pattern.fullmatch(path))
    if found:
        named = ", ".join(found[:3]) + (f" and {len(found) - 3} more" if len(found) > 3 else "")
        yield f"files that stay on the Hub {what}: {named}; --delete takes them out"
