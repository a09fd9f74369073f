"""What people decided about proposals, kept in a file beside the registry, for git."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from pydantic import Field, ValidationError

from mbrelease.errors import UserError, did_you_mean
from mbrelease.files import json_text, locked, read_json, unwritable, write_text
from mbrelease.metadata.finding import shown
from mbrelease.metadata.repo_ids import fault_of_repo_id
from mbrelease.registry.entry import Entry, Name
from mbrelease.registry.mistakes import shown_path
from mbrelease.registry.project import Project
from mbrelease.registry.schema import Architecture, Relation

RELATIONS: tuple[str, ...] = get_args(Relation)
KEYS = (
    "parents", "license", "languages", "architecture", "sources", "released", "supersedes",
)  # fmt: skip
"""What may be skipped of a model."""
_ABOUT = ("base_model", "relation", "new_version", "repo")
"""What check-hub compares besides."""
_SKIPPED = (*KEYS, *_ABOUT)
_SETTINGS = tuple(Architecture.model_fields)


class Answer(Entry):
    """What was decided about one model."""

    relation: Relation | None = None
    """How it was made from its parents."""
    name: Name | None = None
    """Of its variant."""
    skip: list[str] | Literal["all"] = Field(default=[])
    """What is not to be proposed of it: keys, or ``all``."""


class _File(Entry):
    version: Literal[1]
    answers: dict[str, Answer] = Field(default={})


@dataclass(frozen=True)
class Answers:
    """The decisions, by the lower-case id of the model."""

    by_id: Mapping[str, Answer]

    def of(self, repo_id: str) -> Answer:
        """What was decided about a model; an empty answer where nothing was."""
        return self.by_id.get(repo_id.casefold(), Answer())

    def skips(self, repo_id: str, key: str = "") -> bool:
        """Whether a model, or a key of it, is not to be proposed."""
        skip = self.of(repo_id).skip
        if skip == "all" or not key:
            return skip == "all"
        return key in skip or key.partition(".")[0] in skip


def answers_path(project: Project) -> Path:
    """``registry.answers.json``, beside the registry."""
    return project.registry_path.with_suffix(".answers.json")


def read_answers(path: Path) -> Answers:
    """What was decided; nothing where there is no file.

    Raises:
        UserError: the file is wrong.
    """
    return Answers({repo_id.casefold(): answer for repo_id, answer in _read(path).items()})


def keep_answers(path: Path, more: Mapping[str, Mapping[str, Any]]) -> int:
    """Add decisions to the file; returns how many are new.

    Args:
        more: by id, what ``Answer`` has; lists are joined with those that are there.

    Raises:
        UserError: the file is wrong, or cannot be written.
    """
    with locked(path.with_name(f".{path.name}.lock")):
        before = {repo_id: _plain(answer) for repo_id, answer in _read(path).items()}
        known = {repo_id.casefold(): repo_id for repo_id in before}
        after = dict(before)
        changed = 0
        for repo_id, decided in more.items():
            place = known.get(repo_id.casefold(), repo_id)
            joined = _joined(after.get(place, {}), decided)
            changed += joined != after.get(place, {})
            after[place] = joined
        if changed:
            if path.exists() and not os.access(path, os.W_OK):
                raise unwritable(path, PermissionError(13, "it is read-only"))
            value = {"version": 1, "answers": {key: after[key] for key in sorted(after)}}
            write_text(path, json_text(value))
    return changed


def parse_answers(texts: Iterable[str], skips: Iterable[str]) -> dict[str, dict[str, Any]]:
    """The decisions of ``--answer ID.KEY=VALUE`` and ``--skip ID[.KEY]``.

    Raises:
        UserError: one is not of that form.
    """
    found: dict[str, dict[str, Any]] = {}
    for text in texts:
        target, equals, value = text.partition("=")
        repo_id, _, key = target.rpartition(".")
        if not equals or key not in ("relation", "name"):
            raise UserError(f"--answer {shown(text)[1:-1]} is no answer", mend=_ANSWER)
        _check_id(repo_id)
        if key == "relation" and value not in RELATIONS:
            mend = did_you_mean(value, RELATIONS) or f"one of {', '.join(RELATIONS)}"
            raise UserError(f"{shown(value)} is no relation", mend=mend)
        try:
            Answer.model_validate({key: value})
        except ValidationError as error:
            mend = "use letters, digits, '.', '_' and '-'"
            raise UserError(f"{shown(value)} is no name for a variant", mend=mend) from error
        found.setdefault(repo_id, {})[key] = value
    for text in skips:
        repo_id, skip = _skipped(text)
        before = found.setdefault(repo_id, {}).get("skip", [])
        found[repo_id]["skip"] = "all" if "all" in (skip, before) else [*before, skip]
    return found


_ANSWER = "write ID.relation=RELATION or ID.name=NAME, such as org/model.relation=fine-tuning"


def _skipped(text: str) -> tuple[str, str]:
    """The id, and the key or ``all``: ids hold dots, so keys are known words."""
    for key in _SKIPPED:
        if text.endswith(f".{key}"):
            return _check_id(text.removesuffix(f".{key}")), key
    repo_id, dot, setting = text.partition(".architecture.")
    if dot:
        if setting not in _SETTINGS:
            mend = did_you_mean(setting, _SETTINGS)
            raise UserError(f"architecture has no setting {shown(setting)}", mend=mend)
        return _check_id(repo_id), f"architecture.{setting}"
    return _check_id(text), "all"


def _check_id(repo_id: str) -> str:
    fault = fault_of_repo_id(repo_id)
    if fault is not None:
        raise UserError(f"{shown(repo_id)} {fault}", mend="give ORG/NAME, as on the Hub")
    return repo_id


def _read(path: Path) -> dict[str, Answer]:
    if not path.exists():
        return {}
    value = read_json(path)
    try:
        return _File.model_validate(value).answers
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise UserError(
            f"{shown_path(path)}: {where}: {first['msg']}", mend="mend it, or delete the entry"
        ) from error


def _plain(answer: Answer) -> dict[str, Any]:
    return answer.model_dump(mode="json", exclude_defaults=True)


def _joined(before: Mapping[str, Any], more: Mapping[str, Any]) -> dict[str, Any]:
    joined = {**before, **more}
    if "skip" in more:
        joined["skip"] = _skips([*_skip_list(before), *_skip_list(more)])
    return joined


def _skip_list(answer: Mapping[str, Any]) -> Sequence[str]:
    skip = answer.get("skip", [])
    return [skip] if isinstance(skip, str) else skip


def _skips(keys: Sequence[str]) -> list[str] | str:
    return "all" if "all" in keys else sorted(set(keys))
