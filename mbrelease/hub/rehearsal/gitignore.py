"""Which files the Hub leaves out of a commit: the rules of ``.gitignore``."""

from __future__ import annotations

import fnmatch

IGNORE_PATH = ".gitignore"


def is_ignored(path: str, rules: str) -> bool:
    """Whether the last rule that matches ``path``, or a folder above it, leaves it out."""
    parts = path.split("/")
    candidates = ["/".join(parts[: length + 1]) for length in range(len(parts))]
    ignored = False
    for line in rules.splitlines():
        rule = line.rstrip()
        if not rule or rule.startswith("#"):
            continue
        again = rule.startswith("!")
        rule = rule.removeprefix("!")
        folders_only = rule.endswith("/")
        # A rule for folders matches what is in them, never a file of that name.
        subjects = candidates[:-1] if folders_only else candidates
        if any(_matches(rule.rstrip("/"), subject) for subject in subjects):
            ignored = not again
    return ignored


def _matches(rule: str, subject: str) -> bool:
    if "/" in rule:
        rule = rule.removeprefix("/")
        return fnmatch.fnmatchcase(subject, rule) or (
            rule.startswith("**/") and fnmatch.fnmatchcase(subject, rule[3:])
        )
    return fnmatch.fnmatchcase(subject.rpartition("/")[2], rule)
