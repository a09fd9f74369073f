"""Files beside a registry that carry the name of a variant, which an edit of it leaves alone.

They are evidence and what was made from it: under version control, often large, and perhaps in
use by a release that runs at this moment. So no edit moves or removes them; it names them.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class NamedFile:
    """A file or folder that is found by the name of a variant."""

    path: Path
    renamed: Path
    """Where it is looked for under another name."""
    says_name: bool
    """Whether the old name stands in it too, so that it has to be made anew and not moved."""


def named_files(root: Path, variant: str, other: str | None = None) -> list[NamedFile]:
    """What there is of ``variant`` below ``root``, the folder of the registry.

    Args:
        root: the folder of the registry.
        variant: whose files are looked for.
        other: the name that they are to have; left out, their own.
    """
    other = variant if other is None else other
    found = [
        NamedFile(root / "evidence" / "reported" / variant,
                  root / "evidence" / "reported" / other, False),
        NamedFile(root / "evidence" / "models" / f"{variant}.json",
                  root / "evidence" / "models" / f"{other}.json", False),
        NamedFile(root / "decisions" / f"{variant}.ledger.jsonl",
                  root / "decisions" / f"{other}.ledger.jsonl", False),
        NamedFile(root / "averages" / variant, root / "averages" / other, False),
        NamedFile(root / "decisions" / f"{variant}.json",
                  root / "decisions" / f"{other}.json", True),
        NamedFile(root / "releases" / variant, root / "releases" / other, True),
    ]  # fmt: skip
    return [file for file in found if file.path.exists()]
