"""Hold a document against the schema and say each difference at its place.

pydantic finds the differences; its sentences are for programmers and know no lines, so they
are written anew here.
"""

from __future__ import annotations

import re
import types
from collections.abc import Iterator, Sequence
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError

from mbrelease.errors import did_you_mean
from mbrelease.registry.document import Document
from mbrelease.registry.mistakes import Mistake
from mbrelease.registry.schema import Registry

Path = tuple[str | int, ...]

_WANTED = {
    "string_type": "text",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "int_parsing": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "finite_number": "a finite number",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "list_type": "a list",
    "dict_type": "a mapping (key: value)",
    "model_type": "a mapping (key: value)",
    "model_attributes_type": "a mapping (key: value)",
}
_PATTERNS = {
    "repo": "is no repo id (org/name)",
    "metrics": "is no retrieval metric; there are recall@K, ndcg@K and mrr",
    **dict.fromkeys(
        ("metric", "mean", "sd", "seconds"), "should be task/metric or task[subset]/metric"
    ),
}
_SCALARS = ("str", "int", "float", "bool", "constrained-int", "constrained-float")
_NAME_PATTERN = "may hold letters, digits, '.', '_' and '-', and starts with a letter or digit"


def read_shape(document: Document) -> tuple[Registry | None, list[Mistake]]:
    """The registry in ``document``, or ``None`` and what is wrong with its shape."""
    if not isinstance(document.value, dict):
        wanted = "a registry is a mapping (version: 1, family: …)"
        return None, [document.mistake((), f"{wanted}, not {described(document.value)}")]
    try:
        # Through JSON, because strict validation of plain dictionaries would ask for instances.
        return Registry.model_validate_json(document.as_json, strict=True), []
    except ValidationError as error:
        return None, list(_mistakes(document, error))


def described(value: Any) -> str:
    """A value as a sentence names it: ``the text 'abc'``, ``nothing``, ``a list``."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return f"the number {value}"
    if isinstance(value, str):
        return f"the text '{_short(value)}'"
    return "a list" if isinstance(value, list) else "a mapping"


def _short(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= 40 else text[:39] + "…"


def _mistakes(document: Document, error: ValidationError) -> Iterator[Mistake]:
    """One mistake a place; the branches of a union are told together."""
    found: list[tuple[Path, bool, Any]] = []
    for item in error.errors(include_url=False, include_context=True):
        if item["loc"] == ("variants",) and item["type"] == "missing" and not document.is_whole:
            continue  # they may stand in what could not be read
        path, in_union = _document_path(document, item["loc"])
        found.append((path, in_union, item))
    deeper = {path[:depth] for path, _, _ in found for depth in range(len(path))}
    told: set[Path] = set()
    for path, in_union, item in found:
        if not in_union:
            yield _mistake(document, path, item)
        elif path not in deeper and path not in told:
            told.add(path)
            branches = [other for at, union, other in found if union and at == path]
            yield _union_mistake(document, path, branches)


def _document_path(document: Document, location: Sequence[str | int]) -> tuple[Path, bool]:
    """pydantic's location as a path in the document, and whether a union was passed.

    A location also names the branches of unions, which are nowhere in the document.
    """
    path: list[str | int] = []
    in_union = False
    for index, step in enumerate(location):
        if index == 3 and location[0] == "suites":
            continue  # the type of the task
        node = document.at(path)
        if node is not None and node.child(step) is not None:
            path.append(step)
        elif step != "[key]" and index != len(location) - 1:
            in_union = True
        elif isinstance(step, str) and ("[" in step or step in _SCALARS):
            in_union = step != "[key]"
    return tuple(path), in_union


def _mistake(document: Document, path: Path, item: Any) -> Mistake:
    kind, last = item["type"], item["loc"][-1]
    if kind == "missing":
        return document.mistake(path, f"missing key '{last}'{_inside(path)}", key=True)
    if kind == "extra_forbidden":
        known = _known_keys(document, path[:-1])
        message = f"unknown key '{_short(str(last))}'{_inside(path[:-1])}{_hint(str(last), known)}"
        return document.mistake(path, message, key=True)
    if kind == "union_tag_not_found":
        return document.mistake(path, f"missing key 'type'{_inside(path)}", key=True)
    if kind == "union_tag_invalid":
        expected = item["ctx"]["expected_tags"]
        return document.mistake((*path, "type"), _unknown("type", item["ctx"]["tag"], expected))
    if kind == "literal_error":
        message = _unknown(_label(path), item["input"], item["ctx"]["expected"])
        return document.mistake(path, message)
    if last == "[key]":
        return document.mistake(path, f"name '{_short(str(path[-1]))}' {_NAME_PATTERN}", key=True)
    # What is not there has no place; its key has.
    return document.mistake(path, _value_message(path, item), key=item["input"] is None)


def _value_message(path: Path, item: Any) -> str:
    """What is wrong with a value of the right name in the right place."""
    kind, label, context = item["type"], _label(path), item.get("ctx", {})
    given = described(item["input"])
    if kind in _WANTED:
        quote = _WANTED[kind] == "text" and isinstance(item["input"], bool | int | float)
        hint = "; put it in quotes" if quote else ""
        return f"{label} should be {_WANTED[kind]}, not {given}{hint}"
    if kind == "string_pattern_mismatch":
        key = next((step for step in reversed(path) if isinstance(step, str)), "")
        return f"{label} '{_short(item['input'])}' {_PATTERNS.get(key, _NAME_PATTERN)}"
    if kind == "string_too_short":
        return f"{label} should not be empty"
    for bound, words in (("gt", "more than"), ("ge", "at least"), ("lt", "less than"),
                         ("le", "at most")):  # fmt: skip
        if bound in context:
            return f"{label} should be {words} {context[bound]:g}, not {item['input']}"
    if kind == "too_short":
        return f"{label} should have at least one entry"
    message = item["msg"]
    return f"{label}: {message[0].lower()}{message[1:]}"


def _union_mistake(document: Document, path: Path, branches: list[Any]) -> Mistake:
    """A value that fits no branch: ``checkpoints should be 'all' or a list, not …``."""
    wanted: list[str] = []
    for item in branches:
        if item["type"] == "literal_error":
            wanted.append(item["ctx"]["expected"])
        elif item["type"] in _WANTED:
            wanted.append(_WANTED[item["type"]])
        else:
            return document.mistake(path, _value_message(path, item))
    given = described(branches[0]["input"])
    choice = " or ".join(dict.fromkeys(wanted))
    return document.mistake(path, f"{_label(path)} should be {choice}, not {given}")


def _unknown(label: str, given: Any, expected: str) -> str:
    """``unknown relation 'finetuning', did you mean 'fine-tuning'?``."""
    choices = re.findall(r"'([^']*)'", expected)
    if not isinstance(given, str) or not choices:
        return f"{label} should be {expected}, not {described(given)}"
    return f"unknown {label} '{_short(given)}'{_hint(given, choices)}"


def _hint(given: str, known: list[str]) -> str:
    """``, did you mean 'x'?``, or all that is known."""
    close = did_you_mean(given, known)
    return f", {close}" if close else f"; known are {', '.join(known)}"


def _label(path: Path) -> str:
    """The key of a path; with its index for an item of a list."""
    if not path:
        return "the registry"
    if isinstance(path[-1], int) and len(path) > 1:
        return f"{path[-2]}[{path[-1]}]"
    return str(path[-1])


def _inside(path: Path) -> str:
    """`` of variants.a`` for sentences; empty at the top."""
    text = ""
    for step in path:
        text += f"[{step}]" if isinstance(step, int) else f".{step}" if text else step
    return f" in {text}" if text else ""


def _known_keys(document: Document, path: Path) -> list[str]:
    """The keys that the schema knows at ``path``."""
    annotation: Any = Registry
    for depth, step in enumerate(path):
        annotation = _resolved(annotation, document, path[:depth])
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            annotation = annotation.model_fields[str(step)].annotation
        else:
            annotation = get_args(annotation)[-1]  # of dict[str, X] and list[X]: X
    annotation = _resolved(annotation, document, path)
    return list(getattr(annotation, "model_fields", ()))


def _resolved(annotation: Any, document: Document, path: Path) -> Any:
    """``annotation`` without Annotated, and of a union the member that the document means."""
    while get_origin(annotation) is Annotated:
        annotation = get_args(annotation)[0]
    if get_origin(annotation) not in (Union, types.UnionType):
        return annotation
    members = [member for member in get_args(annotation) if member is not type(None)]
    node = document.at(path)
    kind = node.child("type") if node is not None else None
    for member in members:
        field = getattr(member, "model_fields", {}).get("type")
        if field and kind is not None and kind.value in get_args(field.annotation):
            return member
    return members[0]
