"""Names of variants for models of the Hub."""

from __future__ import annotations

import itertools
import re
from collections.abc import Collection

_OTHER = re.compile(r"[^a-z0-9._-]+")


def variant_name(repo_id: str, taken: Collection[str]) -> str:
    """A name for the model that no variant has: ``org/Owl-Base`` → ``owl-base``.

    Args:
        repo_id: known to be an id.
        taken: names in lower case; names become files, and not every disk tells case.
    """
    account, _, name = repo_id.lower().rpartition("/")
    short = _plain(name)
    long = _plain(f"{account}-{name}") if account else short
    for candidate in itertools.chain([short, long], (f"{long}-{n}" for n in itertools.count(2))):
        if candidate not in taken:
            return candidate
    raise AssertionError


def _plain(text: str) -> str:
    return _OTHER.sub("-", text).strip("._-") or "model"
