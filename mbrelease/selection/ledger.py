"""The ledger of a variant: when its policy was frozen, and each look at the test split.

A line once written stays. Each carries its own sha256 and that of the line before, so an edit, or
a line that is gone, shows. See docs/formats.md.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from mbrelease.errors import UserError
from mbrelease.files import append_line, canonical_json, locked, sha256_json, unreadable
from mbrelease.registry.project import Project
from mbrelease.selection.frozen import Frozen

CHAIN = ("previous", "time", "sha256")
"""What every line has, whatever it tells."""


class _Event(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    policy_sha256: str
    reason: str | None = None
    """Why, in the maintainer's words, where one had to be given."""


class Freeze(_Event):
    """A policy was frozen."""

    kind: Literal["freeze"] = "freeze"
    policy: Frozen


class Look(_Event):
    """A candidate and the reference are measured on test."""

    kind: Literal["look"] = "look"
    chosen: str
    weights_sha256: str
    reference: str
    reference_weights_sha256: str
    tasks: list[str]
    """By name."""

    def is_again(self, other: Look) -> bool:
        """Whether it is ``other`` over again: nobody learns from it what was not known."""
        return (
            self.policy_sha256 == other.policy_sha256
            and self.weights_sha256 == other.weights_sha256
            and self.reference_weights_sha256 == other.reference_weights_sha256
        )


Event = Annotated[Freeze | Look, Field(discriminator="kind")]
_EVENT: TypeAdapter[Freeze | Look] = TypeAdapter(Event)


@dataclass(frozen=True)
class Line:
    """One line of a ledger."""

    time: str
    """UTC, ISO 8601, to the second."""
    sha256: str
    event: Freeze | Look


@dataclass(frozen=True)
class Ledger:
    """All lines of a ledger, the oldest first."""

    lines: tuple[Line, ...]

    @property
    def policy(self) -> Freeze | None:
        """The policy that was frozen last."""
        freezes = [line.event for line in self.lines if isinstance(line.event, Freeze)]
        return freezes[-1] if freezes else None

    @property
    def looks(self) -> list[tuple[str, Look]]:
        """Each look at the test split, with its time."""
        return [(line.time, line.event) for line in self.lines if isinstance(line.event, Look)]

    @property
    def reasons(self) -> list[str]:
        """Every reason that was given, in order."""
        return [line.event.reason for line in self.lines if line.event.reason is not None]

    @property
    def reason_since_last_look(self) -> str | None:
        """Why the policy was changed after the last look, where it was."""
        for line in reversed(self.lines):
            if isinstance(line.event, Look):
                break
            if line.event.reason is not None:
                return line.event.reason
        return None


def ledger_path(project: Project, variant: str) -> Path:
    """The ledger of ``variant``, beside its decision."""
    return project.decision(variant).with_name(f"{variant}.ledger.jsonl")


def reasons(project: Project, variant: str) -> list[str]:
    """Why the policy was changed after a look at test, or test looked at again; in order.

    Raises:
        UserError: no such variant, or its ledger was changed by another hand.
    """
    return read_ledger(ledger_path(project, project.resolve_name(variant))).reasons


def read_ledger(path: Path) -> Ledger:
    """The ledger in ``path``, every line checked; without lines where there is no file.

    Raises:
        UserError: it cannot be read, or a line was changed, removed or cut (``file:line``).
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return Ledger(())
    except OSError as error:
        raise unreadable(path, error) from error
    *texts, rest = data.split(b"\n")
    lines: list[Line] = []
    # An editor may take away the last line break. What then stands there is a whole line or none.
    for number, text in enumerate([*texts, rest] if rest or not texts else texts, start=1):
        try:
            lines.append(_parse(text, lines[-1].sha256 if lines else None))
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"]))
            raise UserError(
                f"{path}:{number}: no line that this mbrelease knows: {where}: {first['msg']}",
                mend="run the mbrelease that wrote it, or a newer one",
            ) from error
        except _Tampered as error:
            cut = number > len(texts) and not text.endswith(b"}")
            raise _broken(path, number, "is cut short" if cut else str(error)) from error
    return Ledger(tuple(lines))


class _Tampered(Exception):
    """A line that is not as it was written."""


def _parse(text: bytes, previous: str | None) -> Line:
    try:
        content: Any = json.loads(text)
        as_written = isinstance(content, dict) and canonical_json(content).encode() == text
    except (ValueError, RecursionError) as error:
        raise _Tampered("was changed after it was written") from error
    if not as_written or content.get("sha256") != _sha256(content):
        raise _Tampered("was changed after it was written")
    if content.get("previous") != previous:
        raise _Tampered("does not follow the line before it: one was removed or changed")
    event = _EVENT.validate_python({k: v for k, v in content.items() if k not in CHAIN})
    if isinstance(event, Freeze) and event.policy.sha256 != event.policy_sha256:
        raise _Tampered("names another policy than it holds")
    return Line(str(content.get("time")), content["sha256"], event)


def _sha256(content: dict[str, Any]) -> str:
    """Of a line without its own hash."""
    return sha256_json({name: value for name, value in content.items() if name != "sha256"})


def _broken(path: Path, number: int, what: str) -> UserError:
    return UserError(
        f"{path}:{number}: this line {what}",
        mend="restore the file as it was, from git or a backup: lines are only ever added to it",
    )


@contextlib.contextmanager
def appending(path: Path) -> Iterator[Ledger]:
    """Hold the ledger in ``path`` alone, to read it and ``append`` to it."""
    with locked(path.with_name(f".{path.name}.lock")):
        yield read_ledger(path)


def append(path: Path, ledger: Ledger, event: Freeze | Look) -> None:
    """Add ``event`` after the last line of ``ledger``, which ``appending`` gave.

    Raises:
        UserError: the folder cannot be written or the disk is full; then nothing was added.
    """
    content = {
        "previous": ledger.lines[-1].sha256 if ledger.lines else None,
        "time": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        **event.model_dump(mode="json", exclude_none=True),
    }
    append_line(path, canonical_json({**content, "sha256": _sha256(content)}))
