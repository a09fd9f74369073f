"""A plan on the terminal, no wider than 80 columns and readable on 40."""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import click

from mbrelease.cli.output import talk
from mbrelease.errors import CheckFailed

if TYPE_CHECKING:
    from mbrelease.hub.card_changes import CardChanges, KeyChange
    from mbrelease.hub.plan import Plan
    from mbrelease.hub.problems import Problem

WIDEST, NARROWEST = 80, 40
MOST_CARD_LINES = 40
MOST_KEYS = 12
MOST_KEPT = 20
MARKS = {"passed": ("✓", "green"), "failed": ("✗", "red"), "not run": ("–", None)}
_COLOURS = {"add": "green", "change": "yellow", "delete": "red"}


def show_plan(plan: Plan) -> None:
    """What would be done on stdout, and what a person is told of it on stderr.

    What stands in the way is not told here: ``require_clean`` tells it last.
    """
    from mbrelease.hub.plan_words import count_words, folder_words, place_words, tag_words

    width = _width()
    _talk(f"{folder_words(plan)} → {plan.url}, {place_words(plan)}", width)
    tags = tag_words(plan)
    if tags is not None:
        _talk(f"tags there: {tags}", width)
    for line in [*_files(plan, width), *_card(plan.card, width), *_checks(plan, width)]:
        click.echo(line)
    _talk(count_words(plan), width)
    for note in plan.notes:
        _talk(f"note: {note}", width, indent="  ")


def require_clean(plan: Plan) -> None:
    """Do nothing if the plan is clean.

    Raises:
        CheckFailed: it is not; every problem is told, and what mends several of them once.
    """
    if len(plan.problems) < 2:
        plan.require_clean()
        return
    lines = "\n".join(_problem_lines(plan.problems, _width()))
    raise CheckFailed(f"{len(plan.problems)} problems; nothing was sent\n{lines}")


def _problem_lines(problems: Sequence[Problem], width: int) -> Iterator[str]:
    for i, problem in enumerate(problems):
        told, *listed = problem.parts
        yield from _wrapped(f"- {told}", width, "  ", "    ")
        for part in listed:
            yield from _wrapped(f"- {part}", width, "    ", "      ")
        follower = problems[i + 1] if i + 1 < len(problems) else None
        if problem.mend is not None and (follower is None or follower.mend != problem.mend):
            yield from _wrapped(f"→ {problem.mend}", width, "    ", "      ")


def _files(plan: Plan, width: int) -> Iterator[str]:
    from mbrelease.hub.plan_words import size_words

    sizes = {file.path: size_words(file.size_bytes) for file in plan.files}
    rows = [("add", path) for path in plan.added]
    rows += [("change", path) for path in plan.changed]
    rows += [("delete", path) for path in plan.deleted]
    rows += [("keep", path) for path in plan.remote_only[:MOST_KEPT]]
    for what, path in rows:
        yield from _file(what, path, sizes.get(path, ""), width)
    yield from _left(len(plan.remote_only) - MOST_KEPT, "kept")


def _file(what: str, path: str, size: str, width: int) -> Iterator[str]:
    """One row; where a path leaves no room for the size, that is in the next.

    A name is only broken where it is wider than the terminal, so that it can be copied.
    """
    room, path = width - 8, _printable(path)
    head = click.style(f"{what:8}", fg=_COLOURS.get(what))
    if len(path) + len(size) + 1 <= room:
        yield f"{head}{path}{size:>{room - len(path)}}".rstrip()
        return
    pieces = _pieces(path, room)
    yield f"{head}{pieces[0]}"
    for piece in pieces[1:]:
        yield f"{'':8}{piece}"
    if size:
        yield f"{size:>{width}}"


def _pieces(path: str, room: int) -> list[str]:
    """The path in pieces of at most ``room``, broken after a folder where that goes."""
    pieces = []
    while len(path) > room:
        end = path.rfind("/", 0, room) + 1 or room
        pieces.append(path[:end])
        path = path[end:]
    return [*pieces, path]


def _card(card: CardChanges | None, width: int) -> Iterator[str]:
    from mbrelease.hub.plan_words import region_words, shortened

    if card is None:
        return
    if card.keys:
        yield "metadata"
        for change in card.keys[:MOST_KEYS]:
            mark, words = _key(change)
            yield from _wrapped(words, width, f"  {mark} ", "      ")
        yield from _left(len(card.keys) - MOST_KEYS)
    if card.text or card.regions:
        yield "card"
        if (regions := region_words(card)) is not None:
            yield from _wrapped(f"generated: {regions}", width, "  ", "      ")
        lines, left = shortened(card.text, MOST_CARD_LINES)
        for line in lines:
            yield f"  {_diff_line(line, width - 2)}".rstrip()
        yield from _left(left)


def _key(change: KeyChange) -> tuple[str, str]:
    """The mark and the words of a change in the metadata."""
    from mbrelease.hub.plan_words import value_words

    if change.old is None:
        return "+", f"{change.key}: {value_words(change.new)}"
    if change.new is None:
        return "-", f"{change.key}: {value_words(change.old)}"
    return " ", f"{change.key}: {value_words(change.old)} → {value_words(change.new)}"


def _diff_line(line: str, width: int) -> str:
    line = _printable(line.replace("\t", " "))
    cut = line if len(line) <= width else line[: width - 1] + "…"
    colour = {"+": "green", "-": "red", "@": "cyan"}.get(line[:1])
    return click.style(cut, fg=colour) if colour else cut


def _printable(text: str) -> str:
    """``text`` without what would disturb a terminal."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def _left(count: int, what: str = "lines") -> Iterator[str]:
    if count > 0:
        yield f"  … and {count} more {what}: --json has all"


def _checks(plan: Plan, width: int) -> Iterator[str]:
    for check in plan.checks:
        mark, colour = MARKS[check.state]
        name = f"{check.name:9}"
        first, *others = _wrapped(check.told, width - 11, "", "") or [""]
        yield f"{click.style(mark, fg=colour)} {name}{first}"
        for line in others:
            yield f"{'':11}{line}"


def _talk(text: str, width: int, indent: str = "") -> None:
    for line in _wrapped(text, width, "", indent or "  "):
        talk(line)


def _wrapped(text: str, width: int, first: str, others: str) -> list[str]:
    """Lines of at most ``width``; a word that is longer, such as an address, is kept whole."""
    return textwrap.wrap(
        text,
        width,
        initial_indent=first,
        subsequent_indent=others,
        break_long_words=False,
        break_on_hyphens=False,
        drop_whitespace=True,
    )


def _width() -> int:
    columns = shutil.get_terminal_size((WIDEST, 24)).columns
    return max(NARROWEST, min(WIDEST, columns))
