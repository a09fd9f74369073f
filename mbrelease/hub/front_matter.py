"""The YAML between the first two ``---`` lines of a README.md, which the Hub reads as metadata."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import yaml

from mbrelease.hub.problems import Problem

_FRONT_MATTER = re.compile(
    r"\A(?:\ufeff)?---[ \t]*\r?\n(.*?)^---[ \t]*\r?$", re.DOTALL | re.MULTILINE
)
_MEND = "begin it with '---', the metadata as YAML, and '---' (mbrelease card writes it)"


def front_matter(text: str) -> str | None:
    """The YAML text at the head of a README, or ``None`` if there is none."""
    match = _FRONT_MATTER.match(text)
    return match.group(1) if match else None


def readme_problems(path: Path) -> Iterator[Problem]:
    """What is wrong with the metadata of the README at ``path``, without asking a server."""
    try:
        text = path.read_bytes().decode("utf-8")
    except UnicodeDecodeError as error:
        yield Problem(f"README.md is not UTF-8 text (byte {error.start})", "save it as UTF-8")
        return
    content = front_matter(text)
    if content is None:
        yield Problem("README.md has no front matter: the Hub would show no metadata", _MEND)
        return
    try:
        metadata = yaml.safe_load(content)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        # The first line of the YAML is the second of the file.
        where = f":{mark.line + 2}:{mark.column + 1}" if mark else ""
        what = getattr(error, "problem", None) or "not valid YAML"
        yield Problem(f"README.md{where}: front matter: {what}")
        return
    except (ValueError, RecursionError) as error:
        # Such as the date 2024-13-45, a number of 5,000 digits, or lists within lists.
        yield Problem(
            f"README.md: front matter: not valid YAML: {error}", "put the value in quotes"
        )
        return
    if not isinstance(metadata, dict):
        yield Problem("README.md: its front matter is not a map of keys to values", _MEND)
