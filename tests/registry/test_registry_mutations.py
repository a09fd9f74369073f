"""Whatever is done to a registry, it is valid or the mistakes are told; nothing else happens.

A thousand spoilt registries a run: spoilt as text, as bytes, in a file that another
includes, and by edits of what is spoilt already.
"""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from valid_registry import VALID

from mbrelease.cli.main import main
from mbrelease.errors import UserError
from mbrelease.registry.document import parse_document
from mbrelease.registry.edit import add_variant, set_alias, set_value
from mbrelease.registry.load import load_project, read_registry
from mbrelease.registry.mistakes import InvalidRegistry

ROOT = (Path(__file__).parents[2] / "registry.yaml").read_text(encoding="utf-8")
SUITES, REST = VALID.split("policies:\n")
SPLIT = {
    "registry.yaml": "version: 1\nfamily: Owls\ninclude: [parts/*.yaml, names.yaml]\n",
    "parts/suites.yaml": SUITES.split("family: Owls\n")[1],
    "parts/variants.yaml": "policies:\n" + REST.split("aliases:")[0],
    "names.yaml": "aliases:" + REST.split("aliases:")[1],
}
"""``VALID`` in four files."""

TOKENS = re.compile(r"[\w.@/-]+|[^\w\s]|\s+")
PIECES = st.sampled_from(
    ["", " ", "\n", "\t", ":", ": ", "- ", "{", "}", "[", "]", ",", "#", "&a ", "*a", "!!set ",
     "|\n", '"', "'", "? ", "<<", "null", "true", "no", "1", "-1", "1e999", ".nan", "[]", "{}",
     "base", "\r", "**", "../", '"\\0"', '"\\ud800"', "include: [x]\n", "include: ['*']\n",
     "\x00", "\u2028", "é", "---\n", "variants:\n", "<<<<<<< x\n", "\ud800", "9" * 400]
)  # fmt: skip
BYTES = st.binary(min_size=0, max_size=3) | st.sampled_from(
    [
        b"\xff\xfe",
        b"\xfe\xff",
        b"\xef\xbb\xbf",
        b"\xc3",
        b"\x80",
        b"\r\n",
        b"\r",
        b"\0",
        b"\xed\xa0",
    ]
)


@st.composite
def spoilt(draw: st.DrawFn, *texts: str) -> bytes:
    """One of ``texts`` with up to three of its words lost, doubled or replaced."""
    text = draw(st.sampled_from(texts))
    for _ in range(draw(st.integers(1, 3))):
        spans = [match.span() for match in TOKENS.finditer(text)] or [(0, 0)]
        start, end = spans[draw(st.integers(0, len(spans) - 1))]
        other = spans[draw(st.integers(0, len(spans) - 1))]
        piece = draw(PIECES | st.just(text[slice(*other)]))
        keep = draw(st.sampled_from([start, end]))
        text = text[:keep] + piece + text[end:]
    return text.encode("utf-8", "surrogatepass")


@st.composite
def spoilt_bytes(draw: st.DrawFn) -> bytes:
    """The valid registry in some encoding with bytes lost, put in or cut off."""
    encoding = draw(st.sampled_from(["utf-8", "utf-8", "utf-8", "utf-8-sig", "utf-16", "utf-32"]))
    newline = draw(st.sampled_from(["\n", "\n", "\r\n", "\r"]))
    data = VALID.replace("\n", newline).encode(encoding)
    for _ in range(draw(st.integers(0, 3))):
        start = draw(st.integers(0, len(data)))
        end = min(start + draw(st.sampled_from([0, 1, 2, 50, len(data)])), len(data))
        data = data[:start] + draw(BYTES) + data[end:]
    return data


def check_mistakes(error: InvalidRegistry, data_of: Callable[[Path], bytes]) -> None:
    """Each mistake is said in one line and has a place that is in its file."""
    assert error.mistakes
    for mistake in error.mistakes:
        data = data_of(mistake.path or error.path)
        lines = data.count(b"\n") + data.count(b"\r") + 2 + data.count("\u2028".encode())
        assert 1 <= mistake.line <= lines
        assert mistake.column >= 1
        assert mistake.message
        assert "\n" not in mistake.message


@settings(max_examples=400, deadline=None)
@given(spoilt(VALID, VALID, VALID, ROOT))
def test_a_spoilt_text_is_valid_or_told_about(data):
    try:
        registry = read_registry(parse_document(data, Path("registry.yaml")))
    except InvalidRegistry as error:
        check_mistakes(error, lambda path: data)
    else:
        assert registry.variants is not None


def lint(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """``lint`` ends with 0, 1 or 2, and 1 has mistakes with their places."""
    code = main(["registry", "lint", "--json", str(path)])
    said = capsys.readouterr()
    assert "Traceback" not in said.out + said.err
    if code == 2:
        assert said.err.startswith("error: ") or "\nerror: " in said.err
        return
    answer = json.loads(said.out)
    assert answer["valid"] == (code == 0)
    assert bool(answer["mistakes"]) == (code == 1)
    for mistake in answer["mistakes"]:
        assert min(mistake["line"], mistake["column"]) >= 1


@pytest.fixture(scope="module")
def folder():
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder).resolve()


@settings(max_examples=200, deadline=None)
@given(data=spoilt_bytes())
def test_spoilt_bytes_are_valid_or_told_about_by_lint(folder, data):
    path = folder / "registry.yaml"
    path.write_bytes(data)
    try:
        load_project(path)
    except InvalidRegistry as error:
        check_mistakes(error, lambda path: data)


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_a_spoilt_file_of_several_is_told_about_with_its_name(folder, data):
    root = folder / "split"
    (root / "parts").mkdir(parents=True, exist_ok=True)
    for name, text in SPLIT.items():
        (root / name).write_text(text, encoding="utf-8")
    spoil = data.draw(st.sampled_from(sorted(SPLIT)))
    (root / spoil).write_bytes(data.draw(spoilt(SPLIT[spoil])))
    try:
        project = load_project(root / "registry.yaml")
    except InvalidRegistry as error:
        check_mistakes(error, Path.read_bytes)
    except UserError as error:
        assert "cannot read" in error.message
    else:
        for name in project.registry.variants:
            path, line = project.defined_in(name)
            assert line <= len(path.read_bytes().splitlines()) + 1


EDITS: list[Callable[[Path], object]] = [
    lambda path: set_value(path, "child", "training.tokens", 1_000_000),
    lambda path: set_value(path, "child", "parents.0.relation", "adapter"),
    lambda path: set_value(path, "production", "card", {"summary": "a: b # c"}),
    lambda path: set_alias(path, "newest", "child"),
    lambda path: add_variant(
        path, "new", {"parents": [{"variant": "base", "relation": "merging"}]}
    ),
]


@settings(max_examples=150, deadline=None)
@given(data=spoilt(VALID), edit=st.sampled_from(EDITS))
def test_an_edit_of_a_spoilt_registry_is_whole_or_leaves_it(folder, data, edit):
    path = folder / "registry.yaml"
    path.write_bytes(data)
    try:
        edit(path)
    except UserError as error:
        assert path.read_bytes() == data
        assert error.message
    else:
        load_project(path)


@pytest.mark.parametrize("number", range(3))
def test_lint_tells_what_reading_tells(folder, capsys, number):
    """The same through the command line, a handful of each kind."""
    kinds = [
        spoilt(VALID).map(lambda data: {"registry.yaml": data}),
        spoilt_bytes().map(lambda data: {"registry.yaml": data}),
        spoilt(SPLIT["parts/variants.yaml"]).map(lambda data: {"split/parts/variants.yaml": data}),
    ]

    @settings(max_examples=40, deadline=None)
    @given(files=kinds[number])
    def run(files):
        for name, data in files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(data)
            lint(folder / name, capsys)

    run()
