"""A plan as Markdown: the summary of a job, or a comment on a pull request.

A forge cuts off or refuses what is too long, so each part ends after so many lines and says how
many are left. What a card or a Hub says is shown as text: no markup of it becomes part of the
page, and nobody is notified by an ``@name`` in it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from mbrelease.hub.card_changes import CardChanges, KeyChange
from mbrelease.hub.plan import Plan
from mbrelease.hub.plan_words import (
    count_words,
    folder_words,
    place_words,
    region_words,
    shortened,
    size_words,
    tag_words,
    value_words,
    without_place,
)
from mbrelease.hub.problems import Problem

LONGEST_TEXT = 60_000
MOST_PROBLEMS = 50
MOST_NOTES = 20
MOST_FILES = 60
MOST_KEYS = 40
MOST_DIFF_LINES = 60
LONGEST_LINE = 300
_MARKS = {"passed": "✓", "failed": "✗", "not run": "–"}
_SPECIAL = re.compile(r"([\\`*_{}\[\]<>()#|~$&])")


def plan_markdown(plan: Plan) -> str:
    """The plan with its problems first; ends with a newline.

    A comment on GitHub has room for 65,536 characters, and the text is shorter.
    """
    text = "\n\n".join(
        [f"### Push of {_code(plan.repo_id)}", _verdict(plan), _facts(plan), *_problems(plan)]
    )
    others = [*_checks(plan), *_notes(plan), *_files(plan), *_card(plan.card)]
    left_out = 0
    for part in others:
        if len(text) + len(part) > LONGEST_TEXT:
            left_out += 1
        else:
            text += f"\n\n{part}"
    if left_out:
        text += f"\n\n… and {_counted(left_out, 'part')} too long for this page"
    return f"{text}\n"


def _verdict(plan: Plan) -> str:
    if plan.problems:
        told = f"**{_counted(len(plan.problems), 'problem')}: nothing would be sent.**"
        return (
            told if plan.not_compared is None else f"{told} {_of_machine(plan, count_words(plan))}."
        )
    if plan.has_changes:
        return f"**Ready:** {_text(count_words(plan))}."
    return "**Nothing to send:** every file is there already."


def _facts(plan: Plan) -> str:
    rows = [
        ("from", _code(folder_words(plan))),
        ("to", f"{_text(plan.url)}, {_text(place_words(plan))}"),
        ("tag", _code(plan.tag) if plan.tag else "none"),
        ("tags there", _text(tag_words(plan) or _no_tags(plan))),
        ("as", _text(plan.user or "nobody")),
    ]
    return "\n".join(f"- {name}: {value}" for name, value in rows)


def _no_tags(plan: Plan) -> str:
    return "none" if plan.not_compared is None else "not known"


def _problems(plan: Plan) -> Iterator[str]:
    if plan.problems:
        lines = [_problem(plan, one) for one in plan.problems]
        yield "\n".join(_at_most(lines, MOST_PROBLEMS, "- "))


def _problem(plan: Plan, problem: Problem) -> str:
    told, *listed = (_of_machine(plan, part) for part in problem.parts)
    mend = f"<br>→ {_of_machine(plan, problem.mend)}" if problem.mend else ""
    lines = [f"  - {part}" for part in listed]
    return "\n".join([f"- {told}{mend}", *_at_most(lines, MOST_PROBLEMS, "  - ")])


def _checks(plan: Plan) -> Iterator[str]:
    if plan.checks:
        rows = [
            (f"{_MARKS[one.state]} {one.name}", _of_machine(plan, one.told)) for one in plan.checks
        ]
        yield _table(("check", "found"), rows)


def _files(plan: Plan) -> Iterator[str]:
    sizes = {file.path: size_words(file.size_bytes) for file in plan.files}
    rows = [("add", _code(path), sizes[path]) for path in plan.added]
    rows += [("change", _code(path), sizes[path]) for path in plan.changed]
    rows += [("delete", _code(path), "") for path in plan.deleted]
    rows += [("keep", _code(path), "") for path in plan.remote_only]
    if rows:
        shown = rows[:MOST_FILES]
        left = _left(len(rows) - MOST_FILES, "files")
        yield _folded("Files", _table(("", "file", "size"), shown) + left)


def _card(card: CardChanges | None) -> Iterator[str]:
    if card is None:
        return
    if card.keys:
        rows = [_key(one) for one in card.keys[:MOST_KEYS]]
        left = _left(len(card.keys) - MOST_KEYS, "keys")
        yield _folded("Metadata", _table(("key", "on the Hub", "new"), rows) + left)
    regions = region_words(card)
    if regions is None and not card.text:
        return
    text = [] if regions is None else [f"Generated regions: {_text(regions)}."]
    if card.text:
        lines, count = shortened(card.text, MOST_DIFF_LINES)
        text.append(_fenced([_cut(line) for line in lines]) + _left(count, "lines"))
    yield _folded("Card", "\n\n".join(text))


def _key(change: KeyChange) -> tuple[str, str, str]:
    old, new = ("" if v is None else _text(value_words(v)) for v in (change.old, change.new))
    return _code(change.key), old, new


def _notes(plan: Plan) -> Iterator[str]:
    if plan.notes:
        lines = [f"- {_of_machine(plan, note)}" for note in plan.notes]
        yield "\n".join(_at_most(lines, MOST_NOTES, "- "))


def _left(count: int, what: str) -> str:
    return f"\n\n… and {count} more {what}: `push --plan --json` has all" if count > 0 else ""


def _folded(title: str, text: str) -> str:
    return f"<details><summary>{title}</summary>\n\n{text}\n\n</details>"


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(row) + " |" for row in (columns, ["---"] * len(columns), *rows)]
    return "\n".join(lines)


def _fenced(lines: Sequence[str]) -> str:
    """Lines of a diff; the fence is longer than any in them."""
    longest = max((len(run) for line in lines for run in re.findall("`+", line)), default=0)
    fence = "`" * max(3, longest + 1)
    return "\n".join([f"{fence}diff", *lines, fence])


def _at_most(lines: Sequence[str], most: int, indent: str) -> list[str]:
    if len(lines) <= most:
        return list(lines)
    return [*lines[:most], f"{indent}… and {len(lines) - most} more"]


def _code(text: str) -> str:
    """``text`` as code, in a cell of a table too."""
    return "`" + _cut(" ".join(text.split())).replace("`", "'").replace("|", "\\|") + "`"


def _of_machine(plan: Plan, text: str) -> str:
    """``text`` of this machine as it is, without where the folder lies here."""
    return _text(without_place(text, plan))


def _text(text: str) -> str:
    """``text`` as it is: without markup, on one line."""
    plain = _SPECIAL.sub(r"\\\1", _cut(" ".join(text.split())))
    # An invisible joiner keeps a name from being called.
    return re.sub(r"(?<!\w)@(?=\w)", "@\u2060", plain)


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST_LINE else text[: LONGEST_LINE - 1] + "…"


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}" + ("" if count == 1 else "s")
