"""A release that both generations of transformers read alike."""

from __future__ import annotations

import json

import pytest

from mbrelease.checkpoints.checkpoint import open_checkpoint
from mbrelease.checkpoints.config import FULL, SLIDING, legacy_form, normal_form
from mbrelease.checkpoints.normalize import release_config, release_tokenizer_config, write_release
from mbrelease.errors import UserError
from mbrelease.files import sha256_file


def logits(folder, *, seed=0):
    import torch
    from transformers import AutoModelForMaskedLM

    from mbrelease.parity.checks.loading import quiet_transformers

    with quiet_transformers():
        model = AutoModelForMaskedLM.from_pretrained(folder, local_files_only=True).eval()
    torch.manual_seed(seed)
    ids = torch.randint(5, 260, (2, 60))
    mask = torch.ones_like(ids)
    mask[1, 40:] = 0
    with torch.inference_mode():
        return model(input_ids=ids, attention_mask=mask).logits[mask.bool()]


def test_the_release_computes_what_the_checkpoint_computes_bit_for_bit(saved_by_5x, released):
    torch = pytest.importorskip("torch")
    assert torch.equal(logits(saved_by_5x), logits(released))


def test_the_release_says_the_same_to_both_generations(saved_by_5x, released):
    before = json.loads((saved_by_5x / "config.json").read_text())
    after = json.loads((released / "config.json").read_text())
    assert legacy_form(before) != normal_form(before), "the test model must be one 4.x misreads"
    assert legacy_form(after) == normal_form(after) == normal_form(before)
    assert (after["global_rope_theta"], after["local_rope_theta"]) == (20000.0, 5000.0)
    assert after["global_attn_every_n_layers"] == 2
    assert after["layer_types"] == [FULL, SLIDING, FULL]
    assert after["torch_dtype"] == after["dtype"] == "float32"
    assert list(after) == sorted(after)


def test_the_tokenizer_is_of_a_class_that_both_know(saved_by_5x, released):
    before = json.loads((saved_by_5x / "tokenizer_config.json").read_text())
    after = json.loads((released / "tokenizer_config.json").read_text())
    assert before["tokenizer_class"] == "TokenizersBackend"
    assert after["tokenizer_class"] == "PreTrainedTokenizerFast"
    assert not {"backend", "is_local", "local_files_only"} & set(after)
    assert sha256_file(released / "tokenizer.json") == sha256_file(saved_by_5x / "tokenizer.json")
    special = json.loads((released / "special_tokens_map.json").read_text())
    assert special["mask_token"] == "[MASK]"


def test_the_released_tokenizer_cuts_texts_as_before(saved_by_5x, released):
    transformers = pytest.importorskip("transformers")
    texts = ["the  [MASK] of the day", "  the[MASK]", "Ünïcode ☃ , and spaces .", ""]
    old, new = (
        transformers.AutoTokenizer.from_pretrained(folder, local_files_only=True)
        for folder in (saved_by_5x, released)
    )
    for text in texts:
        assert old(text) == new(text)
        assert old.decode(old(text)["input_ids"]) == new.decode(new(text)["input_ids"])
    space = new.convert_tokens_to_ids("Ġ")
    ids = new("a [MASK]")["input_ids"]
    assert space not in ids, "the mask token takes the space before it (lstrip)"


def test_a_folder_holds_the_release_and_nothing_else(saved_by_5x, tmp_path):
    (tmp_path / "again").mkdir()
    write_release(open_checkpoint(saved_by_5x), tmp_path / "again")
    assert sorted(file.name for file in (tmp_path / "again").iterdir()) == [
        "config.json",
        "model.safetensors",
        "special_tokens_map.json",
        "tokenizer.json",
        "tokenizer_config.json",
    ]


def test_the_same_checkpoint_gives_the_same_bytes(saved_by_5x, released, tmp_path):
    (tmp_path / "again").mkdir()
    write_release(open_checkpoint(saved_by_5x), tmp_path / "again")
    for file in released.iterdir():
        assert file.read_bytes() == (tmp_path / "again" / file.name).read_bytes(), file.name


def test_a_release_of_a_release_is_the_same(released, tmp_path):
    (tmp_path / "again").mkdir()
    write_release(open_checkpoint(released), tmp_path / "again")
    for file in released.iterdir():
        assert file.read_bytes() == (tmp_path / "again" / file.name).read_bytes(), file.name


def test_weights_do_not_change_when_the_trainer_writes_again(release, tmp_path):
    (tmp_path / "out").mkdir()
    write_release(open_checkpoint(release), tmp_path / "out")
    before = sha256_file(tmp_path / "out" / "model.safetensors")
    with (release / "model.safetensors").open("r+b") as file:
        file.seek(-4, 2)
        file.write(b"\x00\x00\x80\x3f")
    assert sha256_file(tmp_path / "out" / "model.safetensors") == before


def test_shards_come_with_their_index(release, tmp_path):
    from safetensors.numpy import load_file, save_file

    tensors = load_file(release / "model.safetensors")
    (release / "model.safetensors").unlink()
    names = sorted(tensors)
    files = {
        "model-00001-of-00002.safetensors": names[:5],
        "model-00002-of-00002.safetensors": names[5:],
    }
    for file, held in files.items():
        save_file({name: tensors[name] for name in held}, release / file, {"format": "pt"})
    weight_map = {name: file for file, held in files.items() for name in held}
    (release / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))
    (tmp_path / "out").mkdir()
    write_release(open_checkpoint(release), tmp_path / "out")
    assert {*files, "model.safetensors.index.json"} <= {
        f.name for f in (tmp_path / "out").iterdir()
    }
    assert open_checkpoint(tmp_path / "out").tensors.keys() == tensors.keys()


def test_the_dtype_is_that_of_the_weights(release, tmp_path, edit_json):
    edit_json(release / "config.json", dtype="bfloat16", torch_dtype=...)
    (tmp_path / "out").mkdir()
    write_release(open_checkpoint(release), tmp_path / "out")
    config = json.loads((tmp_path / "out" / "config.json").read_text())
    assert config["dtype"] == config["torch_dtype"] == "float32"


def test_what_training_left_is_mended():
    config = release_config(
        {
            "sparse_prediction": True,
            "_name_or_path": "/home/me/run",
            "layer_norm_eps": 1e-12,
            "sliding_window": 32,
            "local_rope_theta": None,
            "custom": "kept",
        }
    )
    assert config["sparse_prediction"] is False
    assert "_name_or_path" not in config
    assert config["layer_norm_eps"] == config["norm_eps"] == 1e-5
    assert config["local_attention"] == 64
    assert "sliding_window" not in config
    assert config["local_rope_theta"] == 160_000.0
    assert config["custom"] == "kept"


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        ({"num_hidden_layers": 3, "layer_types": [SLIDING, FULL, FULL]}, "compute something else"),
        ({"local_rope_theta": -1}, "local_rope_theta is -1, which makes every output NaN"),
        ({"global_rope_theta": 0.0}, "global_rope_theta is 0"),
        ({"hidden_size": "768"}, "hidden_size is '768'"),
    ],
)
def test_what_cannot_be_said_to_all_generations_is_refused(raw, said):
    with pytest.raises(UserError, match=said):
        release_config(raw)


def test_a_value_that_is_no_json_leaves_nothing_behind(release, tmp_path):
    content = (release / "config.json").read_text()
    (release / "config.json").write_text(content.replace("{", '{"strange": NaN,', 1))
    (tmp_path / "out").mkdir()
    with pytest.raises(UserError, match="NaN or infinite"):
        write_release(open_checkpoint(release), tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize("name", ["tokenizer.json", "tokenizer_config.json"])
def test_no_release_without_a_tokenizer(release, tmp_path, name):
    (release / name).unlink()
    (tmp_path / "out").mkdir()
    with pytest.raises(UserError, match=f"no {name} in"):
        write_release(open_checkpoint(release), tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize(
    ("raw", "key", "value"),
    [
        ({"extra_special_tokens": ["<a>"]}, "additional_special_tokens", ["<a>"]),
        ({"extra_special_tokens": []}, "extra_special_tokens", None),
        ({"extra_special_tokens": {"x_token": "<x>"}}, "extra_special_tokens", {"x_token": "<x>"}),
        ({"model_max_length": 10**30}, "model_max_length", 8192),
        ({"model_max_length": 512}, "model_max_length", 512),
        ({}, "model_max_length", 8192),
        ({"tokenizer_class": "TokenizersBackend"}, "tokenizer_class", "PreTrainedTokenizerFast"),
        ({}, "tokenizer_class", "PreTrainedTokenizerFast"),
        ({"tokenizer_class": "GemmaTokenizerFast"}, "tokenizer_class", "GemmaTokenizerFast"),
        ({"clean_up_tokenization_spaces": True}, "clean_up_tokenization_spaces", True),
        ({}, "clean_up_tokenization_spaces", False),
    ],
)
def test_tokenizer_settings_mean_the_same_to_all(raw, key, value):
    assert release_tokenizer_config(raw, normal_form({})).get(key) == value


def test_a_release_names_no_code_to_fetch():
    raw = {"model_type": "modernbert", "auto_map": {"AutoModel": "else/where--model.Model"}}
    assert "auto_map" not in release_config(raw)
    assert "auto_map" not in release_tokenizer_config({"auto_map": {"AutoTokenizer": ["a", "b"]}})
