import json
from dataclasses import replace
from multiprocessing import get_context
from types import SimpleNamespace

import pyarrow as pa
import pytest

from mbrelease.errors import UserError
from mbrelease.evaluation.comparable import comparable_records
from mbrelease.evaluation.evidence import (
    EvidenceRecord,
    Provenance,
    find_record,
    read_examples,
    read_records,
    task_file,
    write_record,
)

WEIGHTS = "a" * 64
EXAMPLES = pa.table({"id": ["x", "y"], "rank": [1, 3]})


def provenance(**fields):
    known = {
        "weights_sha256": WEIGHTS,
        "tokenizer_sha256": "b" * 64,
        "config_sha256": "c" * 64,
        "data_sha256": "d" * 64,
        "task_sha256": "e" * 64,
        "attn": "sdpa",
        "dtype": "float32",
        "device": "cpu",
        "code_version": 1,
        "software": {"torch": "2"},
    }
    return Provenance(**(known | fields))


def record(split="dev", value=0.5, **fields):
    return EvidenceRecord(
        task_name="find",
        split=split,
        main_score=value,
        metrics={"recall_at_1": value, "mrr": 0.75},
        n_examples=2,
        ci95={"recall_at_1": (0.1, 0.9)},
        experiments=({"seed": 0, "macro_f1": 0.25},),
        counts={"truncated": 1},
        provenance=provenance(**fields),
        languages=("en",),
        evaluation_time_seconds=1.5,
    )


def test_what_is_written_is_read(tmp_path):
    stored = write_record(tmp_path, record(), EXAMPLES)
    assert read_records(tmp_path, WEIGHTS, "find") == [stored]
    assert read_examples(stored).equals(EXAMPLES)


def test_the_file_is_mtebs_layout(tmp_path):
    write_record(tmp_path, record(), EXAMPLES)
    content = json.loads((tmp_path / WEIGHTS[:16] / "find.json").read_text())
    assert content["task_name"] == "find"
    entry = content["scores"]["dev"][0]
    assert entry["hf_subset"] == "default"
    assert entry["main_score"] == entry["recall_at_1"] == 0.5


@pytest.mark.parametrize(
    "changed",
    [
        "weights_sha256", "tokenizer_sha256", "config_sha256", "data_sha256", "task_sha256",
        "attn", "dtype", "device",
    ],
)  # fmt: skip
def test_all_that_could_change_a_number_changes_the_key(changed):
    assert provenance(**{changed: "other"}).key != provenance().key


def test_the_code_version_changes_the_key_and_the_software_does_not():
    assert provenance(code_version=2).key != provenance().key
    assert provenance(software={}).key == provenance().key


def test_records_of_another_split_or_backend_stay(tmp_path):
    for one in (record(), record(split="test"), record(dtype="bfloat16")):
        write_record(tmp_path, one, EXAMPLES)
    write_record(tmp_path, record(value=0.25), EXAMPLES)
    found = read_records(tmp_path, WEIGHTS, "find")
    assert len(found) == 3
    assert find_record(tmp_path, WEIGHTS, "find", "dev", provenance().key).main_score == 0.25
    assert find_record(tmp_path, WEIGHTS, "find", "test", provenance().key).main_score == 0.5


def test_changed_examples_are_refused(tmp_path):
    stored = write_record(tmp_path, record(), EXAMPLES)
    path = stored.file.parent / stored.per_example.path
    path.write_bytes(path.read_bytes()[:-1] + b"!")
    with pytest.raises(UserError, match="was changed after it was measured"):
        read_examples(stored)


def test_examples_that_are_gone_have_a_mend(tmp_path):
    stored = write_record(tmp_path, record(), EXAMPLES)
    stored.examples_file.unlink()
    with pytest.raises(UserError, match=r"parquet is missing.*\n.*'mbrelease eval' again"):
        read_examples(stored)


def test_a_file_that_was_cut_has_a_mend(tmp_path):
    write_record(tmp_path, record(), EXAMPLES)
    path = task_file(tmp_path, WEIGHTS, "find")
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(UserError, match=r"find\.json:\d+:\d+: not JSON.*\n.*measure again"):
        read_records(tmp_path, WEIGHTS, "find")


def test_nothing_lies_beside_the_files_that_people_commit(tmp_path):
    stored = write_record(tmp_path, record(), EXAMPLES)
    assert {path.name for path in stored.file.parent.iterdir()} == {
        "find.json", stored.per_example.path
    }  # fmt: skip
    assert (tmp_path / ".jobs" / ".gitignore").read_text() == "*\n"


def test_a_malformed_file_is_named(tmp_path):
    write_record(tmp_path, record(), EXAMPLES)
    path = task_file(tmp_path, WEIGHTS, "find")
    content = json.loads(path.read_text())
    del content["scores"]["dev"][0]["provenance"]["attn"]
    path.write_text(json.dumps(content))
    with pytest.raises(UserError, match=r"find\.json: malformed evidence"):
        read_records(tmp_path, WEIGHTS, "find")


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 10**400, "0.5%"])
def test_a_value_that_is_no_number_is_malformed(tmp_path, value):
    write_record(tmp_path, record(), EXAMPLES)
    path = task_file(tmp_path, WEIGHTS, "find")
    content = json.loads(path.read_text())
    content["scores"]["dev"][0]["recall_at_1"] = value
    path.write_text(json.dumps(content))
    with pytest.raises(UserError, match=r"find\.json: malformed evidence"):
        read_records(tmp_path, WEIGHTS, "find")


def test_a_file_of_other_weights_is_refused(tmp_path):
    write_record(tmp_path, record(), EXAMPLES)
    with pytest.raises(UserError, match="holds a record of weights"):
        read_records(tmp_path, WEIGHTS[:16] + "0" * 48, "find")


def _write(root, number):
    write_record(root, record(task_sha256=f"{number:064}"), EXAMPLES)


def test_processes_that_write_one_file_lose_nothing(tmp_path):
    context = get_context("spawn")
    processes = [context.Process(target=_write, args=(tmp_path, n)) for n in range(6)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert len(read_records(tmp_path, WEIGHTS, "find")) == 6


def model(weights, tokenizer="b" * 64, config="c" * 64):
    """What a checkpoint says of itself."""
    return SimpleNamespace(
        weights_sha256=weights, tokenizer_sha256=tokenizer, config=SimpleNamespace(sha256=config)
    )


@pytest.mark.parametrize("changed", ["tokenizer", "config"])
def test_the_same_weights_with_another_config_or_tokenizer_are_another_model(tmp_path, changed):
    versions = {f"{number:064}": number / 10 for number in range(6)}
    for sha256, value in versions.items():
        write_record(tmp_path, record(value=value, **{f"{changed}_sha256": sha256}), EXAMPLES)
    for sha256, value in versions.items():
        one = model(WEIGHTS, **{changed: sha256})
        [found] = comparable_records(tmp_path, [one], "find", "dev")
        assert found.main_score == value
    assert comparable_records(tmp_path, [model(WEIGHTS)], "find", "dev") == [None]


def test_only_records_of_the_same_conditions_are_compared(tmp_path):
    other = "f" * 64
    write_record(tmp_path, record(value=0.1), EXAMPLES)
    write_record(tmp_path, record(value=0.2, dtype="bfloat16"), EXAMPLES)
    write_record(tmp_path, record(value=0.3, weights_sha256=other, dtype="bfloat16"), EXAMPLES)
    models = [model(WEIGHTS), model(other)]
    found = comparable_records(tmp_path, models, "find", "dev")
    assert [one.main_score for one in found] == [0.2, 0.3]
    found = comparable_records(tmp_path, models, "find", "dev", data_sha256="9" * 64)
    assert found == [None, None]


def test_a_loss_that_is_no_number_is_not_written(tmp_path):
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_record(tmp_path, replace(record(), main_score=float("nan")), EXAMPLES)
    assert read_records(tmp_path, WEIGHTS, "find") == []
