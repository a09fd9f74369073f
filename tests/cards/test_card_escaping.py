"""No text of a registry can break a card: not a table, not a heading, not the front matter."""

import copy
import functools
import re
import types
import typing
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from card_projects import REGISTRY, Build, Built, decision, evaluation, notes, with_settings, write
from card_reading import ISOLATES, body, parse, structure, text_of
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from mbrelease.cards.arithmetic import agrees
from mbrelease.cards.card import Card, make_card
from mbrelease.cards.escape import code, fenced, markdown, one_line, paragraphs, python_string
from mbrelease.cards.fields import read_field
from mbrelease.cards.lock import lock_path, read_lock
from mbrelease.cards.tables import table
from mbrelease.cards.told import Field
from mbrelease.cards.trace import NUMBER
from mbrelease.cards.write import write_card
from mbrelease.evaluation.reported import ReportedResult, ReportSource, write_reported
from mbrelease.registry.project import Project
from mbrelease.registry.reported_tables import DocumentSet, Peer, ReportedTable
from mbrelease.registry.schema import REPO_ID, CardText, Variant
from mbrelease.registry.tasks import TaskOnTexts
from mbrelease.selection.decision import Finding, write_decision

PLAIN = "plain words"
NASTY = {
    "pipes": "a | b || c \\| d",
    "html": "<script>alert(1)</script> <!-- x --> <b>b</b> &lt; &amp;",
    "jinja": "{{ 7 * 7 }} {% raw %} {# gone #}",
    "yaml": "key: [value, *alias, &anchor] # comment --- 'quote' \"double\" %tag @at !bang",
    "markdown": "# h *a* _b_ `c` ``d`` ~~e~~ [f](http://g) ![h](i) <http://j>\\k \\\\(l\\\\) $$m$$",
    "lists": "- one\n- two\n+ three\n1. four\n> five\n---\n===\n```\nsix\n```\n    seven",
    "breaks": "one\ntwo\r\nthree\u2028four\x85five\tsix",
    "front matter": "x\n---\nlicense: mine\n---\n# y",
    "right to left": "שלום 123 | עולם مرحبا ٤٥٦",
    "controls": "a\x00b\x1bc\u202ed\ufeffe\ud800f",
    "number": "1. 2) 3",
    "leading rule": "--- not a rule",
    "long": "ab|c`d<e " * 1_112,
    "long word": "x" * 10_000 + "!",
    "entities": "&#92; &lt; &amp;amp; &copy &#x41; \\&#92;",
    "marks of regions": "<!-- /mbrelease:usage -->\n<!-- mbrelease:usage -->\n<!-- x",
    "forged origins": "\ufdd0{}\ufdd1 7\ufdd2 " + "".join(map(chr, range(0xFDD0, 0xFDF0))) + "8",
    "numbers": "1,048 of 0.5% (7) -3 1/2 2e-05 <1% \\5 &#6; ٤٥٦",
    "math": "\\\\(x\\\\) and \\(y\\) and $z$",
}
# Names and choices, not text: they have a form of their own, which the registry checks.
NOT_TEXT = {
    Variant: {"repo", "run", "weights", "parents", "supersedes", "suite", "policy", "candidates"},
    CardText: {"tables", "design_beside"},
}


def filled(model: type[BaseModel], text: str) -> dict[str, Any]:
    """Values for every field of ``model``, with ``text`` wherever text may stand."""
    return {
        name: _value(field.annotation, text)
        for name, field in model.model_fields.items()
        if name not in NOT_TEXT.get(model, ())
    }


def _value(annotation: Any, text: str) -> Any:
    return _values(annotation, text)[0]


def _values(annotation: Any, text: str) -> list[Any]:
    """A value of each type that ``annotation`` allows."""
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin in (typing.Union, types.UnionType):
        return [_value(a, text) for a in arguments if a is not type(None)]
    if origin is typing.Annotated:
        return _values(arguments[0], text)
    if origin is list:
        return [_values(arguments[0], text)]
    return [_plain_value(annotation, text)]


def _plain_value(annotation: Any, text: str) -> Any:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return filled(annotation, text)
    by_type: dict[Any, Any] = {str: text, int: 3, float: 0.5, bool: True}
    return by_type[annotation]


def fields_of_examples(task: type[BaseModel]) -> list[str]:
    """What a task calls the fields of its examples: any text, or several."""
    return [
        name
        for name, field in task.model_fields.items()
        if field.annotation in (str, str | None, list[str] | str) and not field.metadata
    ]


KINDS = {
    typing.get_args(task.model_fields["type"].annotation)[0]: task
    for task in typing.get_args(TaskOnTexts)
}


def reported_tables(text: str) -> dict[str, Any]:
    """Tables of what others report, with ``text`` wherever text may stand."""
    figures = {"title": text, "group": text, "note": text, "labels": {"jay": text}}
    column = {"label": text, "metric": "nests/f1"}
    bands = [{"title": text, "models": ["jay"]}]
    documents = {"title": text, "documents": 3, "tokens": 3, "source": {"name": text}}
    return {
        "peers": {"jay": Peer(title=text, note=text)},
        "document_sets": {"set": DocumentSet.model_validate(documents)},
        "tables": {
            "figures": ReportedTable.model_validate(
                {**figures, "columns": [column], "bands": bands}
            ),
            "sets": ReportedTable(title=text, document_sets=["set"], section="efficiency"),
        },
    }


def project_with(built: Built, text: str) -> Project:
    entry = Variant.model_validate(
        {
            **filled(Variant, text),
            **{key: REGISTRY["variants"]["science"][key] for key in ("repo", "parents")},
            "suite": "science",
            "policy": "science",
        }
    )
    card = entry.card.model_copy(update={"tables": ["figures", "sets"], "design_beside": ["base"]})
    entry = entry.model_copy(update={"card": card})
    variants = {**built.project.registry.variants, "science": entry}
    name = text.replace("\ud800", "")  # the fields of a JSON file, which cannot hold it
    suites = {
        "science": [
            task.model_copy(update=dict.fromkeys(fields_of_examples(type(task)), name))
            for task in built.project.registry.suites["science"]
        ]
    }
    registry = built.project.registry.model_copy(
        update={"variants": variants, "suites": suites, **reported_tables(text)}
    )
    source = ReportSource(None, name, name)
    told = ReportedResult("nests", "test", "f1", 0.5, source)
    write_reported(built.project.evidence, "jay", [told])
    tasks = {task.name: task for task in suites["science"]}
    records = {
        key: write(built.project.evidence, with_settings(found, tasks[key[1]]))
        for key, found in built.records.items()
    }
    built = replace(built, records=records)
    found = {"kind": "flat", "metrics": [], "candidates": [], "numbers": {}}
    given = decision(
        built,
        policy_name=name,
        reasons=[name, name],
        findings=[Finding(sentence=name, **found)],
        warnings=[name],
        reasons_for_second_looks=[name],
    )
    write_decision(built.project.decision("science"), given)
    return Project(registry, built.project.registry_path)


@pytest.fixture(scope="module")
def card_with(
    build_in: Callable[..., Built], tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], tuple[Project, Card]]:
    """The card of a project with a text in every field; made once."""

    @functools.cache
    def make(text: str) -> tuple[Project, Card]:
        built = build_in(tmp_path_factory.mktemp("project"), decide=False)
        project = project_with(built, text)
        return project, make_card(project, "science")

    return make


CardWith = Callable[[str], tuple[Project, Card]]


@pytest.mark.parametrize("kind", NASTY)
def test_every_text_field_at_once(card_with: CardWith, kind: str) -> None:
    """With any text, the card has the elements that it has with plain words, and no others."""
    expected = structure(body(card_with(PLAIN)[1].text))
    card = card_with(NASTY[kind])[1].text
    card.encode()  # no lone surrogate is left
    found = structure(body(card))
    html = {token for token in found if "html" in token[0]}
    assert html <= {
        ("html_inline", tag) for tag in ("<sup>", "</sup>", "<br>")
    }  # of the card's own
    assert found == expected


@pytest.mark.parametrize("kind", NASTY)
def test_front_matter_holds_the_text_and_nothing_else(card_with: CardWith, kind: str) -> None:
    card = card_with(NASTY[kind])[1].text
    matter = yaml.safe_load(card.removeprefix("---\n").split("\n---\n", 1)[0])
    assert set(matter) == {
        "language", "license", "license_name", "license_link", "library_name", "pipeline_tag",
        "base_model", "base_model_relation", "tags", "co2_eq_emissions", "model-index",
    } | ({"datasets"} if "datasets" in matter else set())  # fmt: skip
    text = one_line(NASTY[kind])
    assert matter["license"] == "other"
    assert re.fullmatch(r"[a-z0-9][a-z0-9.-]*", matter["license_name"])
    assert matter["license_link"] == "LICENSE"
    assert matter["language"] == [text]
    assert matter["tags"] == ["modernbert", text]
    assert matter["model-index"][0]["name"] == text
    assert matter["co2_eq_emissions"] == {
        "emissions": 0.5,
        "source": text,
        "geographical_location": text,
        "hardware_used": text,
    }


@pytest.mark.parametrize("kind", NASTY)
def test_writing_twice_changes_nothing(card_with: CardWith, tmp_path: Path, kind: str) -> None:
    project, first = card_with(NASTY[kind])
    readme = tmp_path / "README.md"
    second = make_card(project, "science")
    assert first == second
    assert write_card(first, readme).changed
    assert not write_card(second, readme).changed
    assert readme.read_text(encoding="utf-8") == first.text
    assert read_lock(lock_path(readme)).numbers == first.numbers


@pytest.mark.parametrize("kind", NASTY)
def test_numbers_in_a_text_are_those_of_its_field(card_with: CardWith, kind: str) -> None:
    """They have an origin, and what is behind it says the same; nothing is taken for a number."""
    project, card = card_with(NASTY[kind])
    # Names of languages, of the licence and of other models are shown as names.
    names = {"summary": 7, "limitations": 4, "related": 3, "license": 3, "provenance": 18}
    assert {(n.region, n.line) for n in card.unfounded} <= set(names.items())
    registry = project.registry.model_dump(mode="json")
    checked = 0
    for number in card.numbers:
        origin = number.origin
        if isinstance(origin, Field) and origin.file == "registry.yaml" and origin.value is None:
            value = read_field(registry, origin.field)
            assert agrees(number.text, one_line(value) if isinstance(value, str) else value)
            checked += 1
    assert (checked > 0) == bool(NUMBER.search(markdown(NASTY[kind])))


# What stands on no card, and why.
NOT_SHOWN = {
    "card.intended_use.measured_by",  # names of tasks
    "chosen.recipe", "chosen.note",  # there is a decision
    "card.tables", "card.design_beside",
}  # fmt: skip


def test_every_text_field_stands_on_the_card(build: Build) -> None:
    """So that the tests above are about every one of them, also about those to come."""
    paths: list[str] = []

    def worded(value: Any, path: str) -> Any:
        if isinstance(value, dict):
            return {key: worded(inner, f"{path}.{key}".lstrip(".")) for key, inner in value.items()}
        if isinstance(value, list):
            return [worded(inner, path) for inner in value]
        if value != PLAIN:
            return value
        paths.append(path)
        return f"word{len(paths)}word"

    entry = Variant.model_validate(worded(filled(Variant, PLAIN), ""))
    kept = {name: REGISTRY["variants"]["science"][name] for name in ("repo", "parents")}
    kept |= {"suite": "science", "policy": "science"}
    project = build().project
    science = Variant.model_validate({**entry.model_dump(exclude_unset=True), **kept})
    variants = {**project.registry.variants, "science": science}
    registry = project.registry.model_copy(update={"variants": variants})
    card = make_card(Project(registry, project.registry_path), "science").text
    missing = [path for i, path in enumerate(paths, 1) if f"word{i}word" not in card]
    assert set(missing) == NOT_SHOWN & set(paths)


RETRIEVAL = {"data": {"dev": "d", "corpus": {"documents": "c"}}}
TASKS: list[tuple[str, dict[str, Any]]] = [
    ("mlm", {}),
    ("retrieval", RETRIEVAL),
    ("retrieval", {**RETRIEVAL, "training": {"pairs": {"train": "p"}}}),
    ("classification", {}),
    ("classification", {"training": {}}),
    ("token-classification", {}),
    ("pair", {"kind": "label", "training": {}}),
    ("glue", {"subset": "rte"}),
]


@pytest.mark.parametrize("kind", NASTY)
@pytest.mark.parametrize(("type_", "settings"), TASKS)
def test_the_note_on_a_task_stays_one_sentence(
    type_: str, settings: dict[str, Any], kind: str
) -> None:
    def note(text: str) -> str:
        given = {name: text for name in fields_of_examples(KINDS[type_]) if name != "positive"}
        data = {"train": "t", "dev": "d"}
        return notes(evaluation({"type": type_, "data": data, **settings, **given}))[0]

    tokens = structure(note(PLAIN))
    assert [token for token, _ in tokens] == ["paragraph_open", "inline", "paragraph_close"]
    assert structure(note(NASTY[kind].replace("\ud800", ""))) == tokens


def test_every_kind_of_task_has_its_note_above() -> None:
    assert {type_ for type_, _ in TASKS} == set(KINDS)


@pytest.mark.parametrize("kind", NASTY)
def test_the_reader_sees_the_text(card_with: CardWith, kind: str) -> None:
    card = body(card_with(NASTY[kind])[1].text)
    seen = [text_of(t).translate(ISOLATES) for t in parse(card) if t.type == "inline"]
    text = one_line(NASTY[kind])
    # title, intended use, a limitation and a table cell hold nothing else
    assert sum(" ".join(line.split()) == text for line in seen) >= 4


@given(st.text())
def test_markdown_of_any_text_is_one_paragraph_of_it(text: str) -> None:
    tokens = parse(markdown(text))
    wanted = one_line(text)
    if not wanted:
        return
    assert [token.type for token in tokens] == ["paragraph_open", "inline", "paragraph_close"]
    assert {child.type for child in tokens[1].children or []} <= {"text", "text_special"}
    assert text_of(tokens[1]).translate(ISOLATES).strip() == wanted.translate(ISOLATES).strip()


@given(st.lists(st.lists(st.text(min_size=1), min_size=2, max_size=2), min_size=1, max_size=4))
def test_table_of_any_text_keeps_its_cells(rows: list[list[str]]) -> None:
    whole = table(["left", "right"], [["x", "y"], *rows])
    tokens = parse(whole.markdown)
    cells = [text_of(t).translate(ISOLATES).strip() for t in tokens if t.type == "inline"]
    wanted = [one_line(text).translate(ISOLATES).strip() for row in rows for text in row]
    assert cells[4:] == wanted


@given(st.text(alphabet="`ab \n|<"))
def test_code_of_any_text_is_one_span(text: str) -> None:
    if not one_line(text):
        return
    (_, inline, _) = parse("x " + code(text) + " y")
    spans = [child.content for child in inline.children or [] if child.type == "code_inline"]
    assert spans == [one_line(text)]


@given(st.text(alphabet="`~ab \n<{"))
def test_fence_of_any_text_is_one_block(text: str) -> None:
    tokens = parse(fenced(text, "text") + "\nafter\n")
    assert [token.type for token in tokens][:1] == ["fence"]
    assert len([token for token in tokens if token.type == "fence"]) == 1
    assert text_of(tokens[2]) == "after"


@pytest.mark.parametrize("mark", ["<!-- /mbrelease:citation -->", "<!-- mbrelease:usage -->"])
def test_a_mark_in_a_fenced_block_ends_no_region(build: Build, mark: str) -> None:
    registry = copy.deepcopy(REGISTRY)
    citation = f"@misc{{a,\n{mark}\n}}"
    registry["variants"]["science"]["card"]["citation"] = citation
    card = make_card(build(registry).project, "science")
    assert card.page.regions["citation"] == (
        f"## Citation\n\n```bibtex\n{citation.replace(mark, ' ' + mark)}\n```"
    )


@given(st.text())
def test_python_string_is_a_literal(text: str) -> None:
    import ast

    assert ast.literal_eval(str(python_string(text))) == one_line(text)


def test_blank_lines_part_paragraphs() -> None:
    assert paragraphs("one\ntwo\n\n\nthree *x*") == "one two\n\nthree \\*x\\*"


def test_plain_prose_stays_readable_in_the_file() -> None:
    prose = "The macro_f1 of v1.2 (0.52, up from 0.41) rose by 26 % - see https://a.b/c_d?e=f&g=h."
    assert markdown(prose) == prose


def test_repo_ids_are_the_only_names_kept_as_they_are() -> None:
    assert not any(re.fullmatch(REPO_ID, text) for text in NASTY.values())
