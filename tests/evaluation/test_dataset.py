import datetime
import json
import subprocess
import sys

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pydantic import ValidationError

from mbrelease.errors import MissingExtra, UserError
from mbrelease.evaluation.dataset import (
    count_empty,
    data_sha256,
    data_sha256_at_hand,
    locate,
    read_dataset,
)
from mbrelease.registry.tasks import DatasetSplit, SplitFiles


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
        (
            b'{"text": "x"}\n{"text": "\xff"}\n',
            "data.jsonl:2: not UTF-8 text (byte 10 of the line)",
        ),
        ('{"text": "x"}\n\n', "data.jsonl:2:1: not JSON"),
        ('{"id": "2"}\n{"text": "x"}\n', "data.jsonl:2: id '2' stands on line 1 too"),
        ('{"id": 1.5}\n', "data.jsonl:1: id is float, not text or a whole number"),
        ('{"id": ["a"]}\n', "data.jsonl:1: id is list, not text or a whole number"),
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


def test_null_is_not_missing(tmp_path):
    data = read_dataset(write(tmp_path, '{"text": null}\n'))
    for read in (data.texts, data.labels, data.lists):
        with pytest.raises(UserError, match=r"data.jsonl:1: field 'text' is null, not"):
            read("text")


def test_labels_may_be_numbers(tmp_path):
    data = read_dataset(write(tmp_path, '{"kind": 1}\n{"kind": "1"}\n{"kind": true}\n'))
    assert data.labels("kind") == ["1", "1", "True"]
    with pytest.raises(UserError, match="data.jsonl:1: field 'sort' is missing"):
        data.labels("sort")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(UserError, match=r"none\.jsonl does not exist"):
        read_dataset(tmp_path / "none.jsonl")


def test_a_list_is_of_texts_or_whole_numbers(tmp_path):
    lines = '{"tags": ["B-x", 3]}\n{"tags": []}\n{"tags": "B-x"}\n{"tags": [["B-x"]]}\n'
    rows = lines.splitlines(keepends=True)
    assert read_dataset(write(tmp_path, "".join(rows[:2]))).lists("tags") == [["B-x", "3"], []]
    with pytest.raises(UserError, match=r"data.jsonl:1: field 'tags' is str, not a list"):
        read_dataset(write(tmp_path, rows[2])).lists("tags")
    with pytest.raises(UserError, match=r"data.jsonl:1: field 'tags' holds more than texts and"):
        read_dataset(write(tmp_path, rows[3])).lists("tags")


def test_texts_of_white_space_are_kept_and_counted(tmp_path):
    texts = read_dataset(write(tmp_path, '{"a": ""}\n{"a": " \\n\u3000"}\n{"a": "."}\n')).texts("a")
    assert len(texts) == 3
    assert count_empty(texts) == 2


# Parquet

ROWS = [
    {"id": "a", "text": "x", "tags": ["B-x", "O"], "day": datetime.date(2024, 1, 2)},
    {"id": "b", "text": "ü\n", "tags": [], "day": None},
]


def write_parquet(path, rows, **options):
    pq.write_table(pa.Table.from_pylist(rows), path, **options)
    return path


def test_parquet_holds_the_same_rows_as_jsonl(tmp_path):
    data = read_dataset(write_parquet(tmp_path / "data.parquet", ROWS, row_group_size=1))
    assert data.ids == ("a", "b")
    assert data.texts("text") == ["x", "ü\n"]
    assert data.lists("tags") == [["B-x", "O"], []]


@pytest.mark.parametrize("rows", [[{"text": "x"}], [{"text": "x"}] * 3000])
def test_parquet_rows_are_named_by_number(tmp_path, rows):
    path = write_parquet(tmp_path / "data.parquet", [*rows, {"text": None}])
    with pytest.raises(UserError) as caught:
        read_dataset(path).texts("text")
    assert str(caught.value).startswith(f"{path}, row {len(rows) + 1}: field 'text' is null")


def test_a_column_that_is_not_there_is_named_with_those_that_are(tmp_path):
    with pytest.raises(UserError, match=r"row 1: field 'title' is missing\n.*id, text, tags, day"):
        read_dataset(write_parquet(tmp_path / "data.parquet", ROWS)).texts("title")


def test_an_id_that_stands_twice_in_parquet_has_both_rows(tmp_path):
    path = write_parquet(tmp_path / "data.parquet", [{"id": 1}, {"id": 2}, {"id": 1}])
    with pytest.raises(UserError, match=r"data.parquet, row 3: id '1' stands in row 1 too"):
        read_dataset(path)


def test_damaged_parquet_is_a_sentence(tmp_path):
    path = write_parquet(tmp_path / "data.parquet", ROWS)
    whole = path.read_bytes()
    for content in (b"", whole[:-1], whole[: len(whole) // 2], b"PAR1" * 3, b"{}\n"):
        path.write_bytes(content)
        with pytest.raises(UserError, match=r"data.parquet is no Parquet file, or a damaged one"):
            read_dataset(path)
    path.write_bytes(whole[:4] + bytes(len(whole) - 300) + whole[len(whole) - 296 :])
    with pytest.raises(UserError, match=r"data.parquet"):
        read_dataset(path)


def test_parquet_without_rows_or_with_text_that_is_not_utf8_is_a_sentence(tmp_path):
    path = tmp_path / "data.parquet"
    pq.write_table(pa.table({"text": pa.array([], pa.string())}), path)
    with pytest.raises(UserError, match=r"data.parquet is empty"):
        read_dataset(path)
    pq.write_table(pa.table({"text": pa.array([b"ok", b"\xff"]).view(pa.string())}), path)
    with pytest.raises(UserError, match=r"data.parquet, rows 1 to 2: cannot be read: .*utf-8"):
        read_dataset(path)
    with pytest.raises(UserError, match=r"none\.parquet does not exist"):
        read_dataset(tmp_path / "none.parquet")


# Datasets by name


@pytest.fixture(autouse=True)
def own_datasets_cache(tmp_path, monkeypatch):
    import datasets

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "datasets-cache")


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "owls"
    folder.mkdir()
    (folder / "train.jsonl").write_text('{"id": "a", "text": "x", "tags": ["O"]}\n')
    (folder / "validation.jsonl").write_text('{"text": "y", "tags": []}\n' * 2)
    return folder


def test_a_folder_is_loaded_as_a_dataset_relative_to_the_registry(folder, tmp_path):
    data = SplitFiles(dataset="owls", train="train", dev="validation")
    train, dev = (locate(data.name(split), tmp_path) for split in ("train", "dev"))
    assert read_dataset(train).rows == ({"id": "a", "text": "x", "tags": ["O"]},)
    assert read_dataset(dev).ids == ("1", "2")
    with pytest.raises(UserError, match=r"owls, split validation, row 1: field 'no' is missing"):
        read_dataset(dev).texts("no")


def test_the_hash_of_a_dataset_is_that_of_its_rows(folder, tmp_path):
    train = DatasetSplit(str(folder), "train")
    before = data_sha256([train])
    write_parquet(tmp_path / "train.parquet", [{"tags": ["O"], "text": "x", "id": "a"}])
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (tmp_path / "train.parquet").rename(elsewhere / "train.parquet")
    assert data_sha256([DatasetSplit(str(elsewhere), "train")]) == before
    assert data_sha256([train, train]) != before
    (folder / "train.jsonl").write_text('{"id": "a", "text": "z", "tags": ["O"]}\n')
    assert data_sha256([train]) != before


def test_a_split_of_a_split_has_a_hash_of_its_own(folder):
    whole, part = (DatasetSplit(str(folder), split) for split in ("validation", "validation[:1]"))
    assert len(read_dataset(part)) == 1
    assert data_sha256([whole]) != data_sha256([part])


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"split": "dev"}, "split dev: Unknown split"),
        ({"config": "large"}, r"owls \(large\), split train: .*'large' not found"),
        ({"revision": "main"}, "owls at main, split train: a folder has no revision"),
    ],
)
def test_a_dataset_that_does_not_load_is_a_sentence(folder, fields, said):
    with pytest.raises(UserError, match=said):
        read_dataset(DatasetSplit(**({"dataset": str(folder), "split": "train"} | fields)))


def test_a_dataset_of_the_hub_that_is_not_at_hand_is_a_sentence(tmp_path):
    code = (
        "from mbrelease.evaluation.dataset import read_dataset\n"
        "from mbrelease.registry.tasks import DatasetSplit\n"
        "read_dataset(DatasetSplit('owls/none', 'train', revision='abc'))"
    )
    environment = {"HF_HOME": str(tmp_path), "HF_HUB_OFFLINE": "1", "PATH": ""}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True
    )
    *_, error, mend = done.stderr.splitlines()
    assert "UserError: cannot load owls/none at abc, split train: Couldn't reach" in error
    assert "data.dataset" in mend


def test_without_the_library_a_dataset_names_the_extra(folder, monkeypatch):
    train = DatasetSplit(str(folder), "train")
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(MissingExtra, match=r"\[eval\]"):
        read_dataset(train)
    assert data_sha256_at_hand([train]) is None


def test_data_that_are_not_on_this_machine_have_no_hash_there(folder, tmp_path):
    there, gone = folder / "train.jsonl", folder / "gone.jsonl"
    assert data_sha256_at_hand([there]) == data_sha256([there])
    assert data_sha256_at_hand([there, gone]) is None
    # No command but eval asks the Hub for data.
    assert data_sha256_at_hand([there, DatasetSplit("owls/set", "train")]) is None
    local = DatasetSplit(str(folder), "train")
    assert data_sha256_at_hand([local]) == data_sha256([local])


@pytest.mark.parametrize("field", ["config", "revision"])
def test_a_config_or_revision_of_no_dataset_is_a_mistake(field):
    with pytest.raises(ValidationError, match=r"are of a 'dataset', and there is none"):
        SplitFiles.model_validate({"dev": "dev.jsonl", field: "x"})
