"""A registry being edited: its files with their texts, none of which is written yet.

Each change is spliced into the text of the file that it concerns. The file is read again and must
say what it said with just this change, so that no corner of YAML can make an edit do more, or
less, than it was asked for.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path as FilePath
from pathlib import PurePosixPath
from typing import Any

from mbrelease.errors import UserError
from mbrelease.registry.anchors import held_by_anchor
from mbrelease.registry.document import BOM, Document, Node, parse_document
from mbrelease.registry.folding import changed
from mbrelease.registry.include import join, read_parts
from mbrelease.registry.included_files import matches
from mbrelease.registry.kept import Kept
from mbrelease.registry.mistakes import InvalidRegistry, Mistake, shown_path
from mbrelease.registry.plain import plain
from mbrelease.registry.splice import (
    Path,
    Splice,
    Unsafe,
    appending,
    block,
    indent_step,
    inserting,
    removing,
    renaming,
    replacing,
    spliced,
)

_UNUSUAL = "its surroundings are written in an unusual way"


@dataclass
class _Plan:
    """What becomes of a value: nothing, another value, another key, or changes within."""

    within: dict[str | int, _Plan] = field(default_factory=dict)
    put: list[Any] = field(default_factory=list)
    """The value that takes its place, if one does."""
    gone: bool = False
    key: str | None = None
    """The key that takes the place of its own."""

    def at(self, path: Path) -> _Plan:
        """The plan for what stands at ``path``."""
        plan = self
        for step in path:
            plan = plan.within.setdefault(step, _Plan())
        return plan

    def applied(self, value: Any) -> Any:
        """``value`` as it should be; what does not change is shared, not copied."""
        if self.put:
            return self.put[0]
        if isinstance(value, list):
            pairs = [(item, self.within.get(index)) for index, item in enumerate(value)]
            return [plan.applied(item) if plan else item for item, plan in pairs
                    if plan is None or not plan.gone]  # fmt: skip
        if not isinstance(value, dict) or not self.within:
            return value
        result = {}
        for key, item in value.items():
            plan = self.within.get(key)
            if plan is None:
                result[key] = item
            elif not plan.gone:
                result[plan.key or key] = plan.applied(item)
        for key, plan in self.within.items():
            if key not in value and plan.put:
                result[str(key)] = plan.put[0]
        return result


@dataclass(frozen=True)
class Draft:
    """A registry and the changes made so far."""

    parts: tuple[Document, ...]
    """A document for each file, ``registry.yaml`` first."""
    of_include: tuple[Mistake, ...] = ()
    """What is wrong with ``include``."""

    @classmethod
    def read(cls, path: FilePath) -> Draft:
        """The registry at ``path`` as it is.

        Raises:
            InvalidRegistry: a file of it cannot be parsed.
            UserError: a file cannot be read.
        """
        kept = Kept.read(path)
        parts, mistakes = read_parts(path, parse=parse_document if kept is None else kept.parse)
        return cls(tuple(parts), tuple(mistakes))

    @property
    def path(self) -> FilePath:
        """Of the registry."""
        return self.parts[0].path

    @cached_property
    def whole(self) -> Document:
        """All files together."""
        return join(self.parts, self.of_include)

    def data(self, number: int) -> bytes:
        """The bytes of a file."""
        return _encoded(self.parts[number].text, self.parts[number].has_bom)

    def file_with(self, path: Path) -> int | None:
        """The file that holds ``path``, the first of them where several do."""
        return next((n for n, part in enumerate(self.parts) if part.at(path) is not None), None)

    def put(self, path: Path, value: Any, *, file: int | None = None) -> Draft:
        """With ``value`` at ``path``, making the mappings on the way to it.

        What stands in a file already is changed there; what is new goes into ``file``, or to what
        is nearest to it.

        Raises:
            UserError: the place cannot be edited.
        """
        path, value = plain_path(path), plain(value)
        known = len(path)
        while known and self.whole.at(path[:known]) is None:
            known -= 1
        if file is None:
            file = self.file_with(path[:known]) or 0
        part = self.parts[file]
        known = next(n for n in range(len(path), -1, -1) if part.at(path[:n]) is not None)
        self._no_alias_above(part, path, known if known < len(path) else known - 1, "set")
        # A key without a value, such as ``card:``, is no mapping to put a key in.
        while 0 < known < len(path):
            node = part.at(path[:known])
            if node is None or node.value is not None:
                break
            known -= 1
        for step in reversed(path[known + 1 :]):
            value = {str(step): value}
        place = path[: known + 1]
        node = part.at(place)
        if node is not None and same(node.value, value):
            return self
        try:
            change = replacing if node is not None else inserting
            splice = change(part, place, value)
        except Unsafe as problem:
            raise _unsafe(part, path, "set", str(problem)) from problem
        plan = _Plan()
        plan.at(place).put = [value]
        return self._changed({file: ([splice], plan)}, path, "set")

    def append(self, path: Path, value: Any) -> Draft:
        """With ``value`` at the end of the list at ``path``, which is made if it is not there.

        Raises:
            UserError: the place cannot be edited.
        """
        path, value = plain_path(path), plain(value)
        node = self.whole.at(path)
        if node is None or not isinstance(node.children, list) or not node.children:
            if node is not None and node.value not in (None, []):
                raise _unsafe(self.parts[node.file], path, "add to", "it is no list")
            return self.put(path, [value])
        part = self.parts[node.file]
        self._no_alias_above(part, path, len(path), "set")
        plan = _Plan()
        plan.at(path).put = [[*node.value, value]]
        return self._changed({node.file: ([appending(part, path, value)], plan)}, path, "set")

    def remove(self, path: Path) -> Draft:
        """Without what stands at ``path``.

        Raises:
            UserError: the place cannot be edited.
        """
        file = self.file_with(path)
        assert file is not None
        part = self.parts[file]
        self._no_alias_above(part, path, len(path) - 1, "remove")
        try:
            splices = removing(part, path)
        except Unsafe as problem:
            raise _unsafe(part, path, "remove", str(problem)) from problem
        plan = _Plan()
        plan.at(path).gone = True
        return self._changed({file: (splices, plan)}, path, "remove")

    def rename(self, places: Iterable[tuple[Path, bool]], name: str) -> Draft:
        """With another ``name`` at ``places``, in all files at once.

        Args:
            places: paths, each with whether its key and not its value is the name.
            name: the new one.

        Raises:
            UserError: a place cannot be edited.
        """
        changes: dict[int, tuple[list[Splice], _Plan]] = {}
        path: Path = ()
        for path, is_key in places:
            node = self.whole.key_node(path) if is_key else self.whole.nearest(path)
            splices, plan = changes.setdefault(node.file, ([], _Plan()))
            if is_key:
                plan.at(path).key = name
            else:
                plan.at(path).put = [name]
            above = (self.whole.nearest(path[:depth]) for depth in range(1, len(path)))
            if not any(one.shared for one in above):
                splices.append(renaming(self.parts[node.file], node, name))
            # Else it stands elsewhere: that is a place as well, or the check will tell.
        return self._changed(changes, path, "rename")

    def add_file(self, path: FilePath, shelf: str, name: str, value: Any) -> Draft:
        """With a new file at ``path`` that holds one entry.

        Raises:
            UserError: the value cannot be written as YAML.
        """
        name, value = plain(name), plain(value)
        step = indent_step(self.parts[0])
        lines = [f"{shelf}:", *block(name, value, step, step), ""]
        try:
            new = _parsed("\n".join(lines), False, path, len(self.parts))
        except InvalidRegistry as error:
            raise UserError(f"'{name}' cannot be written as YAML") from error
        # A pattern that found nothing finds this.
        found = self.found_by(path)
        places = [(child.line, child.column) for child in found]
        left = [one for one in self.of_include if (one.line, one.column) not in places]
        return Draft((*self.parts, new), tuple(left))

    def found_by(self, path: FilePath) -> list[Node]:
        """The patterns of ``include`` that a file at ``path`` would be found by."""
        node = self.parts[0].at(("include",))
        children = node.children if node is not None else None
        folder = self.path.resolve().parent
        if not isinstance(children, list) or not path.is_relative_to(folder):
            return []
        name = PurePosixPath(path.relative_to(folder).as_posix())
        return [one for one in children if isinstance(one.value, str) and matches(one.value, name)]

    def _no_alias_above(self, part: Document, path: Path, depth: int, doing: str) -> None:
        for above in range(1, depth + 1):
            node = part.at(path[:above])
            if node is not None and node.shared:
                alias = part.text[node.start : node.end]
                why = f"the alias {alias} stands on the way to it"
                raise _unsafe(part, path, doing, why, path[:above])

    def _changed(
        self, changes: Mapping[int, tuple[Sequence[Splice], _Plan]], path: Path, doing: str
    ) -> Draft:
        """With the splices of each file, if they do what was planned for it."""
        parts = list(self.parts)
        for number, (splices, plan) in changes.items():
            before = self.parts[number]
            try:
                text = spliced(before.text, splices)
                after = changed(before, text)
            except InvalidRegistry as error:
                raise _refused(before, path, doing) from error
            if not same(after.value, plan.applied(before.value)):
                raise _refused(before, path, doing)
            parts[number] = after
        return Draft(tuple(parts), self.of_include)


def same(one: Any, other: Any) -> bool:
    """Whether two values are equal in type, order and content: 1 is not true, nor 1.0."""
    if one is other:
        return True
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        if len(one) != len(other):
            return False
        pairs = zip(one.items(), other.items(), strict=True)
        return all(key == name and same(a, b) for (key, a), (name, b) in pairs)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    return repr(one) == repr(other)  # NaN is NaN, and 0.0 is not -0.0


def _parsed(text: str, has_bom: bool, path: FilePath, number: int) -> Document:
    return parse_document(_encoded(text, has_bom), path, file=number)


def _encoded(text: str, has_bom: bool) -> bytes:
    return ((BOM if has_bom else "") + text).encode()


def plain_path(path: Path) -> list[str | int]:
    """``path`` with steps that can be written.

    Raises:
        UserError: a key cannot.
    """
    return [step if isinstance(step, int) else plain(step) for step in path]


def _refused(part: Document, path: Path, doing: str) -> UserError:
    """Why a change says something else, or nothing, when its text is read."""
    why = held_by_anchor(part, path)
    if why is None:
        return _unsafe(part, path, doing, _UNUSUAL)
    line, column = part.place(path)
    return UserError(
        f"{shown_path(part.path)}:{line}:{column}: cannot {doing} {_dotted(path)}: {why}",
        mend="write out there what it stands for, then try again",
    )


def _dotted(path: Path) -> str:
    return ".".join(map(str, path[2:] or path))


def _unsafe(
    part: Document, path: Path, doing: str, why: str, where: Path | None = None
) -> UserError:
    line, column = part.place(path if where is None else where)
    return UserError(
        f"{shown_path(part.path)}:{line}:{column}: cannot {doing} {_dotted(path)} safely: {why}",
        mend="edit the file by hand",
    )
