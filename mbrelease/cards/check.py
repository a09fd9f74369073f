"""Does a card still say what its records say? Each difference with its line and its record.

A card is checked twice: it is written again from the records and held against the file, line by
line; and each number in the lock is derived once more from the record it names, by other code.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mbrelease.cards.arithmetic import agrees, fields_of, recomputed, same
from mbrelease.cards.card import GENERATED_KEYS, Card, make_card
from mbrelease.cards.fields import read_field
from mbrelease.cards.figures import FIGURES, picture_faults
from mbrelease.cards.lock import Lock, lock_path, read_lock
from mbrelease.cards.told import Derived, Field, Origin, place
from mbrelease.cards.trace import FRONT_MATTER, NUMBER, Number
from mbrelease.cards.write import require_regions
from mbrelease.errors import CheckFailed, UserError
from mbrelease.files import read_json, read_text
from mbrelease.metadata.regions import Page, generated_keys, read_page
from mbrelease.registry.project import Project
from mbrelease.secrets import without_secrets
from mbrelease.selection.decision import read_decision

_SHOWN = 100
_BEFORE = 30


@dataclass(frozen=True)
class Difference:
    """A place where a card and its records part."""

    file: str
    line: int
    message: str
    number: str | None = None
    """As it stands on the page."""
    record: str | None = None
    """The record that says otherwise, with the field."""

    @property
    def sentence(self) -> str:
        """``README.md:57: …``."""
        return f"{self.file}:{self.line}: {self.message}"

    def as_json(self) -> dict[str, Any]:
        """For ``--json``."""
        return asdict(self)


@dataclass(frozen=True)
class Checked:
    """What a check found."""

    card: Path
    variant: str
    written_by: str
    """The version of the mbrelease that wrote the card."""
    numbers: int
    """How many numbers were derived anew."""
    differences: tuple[Difference, ...]


def check_card(project: Project, variant: str, readme: Path) -> Checked:
    """Derive every number of the card at ``readme`` anew, and compare.

    Raises:
        UserError: there is no card or no lock, or the card of another variant; or a mark of a
            region is broken.
    """
    name = project.resolve_name(variant)
    if not readme.is_file():
        raise UserError(f"{readme} is missing", mend=f"mbrelease card {name} -o {readme}")
    lock = read_lock(lock_path(readme))
    if lock.variant != name:
        raise UserError(f"{readme} is the card of '{lock.variant}', not of '{name}'")
    # What somebody typed by mistake goes into no log; no record gives a credential, so it differs.
    text = without_secrets(read_text(readme))
    page = require_regions(read_page(text, str(readme)), readme, text)
    lines = _Lines(str(readme), text)
    found = [
        *_records(lines, page, lock, _Records(project)),
        *_decision(lines, page, lock, project),
    ]
    try:
        fresh = make_card(
            project, name, pictures=lock.pictures.keys(), version=lock.mbrelease_version
        )
    except (UserError, CheckFailed) as error:
        # The lock still tells which numbers it concerns.
        found.append(Difference(str(readme), 1, f"the card cannot be derived: {error.message}"))
    else:
        found = [
            *_front_matter(lines, page, fresh),
            *_regions(lines, page, fresh),
            *found,
            *_results(readme, lock, fresh),
            *_pictures(lines, lock, fresh, readme.parent / FIGURES),
        ]
    # A number that both ways find is told once.
    told = {(one.line, one.number or one.message): one for one in reversed(found)}
    differences = sorted(told.values(), key=lambda one: one.line)
    numbers = sum(number.origin is not None for number in lock.numbers)
    return Checked(readme, name, lock.mbrelease_version, numbers, tuple(differences))


@dataclass(frozen=True)
class _Lines:
    """Where things stand in the file."""

    file: str
    text: str

    def of(self, part: str, name: str | None = None) -> int:
        """The line on which the region ``name`` begins, or the front matter."""
        if name is None:
            return 1
        mark = self.text.index(f"<!-- mbrelease:{name} -->")
        start = self.text.index(part, mark) if part else mark
        return self.text.count("\n", 0, start) + 1


def _front_matter(lines: _Lines, page: Page, fresh: Card) -> Iterator[Difference]:
    old = generated_keys(page.front_matter, GENERATED_KEYS).splitlines()
    new = generated_keys(fresh.front_matter, GENERATED_KEYS).splitlines()
    if old == new:
        return
    where = {text: i for i, text in reversed(list(enumerate(page.front_matter.splitlines(), 1)))}
    for start, stands, expected in _changed(old, new):
        for offset in range(max(len(stands), 1 if expected else 0)):
            this = stands[offset] if offset < len(stands) else None
            that = expected[offset] if offset < len(expected) else None
            at = where.get(this or "", start + offset + 1)
            told = [n for n in fresh.numbers if (n.region, n.line) == (FRONT_MATTER, at)]
            if this is not None and that is not None and told:
                yield from _of_line(lines.file, at, this, that, told)
            else:
                message = _instead(this, that).replace("the card", "the front matter")
                yield Difference(lines.file, at, message)


def _regions(lines: _Lines, page: Page, fresh: Card) -> Iterator[Difference]:
    old, new = page.regions, fresh.page.regions
    for name in old:
        if name not in new:
            message = f"the records give nothing for the section '{name}' any more"
            yield Difference(lines.file, lines.of("", name), message)
    for name in new:
        if name not in old:
            last = lines.text.count("\n")
            yield Difference(lines.file, last, f"the section '{name}' is missing from the card")
    for name, text in old.items():
        if name in new and text != new[name]:
            numbers = [number for number in fresh.numbers if number.region == name]
            first = lines.of(text, name)
            yield from _lines_of_region(lines.file, first, text, new[name], numbers)


def _lines_of_region(
    file: str, first: int, old: str, new: str, numbers: Sequence[Number]
) -> Iterator[Difference]:
    by_line: dict[int, list[Number]] = {}
    for number in numbers:
        by_line.setdefault(number.line, []).append(number)
    fresh = new.split("\n")
    for start, stands, expected, position in _changed_at(old.split("\n"), fresh):
        for offset in range(max(len(stands), 1 if expected else 0)):
            this = stands[offset] if offset < len(stands) else None
            that = expected[offset] if offset < len(expected) else None
            told = by_line.get(position + offset + 1, []) if that is not None else []
            yield from _of_line(file, first + start + offset, this, that, told)


def _of_line(
    file: str, line: int, stands: str | None, expected: str | None, numbers: Sequence[Number]
) -> Iterator[Difference]:
    """How one line differs: in its numbers, in what is bold, or in its words."""
    if stands is None or expected is None:
        record = _recorded(numbers[0].origin) if numbers else None
        yield Difference(file, line, _instead(stands, expected), record=record)
        return
    written, given = NUMBER.findall(stands), NUMBER.findall(expected)
    # A table's columns are as wide as their widest cell: blanks and rules say nothing.
    if _skeleton(stands) == _skeleton(expected) and len(written) == len(given):
        for i, (one, other) in enumerate(zip(written, given, strict=True)):
            if one != other:
                number = numbers[i] if i < len(numbers) else None
                record = _recorded(number.origin) if number else None
                source = f"{record} gives {other}" if record else f"it should be {other}"
                message = f"{one} stands here, and {source}"
                yield Difference(file, line, message, number=one, record=record)
        return
    if _skeleton(stands.replace("**", "")) == _skeleton(expected.replace("**", "")):
        record = _recorded(numbers[0].origin) if numbers else None
        message = f"the best value is not the bold one: {_short(expected)}"
        yield Difference(file, line, message, record=record)
        return
    record = next((_recorded(n.origin) for n in numbers if n.text not in written), None)
    yield Difference(file, line, _instead(stands, expected), record=record)


def _instead(stands: str | None, expected: str | None) -> str:
    if expected is None:
        return f"the records do not give this line: '{_short(stands or '')}'"
    if stands is None:
        return f"the card lacks what the records give: '{_short(expected)}'"
    said = without_secrets(expected)  # before it is cut: a part of a secret looks like none
    one, other = _where_they_part(" ".join(stands.split()), " ".join(said.split()))
    return f"'{one}' stands here, and the card should say '{other}'"


def _where_they_part(one: str, other: str) -> tuple[str, str]:
    """Both texts, from a little before the first place where they differ."""
    pairs = enumerate(zip(one, other, strict=False))
    same_start = next((i for i, (a, b) in pairs if a != b), min(len(one), len(other)))
    start = max(0, one.rfind(" ", 0, max(0, same_start - _BEFORE)) + 1)
    lead = "…" if start else ""
    return lead + _short(one[start:]), lead + _short(other[start:])


def _skeleton(line: str) -> str:
    return "".join(NUMBER.sub("0", line).split()).replace("-", "")


def _short(text: str) -> str:
    text = " ".join(without_secrets(text).split())
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "…"


def _changed(old: list[str], new: list[str]) -> Iterator[tuple[int, list[str], list[str]]]:
    for start, stands, expected, _ in _changed_at(old, new):
        yield start, stands, expected


def _changed_at(old: list[str], new: list[str]) -> Iterator[tuple[int, list[str], list[str], int]]:
    """The stretches that differ, with their places in ``old`` and in ``new``."""
    matcher = difflib.SequenceMatcher(None, _comparable(old), _comparable(new), autojunk=False)
    for kind, i, i_end, j, j_end in matcher.get_opcodes():
        if kind != "equal":
            yield i, old[i:i_end], new[j:j_end], j


def _comparable(lines: list[str]) -> list[str]:
    """Lines with the blanks that only pad a table taken out."""
    return [" ".join(line.replace("-" * 3, "-").split()) for line in lines]


@dataclass(frozen=True)
class _Records:
    """Reads fields of records, each file once."""

    project: Project
    known: dict[str, Any]

    def __init__(self, project: Project) -> None:
        object.__setattr__(self, "project", project)
        object.__setattr__(self, "known", {})

    def read(self, field: Field) -> Any:
        """The value of ``field`` now.

        Raises:
            LookupError: the record or the field is gone.
        """
        content = self._content(field.file)
        if content is None:
            return field.value  # not a record that can be read by fields
        return read_field(content, field.field)

    def _content(self, file: str) -> Any:
        if file not in self.known:
            self.known[file] = self._read(file)
        return self.known[file]

    def _read(self, file: str) -> Any:
        project = self.project
        if file == project.registry_path.name:
            return project.registry.model_dump(mode="json")
        path = project.root / file
        if path.suffix != ".json":
            return None
        if not path.exists():
            raise LookupError(f"{file} is gone")
        try:
            return read_json(path)
        except UserError as error:
            raise LookupError(error.message) from error


def _records(lines: _Lines, page: Page, lock: Lock, records: _Records) -> Iterator[Difference]:
    """The numbers of the lock, each derived once more from its records."""
    regions = page.regions
    first = {name: lines.of(text, name) for name, text in regions.items()}
    lost: dict[str, list[tuple[int, str, str | None]]] = {}
    for number in lock.numbers:
        if number.origin is None:
            continue
        if number.region == FRONT_MATTER:
            line = number.line
        elif number.region in regions:
            line = first[number.region] + number.line - 1
        else:
            continue
        record = _recorded(number.origin)
        try:
            value = recomputed(number.origin, records.read)
        except LookupError as error:
            lost.setdefault(str(error.args[0]), []).append((line, number.text, record))
            continue
        stated = number.origin.value
        if value is not None and stated is not None and not same(value, stated):
            yield Difference(
                lines.file, line,
                f"{number.text} was written when {record} was {stated}, which is {value} now",
                number.text, record,
            )  # fmt: skip
        elif value is not None and not agrees(number.text, value):
            yield Difference(
                lines.file, line, f"{number.text} is no rounding of {value}, from {record}",
                number.text, record,
            )  # fmt: skip

    for reason, numbers in lost.items():
        line, text, record = numbers[0]
        more = f", as of {len(numbers) - 1} other numbers" if len(numbers) > 1 else ""
        message = f"the record of {text} is lost{more}: {record}: {reason}"
        yield Difference(lines.file, line, message, text, record)


def _decision(lines: _Lines, page: Page, lock: Lock, project: Project) -> Iterator[Difference]:
    """What the evidence says otherwise than the decision that the card repeats."""
    path = project.decision(lock.variant)
    if not path.is_file():
        return
    from mbrelease.cards.check_decision import doubts

    try:
        decision = read_decision(path)
    except UserError:
        return  # told already: the card cannot be derived
    file = place(project.root, path).file
    first = {name: lines.of(text, name) for name, text in page.regions.items()}
    shown = {
        field.field: first[number.region] + number.line - 1
        for number in reversed(lock.numbers)
        if number.origin is not None and number.region in first
        for field in fields_of(number.origin)
        if field.file == file
    }
    for doubt in doubts(project, lock.variant, decision):
        line = shown.get(doubt.field, first.get("choice", 1))
        yield Difference(lines.file, line, doubt.message, record=doubt.record)


def _results(readme: Path, lock: Lock, fresh: Card) -> Iterator[Difference]:
    for name in sorted({*lock.results, *fresh.results}):
        path = readme.parent / name
        stands = read_text(path) if path.is_file() else None
        expected = fresh.results.get(name)
        if stands != expected:
            what = "is missing" if stands is None else "is not what the evidence gives"
            yield Difference(str(path), 1, f"this file of results {what}")


def _pictures(lines: _Lines, lock: Lock, fresh: Card, folder: Path) -> Iterator[Difference]:
    shown = [figure for figure in fresh.figures if figure.stem in lock.pictures]
    for fault in picture_faults(shown, folder, lock.pictures):
        stem = next((stem for stem in lock.pictures if f"{FIGURES}/{stem}" in fault), "")
        start = lines.text.find(f"({FIGURES}/{stem}.")
        yield Difference(lines.file, lines.text.count("\n", 0, max(start, 0)) + 1, fault)


def _recorded(origin: Origin | None) -> str | None:
    """The record behind a value, as people look it up."""
    if origin is None:
        return None
    named = [f"{field.file} {field.field}".rstrip() for field in fields_of(origin)]
    if isinstance(origin, Derived):
        shown = " and ".join(named[:2]) + (" and others" if len(named) > 2 else "")
        return f"{origin.how} of {shown}" if shown else origin.how
    return named[0]
