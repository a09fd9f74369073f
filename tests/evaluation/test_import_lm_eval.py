"""Files that lm-eval 0.4.13 wrote (its 'dummy' model on tasks of four questions)."""

import json
from pathlib import Path

import pytest

from mbrelease.errors import UserError
from mbrelease.evaluation.importers import lm_eval as importer

FILES = Path(__file__).parent / "harness_files"
WHOLE, LIMITED = FILES / "lm_eval_whole.json", FILES / "lm_eval_limited.json"


def found_in(path):
    return {(one.result.task_name, one.result.metric): one.result for one in importer.read(path)}


def test_every_metric_of_every_task_and_group_is_read():
    found = found_in(WHOLE)
    assert {key: result.value for key, result in found.items()} == {
        ("owls", "acc"): 0.75, ("owls", "acc_norm"): 0.75,
        ("answers", "exact_match.strict-match"): 0.0, ("birds", "acc"): 0.75,
    }  # fmt: skip
    owls = found["owls", "acc"]
    assert (owls.split, owls.n_examples, owls.higher_is_better) == ("validation", 4, True)
    assert owls.source.name == "lm-eval 0.4.13"
    assert owls.details == {"model": "owls/base", "version": 1.0, "n_shot": 0}
    assert found["birds", "acc"].split == "validation"
    assert found["birds", "acc"].n_examples == 4


def test_a_standard_error_of_n_a_is_unknown():
    assert found_in(WHOLE)["owls", "acc"].stderr is None
    assert found_in(LIMITED)["owls", "acc"].stderr == pytest.approx(1 / 3)


def test_a_run_over_a_part_of_the_data_is_marked():
    owls = found_in(LIMITED)["owls", "acc"]
    assert (owls.n_examples, owls.details["limit"], owls.details["n_available"]) == (3, 3.0, 4)


def spoilt(tmp_path, edit):
    content = json.loads(WHOLE.read_text())
    edit(content)
    path = tmp_path / "results.json"
    path.write_text(json.dumps(content))
    return path


def test_of_a_model_on_disk_the_path_is_not_kept(tmp_path):
    path = spoilt(tmp_path, lambda content: content.update(model_name="/home/owl/run"))
    assert "model" not in found_in(path)["owls", "acc"].details


def test_nan_is_refused_with_task_and_metric(tmp_path):
    path = spoilt(tmp_path, lambda c: c["results"]["owls"].update({"acc,none": float("nan")}))
    with pytest.raises(UserError, match="owls, acc,none: nan is not a finite number"):
        importer.read(path)


def test_a_group_that_aggregates_nothing_is_left_out(tmp_path):
    path = spoilt(tmp_path, lambda c: c["results"]["birds"].update({"acc,none": "N/A"}))
    assert ("birds", "acc") not in found_in(path)


@pytest.mark.parametrize("key", ["config", "n-samples", "configs", "higher_is_better"])
def test_a_malformed_file_is_a_sentence(tmp_path, key):
    path = spoilt(tmp_path, lambda content: content.update({key: 3}))
    with pytest.raises(UserError, match="not what lm-eval writes"):
        importer.read(path)
