"""A project's own templates: one section at a time, and every mistake with its file and line."""

import re
from pathlib import Path

import pytest
from card_projects import Built
from card_reading import body, headings, section
from jinja2 import Environment, meta

from mbrelease.cards.card import render_card
from mbrelease.cards.render import shipped_templates
from mbrelease.errors import UserError


def own(built: Built, name: str, text: str) -> Path:
    path = built.project.root / "templates" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def test_one_section_is_overridden_and_the_others_stay(built: Built) -> None:
    before = body(render_card(built.project, "science"))
    own(built, "sections/limitations.md.j2", "Own words on {{ model.name }}, {{ '*' }}.\n")
    after = body(render_card(built.project, "science"))
    assert section(after, "Limitations").strip() == "Own words on science, \\*."
    assert headings(after) == headings(before)
    for heading in headings(before):
        if heading != "Limitations":
            assert section(after, heading) == section(before, heading)


def test_an_emptied_section_goes_with_its_heading(built: Built) -> None:
    own(built, "sections/citation.md.j2", "{# none #}\n")
    assert "Citation" not in headings(body(render_card(built.project, "science")))


def test_the_frame_can_be_overridden_and_include_shipped_sections(built: Built) -> None:
    own(built, "card.md.j2", '# Mine\n\n{% include "sections/intended_use.md.j2" %}\n')
    assert body(render_card(built.project, "science")) == "\n# Mine\n\n- Search over papers\n"


def test_markdown_of_the_author_is_let_through_on_request(built: Built) -> None:
    own(built, "sections/summary.md.j2", "{{ '[a](b)' }} {{ '[a](b)' | safe }}\n")
    text = section(render_card(built.project, "science"), "Summary")
    assert text.strip() == "\\[a\\](b) [a](b)"


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("fine\n{% if model %}\nnever closed\n", 3, "Unexpected end of template"),
        ("fine\n\n{{ model. }}\n", 3, "expected name or number"),
        ("one\n{{ nobody }}\n", 2, "'nobody' is undefined"),
        ("one\n\n\n{{ model.nothing }}\n", 4, "has no attribute 'nothing'"),
        ("one\n{{ model.sizes.hidden_size }}\n", 2, "this value is not known here"),
        ("{% set x = 1 %}\n{{ x / 0 }}\n", 2, "division by zero"),
        ("one\n{{ model.name | shout }}\n", 2, "No filter named 'shout'"),
        ('one\n{% include "sections/else.md.j2" %}\n', 2, "no template 'sections/else.md.j2'"),
        ("{{ model.__class__ }}\n", 1, "unsafe"),
        ("{{ ''.__class__.__mro__ }}\n", 1, "unsafe"),
        ("\n{{ author.intended_use.__add__(()) }}\n", 2, "unsafe"),
        ("{% set x = [1] %}\n{{ x.append(2) }}\n", 2, "unsafe"),
        ('\n{% include "sections/limitations.md.j2" %}\n', 2, "recursion"),
        ("{% for i in range(10000000) %}{% endfor %}\n", 1, "Range too big"),
    ],
)
def test_a_mistake_has_its_file_and_line(built: Built, text: str, line: int, message: str) -> None:
    path = own(built, "sections/limitations.md.j2", text)
    with pytest.raises(UserError) as error:
        render_card(built.project, "science")
    assert error.value.message.startswith(f"{path}:{line}: ")
    assert message in error.value.message
    assert error.value.exit_code == 2
    assert len(str(error.value).splitlines()) <= 2


def test_a_template_that_is_no_text(built: Built) -> None:
    path = own(built, "sections/limitations.md.j2", "x")
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match="not UTF-8"):
        render_card(built.project, "science")


def test_every_shipped_section_stands_in_the_frame() -> None:
    folder = shipped_templates()
    frame = (folder / "card.md.j2").read_text()
    names = {path.relative_to(folder).as_posix() for path in folder.rglob("sections/*.md.j2")}
    listed = re.findall(r'^  \("(\w+)", "[^"]+"\),$', frame, re.MULTILINE)
    reached: set[str] = set()
    waiting = {f"sections/{name}.md.j2" for name in listed} | literal_includes(frame)
    while waiting:
        reached |= waiting
        texts = [(folder / name).read_text() for name in waiting]
        waiting = {name for text in texts for name in literal_includes(text)} - reached
    assert names == reached


def literal_includes(template: str) -> set[str]:
    found = meta.find_referenced_templates(Environment(autoescape=True).parse(template))
    return {name for name in found if name is not None}


def test_the_docs_list_every_name_of_the_context() -> None:
    import dataclasses

    from mbrelease.cards.context import CardContext

    docs = (Path(__file__).parents[2] / "docs" / "cards.md").read_text()
    for field in dataclasses.fields(CardContext):
        if not field.name.startswith("metadata"):  # of the front matter, which has no template
            assert f"| `{field.name}` |" in docs
