"""The parts of a plan in words, for the terminal and for Markdown."""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from mbrelease.hub.card_changes import CardChanges, RegionChange
from mbrelease.hub.plan import Plan
from mbrelease.hub.signed_files import SIGNATURE

LONGEST_VALUE = 60
RUN_LINES = 12
"""Of a run of lines that go, or come, in a diff that is too long."""
_TAGS_SHOWN = 3


def size_words(size_bytes: int) -> str:
    """Bytes as people say them, in powers of ten."""
    for unit, factor in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if size_bytes >= factor:
            return f"{size_bytes / factor:.1f} {unit}"
    return f"{size_bytes} B"


def folder_words(plan: Plan) -> str:
    """The folder as readers elsewhere may see it: from here, or by its name alone."""
    folder = plan.folder.absolute()
    here = Path.cwd()
    return str(folder.relative_to(here)) if here in folder.parents else folder.resolve().name


def without_place(text: str, plan: Plan) -> str:
    """``text`` without where the folder lies on this machine."""
    return text.replace(str(plan.folder.absolute()), folder_words(plan))


def place_words(plan: Plan) -> str:
    """Where the plan leads: ``branch 'main', on 1f3b0c0a6ad1``."""
    form = "a pull request" if plan.create_pr else f"branch '{plan.revision}'"
    return f"{form}, {_base(plan)}"


def _base(plan: Plan) -> str:
    if plan.not_compared is not None:
        return "not looked at"
    if plan.head is not None:
        return f"on {plan.head[:12]}"
    if plan.repo_exists:
        return "which is empty"
    return "of a new private repository" if plan.private else "of a new repository"


def count_words(plan: Plan) -> str:
    """What the plan would do, in one sentence."""
    if plan.not_compared is not None:
        size = size_words(sum(file.size_bytes for file in plan.files))
        return f"not compared: {plan.not_compared}; {len(plan.files)} files here, {size}"
    parts = [
        f"{len(plan.added)} to add",
        f"{len(plan.changed)} to change",
        *([f"{len(plan.deleted)} to delete"] if plan.deleted else []),
        f"{len(plan.unchanged)} unchanged",
        f"{len(plan.remote_only)} only there (kept)",
    ]
    tag = f"; tag {plan.tag}" if plan.tag else ""
    # Other files need another signature, which is in none of the counts.
    signature = f", and {SIGNATURE}" if plan.sign and plan.to_send else ""
    return f"{', '.join(parts)}; {size_words(plan.bytes_to_send)} to send{signature}{tag}"


def tag_words(plan: Plan) -> str | None:
    """The tags that are there, those of the commit to build on first; ``None`` without one."""
    if not plan.tags:
        return None
    here = [name for name, commit in plan.tags.items() if commit == plan.head]
    names = [f"{name} (this commit)" for name in here]
    names += [name for name in sorted(plan.tags, reverse=True) if name not in here]
    more = f" and {len(names) - _TAGS_SHOWN} more" if len(names) > _TAGS_SHOWN else ""
    return ", ".join(names[:_TAGS_SHOWN]) + more


def value_words(value: Any) -> str:
    """A value of the metadata on one line, cut where it is long."""
    if isinstance(value, str):
        text = value
    elif isinstance(value, list) and all(isinstance(item, str) for item in value):
        text = ", ".join(value)
    else:
        text = json.dumps(value, ensure_ascii=False, default=str)
    text = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)
    return text if len(text) <= LONGEST_VALUE else text[: LONGEST_VALUE - 1] + "…"


def shortened(diff: Sequence[str], most: int) -> tuple[list[str], int]:
    """A unified diff in at most ``most`` lines, and how many of its lines are left out of it.

    Of a long one each run of lines that go, or come, has its first few: where a card is replaced as
    a whole, what comes is seen too.
    """
    if len(diff) <= most:
        return list(diff), 0
    shown: list[str] = []
    told = 0
    for sign, group in groupby(diff, key=lambda line: line[:1]):
        run = list(group)
        keep = RUN_LINES if sign in {"+", "-"} and len(run) > RUN_LINES + 1 else len(run)
        rest = len(run) - keep
        lines = [*run[:keep], *([f"{sign}… {rest} more"] if rest else [])]
        if len(shown) + len(lines) > most:
            break
        shown += lines
        told += keep
    return shown, len(diff) - told


def region_words(card: CardChanges) -> str | None:
    """The generated regions that change, with their lines; ``None`` where none does."""
    if not card.regions:
        return None
    return ", ".join(_region(region) for region in card.regions)


def _region(region: RegionChange) -> str:
    if not region.removed_lines:
        return f"{region.name} +{region.added_lines}"
    if not region.added_lines:
        return f"{region.name} −{region.removed_lines}"
    return f"{region.name} +{region.added_lines} −{region.removed_lines}"
