"""`mbrelease normalize` as a person or a CI job calls it."""

from __future__ import annotations

import json
import os
import shutil

import pytest

from mbrelease.cli.main import main
from mbrelease.files import sha256_file


def contents(folder):
    return {file.name: file.read_bytes() for file in folder.iterdir()}


@pytest.fixture
def saved(saved_by_5x, tmp_path):
    """A folder just as transformers 5.x saves it, to be normalized."""
    return shutil.copytree(saved_by_5x, tmp_path / "saved")


def test_a_folder_of_5x_becomes_what_a_release_holds(saved, released, capfd):
    weights = sha256_file(saved / "model.safetensors")
    assert main(["normalize", str(saved)]) == 0
    out = capfd.readouterr().out
    rows = [line.split() for line in out.splitlines() if line.strip()]
    assert ["config.json", "global_rope_theta", "–", "20000.0"] in rows
    assert ["config.json", "global_attn_every_n_layers", "–", "2"] in rows
    assert [
        "tokenizer_config.json",
        "tokenizer_class",
        '"TokenizersBackend"',
        '"PreTrainedTokenizerFast"',
    ] in rows
    assert sha256_file(saved / "model.safetensors") == weights
    assert contents(saved) == contents(released)


def test_what_is_normalized_stays_and_that_is_said(release, capfd):
    before = {file: file.stat().st_mtime_ns for file in release.iterdir()}
    assert main(["normalize", str(release)]) == 0
    assert capfd.readouterr().out == f"{release}: unchanged\n"
    assert main(["normalize", str(release), "--check"]) == 0
    assert {file: file.stat().st_mtime_ns for file in release.iterdir()} == before


def test_another_layout_of_the_same_values_is_left_alone(release, capfd):
    path = release / "config.json"
    path.write_text(json.dumps(dict(reversed(json.loads(path.read_text()).items()))))
    text = path.read_text()
    assert main(["normalize", str(release)]) == 0
    assert capfd.readouterr().out == f"{release}: unchanged\n"
    assert path.read_text() == text


def test_check_says_and_writes_nothing(saved, saved_by_5x, capfd):
    assert main(["normalize", str(saved), "--check"]) == 1
    out, err = capfd.readouterr()
    assert "global_rope_theta" in out
    assert "config.json, tokenizer_config.json, special_tokens_map.json would change" in err
    assert f"mbrelease normalize {saved}\n" in err
    assert contents(saved) == contents(saved_by_5x)


def test_json_tells_an_absent_key_from_a_null(saved, edit_json, capfd):
    edit_json(saved / "config.json", _name_or_path="runs/x", sparse_prediction=True)
    assert main(["normalize", str(saved), "--json"]) == 0
    answer = json.loads(capfd.readouterr().out)
    assert answer["written"] is True
    changes = {(change["file"], change["key"]): change for change in answer["changes"]}
    added = changes["config.json", "local_rope_theta"]
    assert (added["after"], "before" in added) == (5000.0, False)
    gone = changes["config.json", "_name_or_path"]
    assert (gone["before"], "after" in gone) == ("runs/x", False)
    assert changes["config.json", "sparse_prediction"]["after"] is False


def test_a_trainers_folder_is_written_elsewhere(saved, saved_by_5x, released, tmp_path, capfd):
    (saved / "trainer_state.json").write_text("{}")
    (saved / "optimizer.pt").write_bytes(b"state")
    before = contents(saved)
    assert main(["normalize", str(saved)]) == 2
    err = capfd.readouterr().err
    assert "a trainer's own folder" in err
    assert f"mbrelease normalize {saved} -o FOLDER" in err
    assert contents(saved) == before
    out = tmp_path / "out"
    assert main(["normalize", str(saved), "-o", str(out)]) == 0
    assert "not in" in (err := capfd.readouterr().err)
    assert "optimizer.pt, trainer_state.json" in err
    assert contents(out) == contents(released)
    assert main(["normalize", str(saved), "-o", str(out)]) == 0
    assert capfd.readouterr().out == f"{out}: unchanged\n"
    assert contents(saved) == before


def test_shards_come_with_their_index(release, tmp_path):
    from safetensors.numpy import load_file, save_file

    tensors = load_file(release / "model.safetensors")
    (release / "model.safetensors").unlink()
    name = "model-00001-of-00001.safetensors"
    save_file(tensors, release / name, {"format": "pt"})
    index = {"weight_map": dict.fromkeys(tensors, name)}
    (release / "model.safetensors.index.json").write_text(json.dumps(index))
    assert main(["normalize", str(release), "-o", str(tmp_path / "out")]) == 0
    assert contents(tmp_path / "out") == contents(release)


def test_a_map_of_special_tokens_that_says_more_is_kept(release, edit_json, capfd):
    path = release / "special_tokens_map.json"
    edit_json(path, mask_token={"content": "[MASK]", "lstrip": True, "normalized": False})
    text = path.read_text()
    assert main(["normalize", str(release)]) == 0
    assert capfd.readouterr().out == f"{release}: unchanged\n"
    edit_json(path, mask_token="[OTHER]")
    assert main(["normalize", str(release)]) == 0
    assert json.loads(path.read_text())["mask_token"] == "[MASK]"
    assert text != path.read_text()


def test_a_model_without_a_tokenizer_gets_its_config(saved, capfd):
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (saved / name).unlink()
    assert main(["normalize", str(saved)]) == 0
    assert sorted(contents(saved)) == ["config.json", "model.safetensors"]


def test_permissions_stay(saved):
    (saved / "config.json").chmod(0o640)
    assert main(["normalize", str(saved)]) == 0
    assert (saved / "config.json").stat().st_mode & 0o777 == 0o640


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"model_type": "bert"}, "model_type is 'bert', not 'modernbert'"),
        (
            {"layer_types": ["sliding_attention", "full_attention", "full_attention"]},
            "layer_types is not 'full attention every N layers'",
        ),
        ({"local_rope_theta": -1, "rope_parameters": ...}, "local_rope_theta is -1"),
        ({"hidden_size": "64"}, "hidden_size is '64'"),
    ],
)
def test_what_cannot_be_said_to_all_is_refused_and_nothing_is_written(
    saved, edit_json, capfd, fields, said
):
    edit_json(saved / "config.json", **fields)
    before = contents(saved)
    assert main(["normalize", str(saved)]) == 2
    assert said in capfd.readouterr().err
    assert contents(saved) == before


def test_a_folder_of_links_is_not_written_to(saved, tmp_path, capfd):
    blob = tmp_path / "blob"
    (saved / "config.json").rename(blob)
    (saved / "config.json").symlink_to(blob)
    text = blob.read_text()
    assert main(["normalize", str(saved)]) == 2
    assert "config.json is a link" in capfd.readouterr().err
    assert blob.read_text() == text


def test_the_output_is_apart_and_free(saved, tmp_path, capfd):
    for output in (saved, saved / "inside"):
        assert main(["normalize", str(saved), "-o", str(output)]) == 2
        assert "lies in" in capfd.readouterr().err
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "file").write_text("mine")
    assert main(["normalize", str(saved), "-o", str(tmp_path / "taken")]) == 2
    assert "holds something else" in capfd.readouterr().err
    assert main(["normalize", str(saved), "--check", "-o", str(tmp_path / "x")]) == 2


def test_a_folder_that_cannot_be_written_says_so(saved, capfd):
    (saved / "special_tokens_map.json").mkdir()
    before = (saved / "config.json").read_bytes()
    assert main(["normalize", str(saved)]) == 2
    assert "cannot write" in capfd.readouterr().err
    assert (saved / "config.json").read_bytes() == before
    assert not [name for name in os.listdir(saved) if name.endswith(".tmp")]
