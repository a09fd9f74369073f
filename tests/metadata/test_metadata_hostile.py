"""Front matter that is broken, huge or meant to do harm: findings, and soon."""

import time

import pytest

from mbrelease.metadata.check import check_metadata
from mbrelease.metadata.front_matter import MAX_CHARACTERS, read_front_matter, yaml_block


def told(text: str) -> list[str]:
    return [str(finding) for finding in check_metadata(text)]


def laughs(levels: int) -> str:
    lines = ["l0: &l0 [ha, ha, ha, ha, ha, ha, ha, ha, ha]"]
    for level in range(1, levels):
        again = ", ".join([f"*l{level - 1}"] * 9)
        lines.append(f"l{level}: &l{level} [{again}]")
    return "---\n" + "\n".join(lines) + "\n---\n"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "README.md:1: README.md has no front matter"),
        ("# Title\n---\nlicense: mit\n---\n", "has no front matter"),
        ("---\nlicense: mit\n", "README.md has no front matter"),
        ("---\n---\n", "README.md:2: README.md has an empty front matter"),
        ("---\n\n  \n---\n", "has an empty front matter"),
        ("---\n- a\n---\n", "README.md:2: the front matter is not a map"),
        ("---\njust text\n---\n", "not a map"),
        ("\n---\nlicense: mit\n---\n", "README.md:1: something stands above"),
        ("--- \nlicense: mit\n---\n", "README.md:1: blanks follow '---'"),
        ("---\nlicense: mit\n---\t\n", "README.md:3: blanks follow '---'"),
        ("\ufeff---\nlicense: mit\n---\n",
         "README.md:1: warning: the file begins with a byte order"),
        ("---\nlicense: [mit\n---\n", "README.md:3:1: front matter: not valid YAML"),
        ("---\ntags:\n\t- x\n---\n", "README.md:3:1: front matter: not valid YAML: tab in the"),
        ("---\nlicense: mit\nlicense: mit\n---\n",
         "README.md:3:1: front matter: key 'license' is given twice, first on line 2"),
        ("---\nx: !!python/object/apply:os.system [id]\n---\n", "tag !!python/object/apply"),
        ("---\nx: &x [*x]\n---\n", "alias *x contains itself"),
        ("---\nx: *y\n---\n", "alias *y is not defined above"),
        ("---\nx: " + "[" * 5000 + "\n---\n", "nested more than 40 deep"),
        ("---\nlicense: mit\n<<<<<<< ours\n=======\n---\n", "merge-conflict marker"),
        ("---\nlicense: m\x00it\n---\n", "control character U+0000"),
        ("---\nlicense: mit\n...\nlicense: gpl\n---\n", "not valid YAML"),
        ("---\n? [a, b]\n: c\n---\n", "a key must be plain text"),
        ("---\nlicense: " + "9" * 5000 + "\n---\n", "is unknown to the Hub"),
        ("---\nlicense: mit\nx: \ud800\n---\n", "not UTF-8"),
        (laughs(12), "aliases repeat more than 100,000 values"),
    ],
)  # fmt: skip
def test_faults_of_the_block(text: str, expected: str) -> None:
    begun = time.perf_counter()
    found = told(text)
    assert any(expected in line for line in found), found
    assert time.perf_counter() - begun < 2
    assert all(line.isprintable() for line in found)


def test_a_huge_block_is_not_even_parsed() -> None:
    text = "---\nlicense: mit\nx: " + "a" * MAX_CHARACTERS + "\n---\n"
    assert told(text) == [
        "README.md:2: the metadata are longer than 1,000,000 characters; mend: shorten them"
    ]


def test_many_results_are_read_in_time() -> None:
    results = "".join(
        f"  - task: {{type: fill-mask}}\n    dataset: {{type: a/b, name: n{number}}}\n"
        f"    metrics: [{{type: loss, value: {number}.5}}]\n"
        for number in range(1000)
    )
    begun = time.perf_counter()
    assert told(f"---\nlicense: mit\nmodel-index:\n- name: x\n  results:\n{results}---\n") == []
    assert time.perf_counter() - begun < 5


@pytest.mark.parametrize("mark", ["\u202e", "\u202b"])
def test_text_that_turns_the_direction_of_others(mark: str) -> None:
    found = told(f"---\nlicense: mit\ntags: ['{mark}drowtfel']\n---\n")
    assert found == [
        "README.md:3: warning: tags[0] holds characters that turn the direction of the text around "
        "them; mend: remove them"
    ]


def test_right_to_left_text_of_itself_is_welcome() -> None:
    assert told("---\nlicense: mit\ntags: [ينشوف, בומה]\n---\n") == []


def test_a_message_shows_what_is_hidden_and_no_more_than_fits() -> None:
    (first, *_) = told(f'---\nlicense: "\\u202Emit\\e[31m{"x" * 10_000}"\n---\n')
    assert "\\u202emit\\x1b[31mx" in first and len(first) < 250
    assert first.isprintable()


def test_windows_line_ends_change_no_line() -> None:
    text = "---\nlicense: mit\ntags: x\n---\n\n# T\n"
    assert told(text.replace("\n", "\r\n")) == told(text)
    assert told(text) == ["README.md:3: tags is 'x' and must be a list of texts"]


def test_the_block_and_where_it_ends() -> None:
    text = "---\nlicense: mit\n# a comment\n---\n\n---\nnot: this\n---\n"
    matter = read_front_matter(text)
    assert (matter.first_line, matter.last_line) == (2, 4)
    assert yaml_block(text) == "license: mit\n# a comment\n"
    assert yaml_block("# none") is None


@pytest.mark.parametrize("size", [10, 100_000])
def test_fences_are_found_in_linear_time(size: int) -> None:
    begun = time.perf_counter()
    told("\n" * size + "-" * size)
    told("---\n" + "a: b\n" * (size // 100))
    assert time.perf_counter() - begun < 3
