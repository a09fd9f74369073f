import json

import pytest

from mbrelease.errors import UserError
from mbrelease.evaluation.dataset import read_dataset


def write(tmp_path, text):
    path = tmp_path / "data.jsonl"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def test_ids_are_the_rows_own_or_their_line_numbers(tmp_path):
    data = read_dataset(write(tmp_path, '{"id": "a", "text": "x"}\n{"text": "y"}\n'))
    assert data.ids == ("a", "2")
    assert data.texts("text") == ["x", "y"]


def test_several_fields_are_joined_by_a_newline(tmp_path):
    data = read_dataset(write(tmp_path, '{"a": "x", "b": "y"}\n'))
    assert data.texts(["a", "b"]) == ["x\ny"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"text": "x"}\n{"text": \n', "data.jsonl:2:10: not JSON"),
        ('{"text": "x"}\n[1]\n', "data.jsonl:2: a list where an object is expected"),
        ('{"id": 1}\n{"id": 2}\n{"id": 1}\n', "data.jsonl:3: id '1' stands on line 1 too"),
        ("", "data.jsonl is empty"),
        (b'{"text": "\xff"}\n', "not UTF-8"),
        ('{"text": "x"}\n{"text": "\\ud800"}\n', "data.jsonl:2: half of a surrogate pair"),
        ("[" * 100_000 + "\n", "data.jsonl:1: cannot be read: maximum recursion"),
        ('{"n": ' + "1" * 5000 + "}\n", "data.jsonl:1: cannot be read"),
    ],
)
def test_a_mistake_has_its_line(tmp_path, text, said):
    with pytest.raises(UserError, match="data.jsonl") as caught:
        read_dataset(write(tmp_path, text))
    assert said in str(caught.value)


@pytest.mark.parametrize("odd", ["\u2028", "\u2029", "\x85", "\U0001f642"])
def test_what_json_allows_in_a_text_ends_no_line(tmp_path, odd):
    rows = [{"text": f"a{odd}b"}, {"text": "c"}]
    text = "\r\n".join(json.dumps(row, ensure_ascii=False) for row in rows)
    data = read_dataset(write(tmp_path, "\ufeff" + text))
    assert data.texts("text") == [f"a{odd}b", "c"]


def test_a_pair_of_surrogates_is_a_character_and_a_null_id_is_none(tmp_path):
    data = read_dataset(write(tmp_path, '{"id": null, "text": "\\ud83d\\ude42"}\n{"id": null}\n'))
    assert data.ids == ("1", "2")
    assert data.rows[0]["text"] == "🙂"


def test_a_missing_field_has_its_line_and_names_the_others(tmp_path):
    data = read_dataset(write(tmp_path, '{"text": "x"}\n{"body": "y"}\n'))
    with pytest.raises(UserError, match=r"data.jsonl:2: field 'text' is missing\n.*body"):
        data.texts("text")


def test_labels_may_be_numbers(tmp_path):
    data = read_dataset(write(tmp_path, '{"kind": 1}\n{"kind": "1"}\n{"kind": true}\n'))
    assert data.labels("kind") == ["1", "1", "True"]
    with pytest.raises(UserError, match="data.jsonl:1: field 'sort' is missing"):
        data.labels("sort")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(UserError, match=r"none\.jsonl does not exist"):
        read_dataset(tmp_path / "none.jsonl")
