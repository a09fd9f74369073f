"""How sentence embeddings are pooled, as sentence-transformers saves it."""

from __future__ import annotations

import json

import pytest

from mbrelease.checkpoints.config import normal_form
from mbrelease.errors import UserError
from mbrelease.parity.checks.pooling import check_pooling, pooling_of

FLAGS = ("cls_token", "mean_tokens", "max_tokens", "mean_sqrt_len_tokens", "lasttoken")
CONFIG = {"classifier_pooling": "cls"}


def by_flag(*modes):
    flags = {f"pooling_mode_{flag}": flag in modes for flag in FLAGS}
    return {"word_embedding_dimension": 768, **flags}


def by_name(mode):
    return {"embedding_dimension": 768, "pooling_mode": mode}


def write(folder, pooling, kind="sentence_transformers.models.Pooling"):
    modules = [
        {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"},
        {"idx": 1, "name": "1", "path": "1_Pooling", "type": kind},
    ]
    (folder / "modules.json").write_text(json.dumps(modules))
    (folder / "1_Pooling").mkdir(exist_ok=True)
    (folder / "1_Pooling" / "config.json").write_text(json.dumps(pooling))


def one(folder, raw=CONFIG, **known):
    (result,) = check_pooling(folder, normal_form(raw), **known)
    return result


@pytest.mark.parametrize(
    ("pooling", "mode"),
    [
        (by_flag("cls_token"), "cls"),
        (by_flag("mean_tokens"), "mean"),
        (by_name("cls"), "cls"),
        (by_name(["cls", "mean"]), "cls+mean"),
        (by_flag("cls_token", "max_tokens"), "cls+max"),
    ],
)
def test_flags_and_names_are_read_alike(tmp_path, pooling, mode):
    write(tmp_path, pooling)
    assert pooling_of(tmp_path) == mode


@pytest.mark.parametrize("mode", ["cls", "mean", "lasttoken"])
def test_what_the_installed_sentence_transformers_writes_is_read(tmp_path, mode):
    modules = pytest.importorskip("sentence_transformers.sentence_transformer.modules")
    write(tmp_path, {}, kind=f"{modules.Pooling.__module__}.Pooling")
    modules.Pooling(768, mode).save(str(tmp_path / "1_Pooling"))
    assert pooling_of(tmp_path) == mode


def test_a_folder_without_modules_is_not_asked(tmp_path):
    assert check_pooling(tmp_path, normal_form({})) == []
    assert pooling_of(tmp_path) is None


def test_as_the_parent_is_right_and_otherwise_wrong(tmp_path):
    write(tmp_path, by_flag("cls_token"))
    assert one(tmp_path, parent="cls", relation="averaging").status == "pass"
    wrong = one(tmp_path, parent="mean", relation="averaging")
    assert (wrong.status, wrong.expected) == ("fail", "mean pooling, as the parent's")
    assert wrong.found == "cls pooling"
    assert wrong.mend
    assert one(tmp_path, parent="mean", relation="fine-tuning").status == "pass"
    assert one(tmp_path, parent="mean").status == "fail"


def test_a_classifier_would_pool_otherwise(tmp_path):
    write(tmp_path, by_flag("cls_token"))
    result = one(tmp_path, {"classifier_pooling": "mean"})
    assert result.status == "warn"
    assert '"classifier_pooling": "cls"' in result.mend


@pytest.mark.parametrize(
    ("spoil", "found"),
    [
        (lambda folder: write(folder, by_flag()), "no way of pooling"),
        (
            lambda folder: (folder / "1_Pooling" / "config.json").unlink(),
            "1_Pooling/config.json, which does not exist",
        ),
        (lambda folder: (folder / "modules.json").write_text("{}"), "not a list"),
        (lambda folder: (folder / "modules.json").write_text("["), "not JSON"),
        (lambda folder: write(folder, []), "not a JSON object"),
        (
            lambda folder: write(folder, by_name("cls") | {"embedding_dimension": 384}),
            "the pooling module says 384",
        ),
    ],
)
def test_a_broken_module_is_a_sentence(tmp_path, spoil, found):
    write(tmp_path, by_name("cls"))
    spoil(tmp_path)
    result = one(tmp_path)
    assert result.status == "fail"
    assert found in result.found
    assert result.mend


def test_a_parent_that_is_broken_stops(tmp_path):
    write(tmp_path, by_flag())
    with pytest.raises(UserError, match="no way of pooling"):
        pooling_of(tmp_path)


def test_another_kind_of_pooling_is_left_alone(tmp_path):
    write(tmp_path, {}, kind="sentence_transformers.sparse_encoder.models.SpladePooling")
    assert one(tmp_path).found == "no pooling module"
