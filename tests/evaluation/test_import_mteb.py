"""Results that mteb itself wrote."""

import json
import math

import pytest

from mbrelease.errors import UserError
from mbrelease.evaluation.importers import mteb as importer


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """A results folder, written by mteb's own classes. Do not write."""
    from mteb.cache import ResultCache
    from mteb.models.model_meta import ModelMeta
    from mteb.results import TaskResult

    root = tmp_path_factory.mktemp("mteb")
    meta = ModelMeta(
        loader=None, name="owls/base", revision="abc123", release_date=None, languages=None,
        n_parameters=None, memory_usage_mb=None, max_tokens=None, embed_dim=None, license=None,
        open_weights=None, public_training_code=None, public_training_data=None, framework=[],
        similarity_fn_name="cosine", use_instructions=None, training_datasets=None,
    )  # fmt: skip
    english = {
        "hf_subset": "en", "languages": ["eng-Latn"], "main_score": 0.72, "accuracy": 0.8,
        "f1": 0.72, "scores_per_experiment": [{"accuracy": 0.8, "f1": 0.72}], "n_examples": 50,
    }  # fmt: skip
    german = {
        "hf_subset": "de", "languages": ["deu-Latn"], "main_score": 0.5, "f1": 0.5,
        "nauc_f1_max": math.nan, "nauc_f1_std": 0.1,
    }  # fmt: skip
    result = TaskResult(
        dataset_revision="d4d4", task_name="OwlSounds", mteb_version="2.26.0",
        scores={"validation": [english], "test": [english, german]}, evaluation_time=3.5,
    )  # fmt: skip
    ResultCache(root).save_to_cache(result, meta)
    return root / "results" / "owls__base" / "abc123"


def test_every_split_subset_and_metric_is_read_with_its_source(results):
    found = [one.result for one in importer.read(results / "OwlSounds.json")]
    assert {(r.split, r.subset, r.metric): r.value for r in found} == {
        ("validation", "en", "f1"): 0.72, ("validation", "en", "accuracy"): 0.8,
        ("test", "en", "f1"): 0.72, ("test", "en", "accuracy"): 0.8,
        ("test", "de", "f1"): 0.5, ("test", "de", "nauc_f1_std"): 0.1,
    }  # fmt: skip
    first = found[0]
    assert first.task_name == "OwlSounds"
    assert first.source.name == "mteb 2.26.0"
    assert (first.n_examples, first.languages) == (50, ("eng-Latn",))
    assert first.details == {
        "dataset_revision": "d4d4", "model": "owls/base", "model_revision": "abc123",
    }  # fmt: skip


def test_the_main_score_comes_first(results):
    found = [one.result for one in importer.read(results / "OwlSounds.json")]
    assert [r.metric for r in found if r.split == "validation"] == ["f1", "accuracy"]


def test_the_description_of_the_model_is_recognised_and_holds_no_result(results):
    assert importer.recognises(results / "model_meta.json")
    assert importer.read(results / "model_meta.json") == []


def spoilt(results, tmp_path, **entry):
    content = json.loads((results / "OwlSounds.json").read_text())
    content["scores"]["test"][1] |= entry
    path = tmp_path / "OwlSounds.json"
    path.write_text(json.dumps(content))
    return path


@pytest.mark.parametrize("entry", [{"main_score": math.nan}, {"f1": math.nan}, {"f1": 10**400}])
def test_a_result_that_is_no_number_is_refused_with_its_place(results, tmp_path, entry):
    path = spoilt(results, tmp_path, **entry)
    with pytest.raises(UserError, match=rf"test, de, {next(iter(entry))}: .* not a finite"):
        importer.read(path)


def test_a_main_score_that_is_no_metric_gets_a_name(results, tmp_path):
    found = importer.read(spoilt(results, tmp_path, main_score=0.25))
    german = [one.result for one in found if one.result.subset == "de"]
    assert (german[0].metric, german[0].value) == ("score", 0.25)


@pytest.mark.parametrize("entry", [{"hf_subset": ...}, {"languages": 3}])
def test_a_malformed_file_is_a_sentence(results, tmp_path, entry):
    path = spoilt(results, tmp_path)
    content = json.loads(path.read_text())
    for key, value in entry.items():
        content["scores"]["test"][0][key] = value if value is not ... else None
        if value is ...:
            del content["scores"]["test"][0][key]
    path.write_text(json.dumps(content))
    with pytest.raises(UserError, match="not what mteb writes"):
        importer.read(path)


def test_a_file_of_an_old_mteb_is_recognised_and_refused(tmp_path):
    path = tmp_path / "STS12.json"
    path.write_text('{"mteb_dataset_name": "STS12", "mteb_version": "1.0.2", "test": {}}')
    assert importer.recognises(path)
    with pytest.raises(UserError, match=r"before 1\.11"):
        importer.read(path)
