"""No text of a registry can break a card: not a table, not a heading, not the front matter."""

import types
import typing
from dataclasses import replace
from typing import Any

import pytest
import yaml
from card_projects import REGISTRY, Build, decision, with_settings, write
from card_reading import ISOLATES, body, parse, structure, text_of
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from mbrelease.cards.card import render_card
from mbrelease.cards.escape import code, fenced, markdown, one_line, paragraphs, python_string
from mbrelease.cards.tables import table
from mbrelease.evaluation.reported import ReportedResult, ReportSource, write_reported
from mbrelease.registry.reported_tables import DocumentSet, Peer, ReportedTable
from mbrelease.registry.schema import REPO_ID, CardText, Variant
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
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin in (typing.Union, types.UnionType):
        first = next(a for a in arguments if a is not type(None))
        return _value(first, text)
    if origin is list:
        return [_value(arguments[0], text)]
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return filled(annotation, text)
    by_type: dict[Any, Any] = {str: text, int: 3, float: 0.5, bool: True}
    return by_type[annotation]


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


def project_with(build: Build, text: str) -> Any:
    built = build(decide=False)
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
            task.model_copy(
                update={k: name for k in ("query", "document", "label") if hasattr(task, k)}
            )
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
    return type(built.project)(registry, built.project.registry_path)


@pytest.mark.parametrize("kind", NASTY)
def test_every_text_field_at_once(build: Build, kind: str) -> None:
    """With any text, the card has the elements that it has with plain words, and no others."""
    expected = structure(body(render_card(project_with(build, PLAIN), "science")))
    card = render_card(project_with(build, NASTY[kind]), "science")
    card.encode()  # no lone surrogate is left
    found = structure(body(card))
    assert [token for token in found if "html" in token[0]] == []
    assert found == expected


@pytest.mark.parametrize("kind", NASTY)
def test_front_matter_holds_the_text_and_nothing_else(build: Build, kind: str) -> None:
    card = render_card(project_with(build, NASTY[kind]), "science")
    matter = yaml.safe_load(card.removeprefix("---\n").split("\n---\n", 1)[0])
    assert set(matter) == {
        "language", "license", "library_name", "pipeline_tag", "base_model",
        "base_model_relation", "tags", "model-index",
    } | ({"datasets"} if "datasets" in matter else set())  # fmt: skip
    text = one_line(NASTY[kind])
    assert matter["license"] == text.lower()
    assert matter["tags"] == ["modernbert", text]
    assert matter["model-index"][0]["name"] == text


@pytest.mark.parametrize("kind", NASTY)
def test_the_reader_sees_the_text(build: Build, kind: str) -> None:
    card = body(render_card(project_with(build, NASTY[kind]), "science"))
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
    import re

    assert not any(re.fullmatch(REPO_ID, text) for text in NASTY.values())
