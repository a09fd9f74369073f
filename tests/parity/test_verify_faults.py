"""One deliberate fault for each check: found, named, and nothing else blamed."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from mbrelease.checkpoints.config import FULL, SLIDING
from mbrelease.errors import UserError
from mbrelease.parity.checks.values import count_not_finite
from mbrelease.parity.family import member_named
from mbrelease.parity.verify import verify


def change(file, **fields):
    def apply(folder: Path) -> None:
        path = folder / file
        content = json.loads(path.read_text()) | fields
        kept = {key: value for key, value in content.items() if value is not ...}
        path.write_text(json.dumps(kept))

    return apply


def config(**fields):
    return change("config.json", **fields)


def tensors(mutate):
    def apply(folder: Path) -> None:
        from safetensors.numpy import load_file, save_file

        weights = load_file(folder / "model.safetensors")
        mutate(weights)
        save_file(weights, folder / "model.safetensors", {"format": "pt"})

    return apply


def no_vocabulary(folder):
    content = json.loads((folder / "tokenizer.json").read_text())
    del content["model"]["vocab"]
    (folder / "tokenizer.json").write_text(json.dumps(content))


def token_outside(folder):
    content = json.loads((folder / "tokenizer.json").read_text())
    content["added_tokens"].append(content["added_tokens"][0] | {"id": 288, "content": "<far>"})
    (folder / "tokenizer.json").write_text(json.dumps(content))


def truncated(folder):
    data = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(data[:-1])


def rewritten(folder, metadata):
    from safetensors.numpy import load_file, save_file

    save_file(load_file(folder / "model.safetensors"), folder / "model.safetensors", metadata)


def pooled(mode):
    def apply(folder: Path) -> None:
        modules = [{"path": "1_Pooling", "type": "sentence_transformers.models.Pooling"}]
        (folder / "modules.json").write_text(json.dumps(modules))
        (folder / "1_Pooling").mkdir()
        pooling = {"embedding_dimension": 64, "pooling_mode": mode}
        (folder / "1_Pooling" / "config.json").write_text(json.dumps(pooling))

    return apply


def linked(folder):
    (folder / "config.json").rename(folder.parent / "elsewhere.json")
    (folder / "config.json").symlink_to(folder.parent / "elsewhere.json")


EMBEDDINGS = "model.embeddings.tok_embeddings.weight"

FAILING = {
    "a flag as a number": (
        config(norm_bias=0),
        {"config.types", "config.readable"},
        "norm_bias is 0",
    ),
    "a number in quotes": (
        config(hidden_size="64"),
        {"config.types", "config.readable"},
        "hidden_size is '64'",
    ),
    "theta −1": (
        config(local_rope_theta=-1.0, rope_parameters=...),
        {"config.theta"},
        "local_rope_theta is -1.0",
    ),
    "theta 0, nested": (
        config(
            rope_parameters={FULL: {"rope_theta": 0}, SLIDING: {"rope_theta": 5000.0}},
            global_rope_theta=0,
        ),
        {"config.theta"},
        "full_attention theta is 0",
    ),
    "a null local theta": (
        config(local_rope_theta=None, rope_parameters=...),
        {"config.null_theta"},
        "local_rope_theta is null",
    ),
    "sliding_window in JSON": (
        config(sliding_window=8),
        {"config.sliding_window"},
        "sliding_window 8",
    ),
    "layer_norm_eps alone": (
        config(layer_norm_eps=1e-12, norm_eps=...),
        {"config.norm_eps"},
        "layer_norm_eps 1e-12 alone",
    ),
    "layer_norm_eps against norm_eps": (
        config(layer_norm_eps=1e-12),
        {"config.norm_eps"},
        "the norms use 1e-05",
    ),
    "a flat theta": (config(rope_theta=10000.0), {"config.flat_rope"}, "rope_theta 10000.0"),
    "flat rope_parameters": (
        config(rope_parameters={"rope_theta": 1e4, "rope_type": "default"}),
        {"config.flat_rope", "config.readable"},
        "rope_parameters with rope_theta, rope_type",
    ),
    "contradicting patterns": (
        config(global_attn_every_n_layers=3),
        {"config.layer_types"},
        "global_attn_every_n_layers 3 makes layer 2 sliding_attention, layer_types full_attention",
    ),
    "sparse_prediction left on": (
        config(sparse_prediction=True),
        {"config.sparse_prediction"},
        "true",
    ),
    "heads that do not divide": (config(num_attention_heads=5), {"config.heads"}, "64 over 5"),
    "thetas that 4.x does not see": (
        config(global_rope_theta=..., local_rope_theta=...),
        {"config.generations"},
        "4.x reads global_rope_theta 160000 instead of 20000",
    ),
    "a pattern that 4.x does not see": (
        config(global_attn_every_n_layers=...),
        {"config.generations"},
        "every 3 layers, not layer_types",
    ),
    "a truncated file": (truncated, {"tensors.header"}, "truncated"),
    "no tensors at all": (
        tensors(dict.clear),
        {"tensors.names"},
        "23 missing",
    ),
    "a missing tensor": (
        tensors(lambda weights: weights.pop("model.layers.1.mlp.Wo.weight")),
        {"tensors.names"},
        "1 missing: model.layers.1.mlp.Wo.weight",
    ),
    "a tensor too many": (
        tensors(lambda weights: weights.update({"optimizer.m": np.zeros(3, "f4")})),
        {"tensors.names"},
        "1 of an optimizer: optimizer.m",
    ),
    "biases that the config has not": (
        tensors(lambda weights: weights.update({"head.norm.bias": np.zeros(64, "f4")})),
        {"tensors.names"},
        "head.norm.bias",
    ),
    "a wrong shape": (
        config(intermediate_size=48),
        {"tensors.shapes"},
        "mlp.Wi.weight [192, 64] where the config says [96, 64]",
    ),
    "a norm before layer 0": (
        tensors(
            lambda weights: weights.update({"model.layers.0.attn_norm.weight": np.ones(64, "f4")})
        ),
        {"tensors.first_norm"},
        "model.layers.0.attn_norm.weight",
    ),
    "a decoder that is tied and differs": (
        tensors(lambda weights: weights.update({"decoder.weight": weights[EMBEDDINGS] + 1})),
        {"tensors.tied"},
        "differs from the embeddings",
    ),
    "a whole-number tensor": (
        tensors(lambda weights: weights.update({"head.norm.weight": np.ones(64, "i4")})),
        {"tensors.dtype"},
        "head.norm.weight is I32",
    ),
    "no tokenizer": (
        lambda folder: (folder / "tokenizer.json").unlink(),
        {"tokenizer.files"},
        "tokenizer.json does not exist",
    ),
    "a tokenizer.json without vocabulary": (no_vocabulary, {"tokenizer.files"}, "'vocab'"),
    "a tokenizer class of 5.x": (
        change("tokenizer_config.json", tokenizer_class="TokenizersBackend"),
        {"tokenizer.class"},
        "TokenizersBackend",
    ),
    "extra tokens as 5.x lists them": (
        change("tokenizer_config.json", extra_special_tokens=["[X]"]),
        {"tokenizer.class"},
        "extra_special_tokens is a list",
    ),
    "another id in the config": (
        config(pad_token_id=7),
        {"tokenizer.special"},
        "pad_token [PAD] is 3, config.json says 7",
    ),
    "no mask token": (
        change("tokenizer_config.json", mask_token=...),
        {"tokenizer.special"},
        "no mask_token",
    ),
    "a token without embedding": (token_outside, {"tokenizer.ids"}, "<far>"),
    "a pickle": (
        lambda folder: (folder / "training_args.bin").write_bytes(b"x"),
        {"files.pickles"},
        "training_args.bin",
    ),
    "an optimizer below": (
        lambda folder: (
            (folder / "global_step5").mkdir(),
            (folder / "global_step5" / "optim.pt").write_bytes(b"x"),
        ),
        {"files.pickles"},
        "global_step5/optim.pt",
    ),
    "a symbolic link": (linked, {"files.links"}, "config.json → "),
    "a token of the Hub": (
        lambda folder: (folder / "README.md").write_text("a\nexport HF_TOKEN=hf_" + "aB3" * 12),
        {"files.tokens"},
        "README.md:2",
    ),
    "another model's class": (
        config(architectures=["BertForMaskedLM"]),
        {"tensors.names"},
        "BertForMaskedLM, which is no class of ModernBERT",
    ),
    "a vocabulary that is text": (
        change("tokenizer.json", model={"vocab": "x"}),
        {"tokenizer.files"},
        "no attribute",
    ),
    "a path of the trainer's machine": (
        config(_name_or_path="/home/me/runs/checkpoint-7"),
        {"files.paths"},
        "config.json: _name_or_path /home/me/runs/checkpoint-7",
    ),
}  # fmt: skip

WARNING = {
    "a silu head, as a converter that reads head_class_act leaves it": (
        config(classifier_activation="silu"),
        "config.head_activation",
        "the head for masked tokens has silu, the layers gelu",
    ),
    "sentence embeddings that are pooled otherwise than a classifier would": (
        pooled("mean"),
        "config.pooling",
        "classifier_pooling cls",
    ),
    "more in the header than tensors": (
        lambda folder: rewritten(folder, {"format": "pt", "state": "x" * 100_000}),
        "tensors.size",
        "metadata: format, state",
    ),
    "a redundant tied decoder": (
        tensors(lambda weights: weights.update({"decoder.weight": weights[EMBEDDINGS].copy()})),
        "tensors.tied",
        "a copy of the embeddings",
    ),
    "two dtypes": (
        tensors(
            lambda weights: weights.update(
                {"head.norm.weight": weights["head.norm.weight"].astype("f2")}
            )
        ),
        "tensors.dtype",
        "F16 and F32",
    ),
    "another dtype than declared": (
        config(dtype="bfloat16"),
        "tensors.dtype",
        "transformers 5.x loads it as bfloat16",
    ),
    "texts longer than the positions": (
        change("tokenizer_config.json", model_max_length=10**30),
        "tokenizer.length",
        "no limit",
    ),
    "a length that is text": (
        change("tokenizer_config.json", model_max_length="512"),
        "tokenizer.length",
        "'512'",
    ),
}


def said(results, name):
    return next(result for result in results if result.name == name)


def remarks(report):
    """The checks that warn, but those on shapes: a tiny model suits no tensor core."""
    names = [result.name for result in report.with_status("warn")]
    return [name for name in names if not name.startswith("shapes.")]


def test_a_release_passes_everything(release):
    report = verify(release, load=False)
    assert report.passed
    assert remarks(report) == []
    assert [result.name for result in report.with_status("skip")] == [
        "tensors.finite",
        "files.hashes",
        "loading.auto_model",
    ]


@pytest.mark.parametrize(("fault", "names", "found"), FAILING.values(), ids=FAILING)
def test_a_fault_is_found_and_named(release, fault, names, found):
    fault(release)
    report = verify(release, load=False)
    assert {result.name for result in report.failures} == names
    assert not report.passed
    assert any(found in result.found for result in report.failures), report.failures
    assert all(result.mend and result.expected for result in report.failures)


@pytest.mark.parametrize(("fault", "name", "found"), WARNING.values(), ids=WARNING)
def test_a_remark_stops_nothing(release, fault, name, found):
    fault(release)
    report = verify(release, load=False)
    assert report.passed
    assert remarks(report) == [name]
    assert found in said(report.results, name).found
    assert said(report.results, name).mend


def test_every_check_has_a_fault(released, saved_by_5x):
    asked = {result.name for result in verify(released, against=saved_by_5x).results}
    faulty = {name for _, names, _ in FAILING.values() for name in names}
    elsewhere = {
        "config.parent", "config.family", "tokenizer.parent", "tensors.finite",
        "loading.auto_model", "loading.forward",
    }  # fmt: skip
    # tests/parity/test_loading.py and test_numerics.py
    elsewhere |= {"loading.masked_lm", "loading.fill_mask", "loading.sentence_transformers"}
    elsewhere |= {
        f"numerics.{way}" for way in ("output", "sdpa", "packed", "bfloat16", "float16", "flash")
    }
    elsewhere |= {
        "tokenizer.added", "tokenizer.encoding", "tokenizer.mask", "tokenizer.pairs",
        "tokenizer.roles", "tokenizer.template", "tokenizer.unused",
        "files.hashes", "files.leftovers", "files.names", "files.sizes",
    }  # fmt: skip
    # tests/parity/test_tensors.py and test_drift.py
    elsewhere |= {"tensors.constant", "tensors.format", "drift.summary"}
    warned = {name for _, name, _ in WARNING.values()}
    warned |= {result.name for result in verify(released, load=False).with_status("warn")}
    assert asked - faulty - warned == elsewhere


def test_a_size_of_the_family_with_another_theta_is_told(release, edit_json):
    sizes = {"num_hidden_layers": 7, "hidden_size": 256, "intermediate_size": 384}
    edit_json(release / "config.json", **sizes, num_attention_heads=4, layer_types=...)
    result = said(verify(release, load=False).results, "config.family")
    assert result.status == "warn"
    assert result.expected == "ettin-encoder-17m, whose size it has"
    assert "global_rope_theta 20000 (160000)" in result.found


def test_what_the_registry_declares_is_held_against_it(release):
    report = verify(release, declared={"context": 8192, "vocabulary": 288}, load=False)
    assert [result.name for result in report.failures] == ["config.declared"]
    assert report.failures[0].found == "max_position_embeddings 128"


def test_a_known_member_can_be_the_parent(release):
    report = verify(release, against=member_named("base"), load=False)
    assert [result.name for result in report.failures] == ["config.parent"]
    assert "num_hidden_layers 3 (parent 22)" in report.failures[0].found


def test_a_pooling_that_is_not_the_parents_fails(release, tmp_path):
    import shutil

    parent = shutil.copytree(release, tmp_path / "parent")
    pooled("mean")(parent)
    pooled("cls")(release)
    report = verify(release, against=parent, relation="averaging", load=False)
    assert [result.name for result in report.failures] == ["config.pooling"]


def test_the_token_itself_is_never_shown(release):
    secret = "hf_" + "aB3" * 12
    (release / "README.md").write_text(secret)
    assert secret not in json.dumps(verify(release, load=False).as_json())


def test_what_a_release_mends_only_warns_in_a_trainers_folder(saved_by_5x, tmp_path):
    import shutil

    folder = shutil.copytree(saved_by_5x, tmp_path / "checkpoint-7")
    (folder / "trainer_state.json").write_text("{}")
    (folder / "training_args.bin").write_bytes(b"x")
    report = verify(folder, load=False)
    assert report.passed
    assert set(remarks(report)) == {
        "config.generations",
        "tokenizer.class",
        "files.pickles",
    }
    generations = said(report.results, "config.generations")
    assert '"global_rope_theta": 20000.0' in (generations.mend or "")
    assert '"global_attn_every_n_layers": 2' in (generations.mend or "")


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_value_that_is_not_finite_is_found_in_its_tensor(release, value):
    name = "model.layers.2.mlp.Wo.weight"
    tensors(lambda weights: weights[name].__setitem__((3, 5), value))(release)
    report = verify(release)
    assert [result.name for result in report.failures] == ["tensors.finite"]
    assert f"{name} has 1 NaN or infinite" in report.failures[0].found
    assert said(report.results, "loading.auto_model").status == "skip"


@pytest.mark.parametrize("dtype", ["F32", "F16", "F64", "BF16"])
def test_not_finite_is_counted_in_every_dtype(dtype):
    torch = pytest.importorskip("torch")
    kinds = {"F32": torch.float32, "F16": torch.float16, "F64": torch.float64}
    values = torch.tensor(
        [0.0, -1.5, 3e4, float("nan"), float("inf"), -float("inf"), 1e-30],
        dtype=kinds.get(dtype, torch.bfloat16),
    )
    data = bytes(values.view(torch.uint8).numpy())
    assert count_not_finite(data, dtype) == 3


def test_a_config_of_a_terabyte_is_refused_before_anything_is_allocated(release, edit_json):
    edit_json(release / "config.json", vocab_size=10**9, hidden_size=2**18)
    report = verify(release)
    assert "tensors.shapes" in {result.name for result in report.failures}
    loading = said(report.results, "loading.auto_model")
    assert loading.status == "skip"
    assert "tensors.shapes did not pass, so nothing was loaded" in loading.found


def test_a_billion_layers_are_refused_before_anything_is_allocated(release, edit_json):
    edit_json(release / "config.json", num_hidden_layers=10**9, layer_types=...)
    report = verify(release)
    assert {result.name for result in report.failures} == {"config.readable"}


def test_a_theta_below_zero_gives_nan_and_the_forward_pass_says_so(release, edit_json):
    edit_json(release / "config.json", local_rope_theta=-1.0, rope_parameters=...)
    report = verify(release)
    assert {result.name for result in report.failures} == {"config.theta", "loading.forward"}
    assert "not finite" in said(report.results, "loading.forward").found


def test_a_null_theta_stops_the_load_and_the_report_says_so(release, edit_json):
    edit_json(release / "config.json", local_rope_theta=None, rope_parameters=...)
    report = verify(release)
    assert {result.name for result in report.failures} == {
        "config.null_theta",
        "loading.auto_model",
    }


def test_the_cache_of_the_hub_may_link_to_its_own_blobs(release, tmp_path):
    repo = tmp_path / "models--org--name"
    (repo / "blobs").mkdir(parents=True)
    (repo / "snapshots" / "abc").mkdir(parents=True)
    for index, file in enumerate(sorted(release.iterdir())):
        file.rename(repo / "blobs" / str(index))
        (repo / "snapshots" / "abc" / file.name).symlink_to(f"../../blobs/{index}")
    assert verify(repo / "snapshots" / "abc", load=False).passed


def test_shards_must_stand_where_the_index_says(release):
    from safetensors.numpy import load_file, save_file

    weights = load_file(release / "model.safetensors")
    (release / "model.safetensors").unlink()
    names = sorted(weights)
    for file, held in (("a.safetensors", names[:5]), ("b.safetensors", names[5:])):
        save_file({name: weights[name] for name in held}, release / file)
    weight_map = dict.fromkeys(names[:6], "a.safetensors") | dict.fromkeys(
        names[6:], "b.safetensors"
    )
    (release / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))
    report = verify(release, load=False)
    assert [result.name for result in report.failures] == ["tensors.index"]
    assert names[5] in report.failures[0].found


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (config(model_type="bert"), "a 'bert', not a ModernBERT"),
        (config(model_type=...), "a model of no stated model_type"),
        (lambda folder: (folder / "config.json").unlink(), "no config.json in"),
        (lambda folder: (folder / "config.json").write_text("{"), ":1:2: not JSON"),
        (lambda folder: (folder / "config.json").write_text("[]"), "not a JSON object"),
        (lambda folder: (folder / "model.safetensors").unlink(), "no model.safetensors in"),
    ],
)
def test_what_is_no_modernbert_is_a_sentence(release, spoil, message):
    spoil(release)
    with pytest.raises(UserError, match=message):
        verify(release)


def test_a_head_that_is_not_checked_is_skipped_and_does_not_fail(release):
    config(architectures=["ModernBertForQuestionAnswering"])(release)
    report = verify(release, load=False)
    assert report.passed
    assert said(report.results, "tensors.names").status == "skip"
