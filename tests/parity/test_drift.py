"""How far weights moved from the parent's: the figures against a naive sum, and each remark."""

from __future__ import annotations

import json
import shutil
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from mbrelease.averaging.dtypes import decode, encode
from mbrelease.checkpoints.checkpoint import open_checkpoint
from mbrelease.parity.checks.drift import check_drift, thirds
from mbrelease.parity.drift import TILE_ELEMENTS, Change, Drift, Part, drift, place_of

REAL_RUNS = Path(__file__).resolve().parents[3] / "shared" / "runs"
EMBEDDINGS = "model.embeddings.tok_embeddings.weight"


def change(folder, mutate):
    """Save the weights of ``folder`` again, as ``mutate`` leaves them."""
    weights = load_file(folder / "model.safetensors")
    mutate(weights)
    save_file(weights, folder / "model.safetensors", {"format": "pt"})


def trained(weights):
    """As after some training: each weight a little moved."""
    rng = np.random.default_rng(1)
    for name, value in weights.items():
        spread = 0.1 * np.sqrt(np.mean(np.square(value))) + 1e-3
        weights[name] = (value + spread * rng.standard_normal(value.shape)).astype(value.dtype)


@pytest.fixture
def child(release):
    change(release, trained)
    return release


def asked(child, parent):
    found = check_drift(drift(open_checkpoint(child), open_checkpoint(parent)))
    return {result.name: result for result in found}


def warnings(child, parent):
    found = asked(child, parent).items()
    return {name: result for name, result in found if result.status == "warn"}


def naive(child, parent, names):
    a = np.concatenate([child[name].astype(np.float64).ravel() for name in names])
    b = np.concatenate([parent[name].astype(np.float64).ravel() for name in names])
    norm = np.linalg.norm
    return norm(a - b) / norm(b), a @ b / (norm(a) * norm(b))


def names_of(part, weights):
    return [
        name for name in weights if place_of(name.removeprefix("model.")) == (part.kind, part.layer)
    ]


def test_the_figures_are_those_of_a_naive_sum(child, released):
    found = drift(open_checkpoint(child), open_checkpoint(released))
    mine, theirs = (load_file(folder / "model.safetensors") for folder in (child, released))
    assert [(part.kind, part.layer) for part in found.parts] == [
        ("embeddings", None),
        *((kind, layer) for layer in range(3) for kind in ("attention", "mlp", "norms")),
        ("norms", None),
        ("head", None),
    ]
    for part in found.parts:
        names = names_of(part, mine)
        relative, cosine = naive(mine, theirs, names)
        assert part.change.relative == pytest.approx(relative, rel=1e-12)
        assert part.change.cosine == pytest.approx(cosine, rel=1e-12)
        assert part.change.elements == sum(mine[name].size for name in names)
    for name, value in mine.items():
        one = found.tensors[name.removeprefix("model.")]
        if np.any(theirs[name]):
            assert one.relative == pytest.approx(naive(mine, theirs, [name])[0], rel=1e-12)
        else:
            assert (one.relative, one.cosine) == (None, None), "the decoder's bias began as zeros"
        assert one.elements == value.size
    assert found.apart == ()


def test_a_part_of_several_tiles_is_summed_over_all_of_them(tmp_path, released):
    rng = np.random.default_rng(0)
    folders = [shutil.copytree(released, tmp_path / name) for name in "ab"]
    sizes = [3 * TILE_ELEMENTS + 17]
    values = [{"w": rng.standard_normal(sizes, dtype=np.float32)} for _ in folders]
    for folder, value in zip(folders, values, strict=True):
        save_file(value, folder / "model.safetensors")
    found = drift(*(open_checkpoint(folder) for folder in folders))
    relative, cosine = naive(*values, ["w"])
    assert found.tensors["w"].relative == pytest.approx(relative, rel=1e-12)
    assert found.tensors["w"].cosine == pytest.approx(cosine, rel=1e-12)


def test_little_memory_is_taken_however_large_the_tensors(tmp_path, released):
    folder = shutil.copytree(released, tmp_path / "large")
    save_file({"w": np.ones(20 * TILE_ELEMENTS, np.float32)}, folder / "model.safetensors")
    checkpoint = open_checkpoint(folder)
    tracemalloc.start()
    drift(checkpoint, checkpoint)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 60 * TILE_ELEMENTS


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_narrower_weights_are_read_and_only_rounded_ones_are_the_parents(release, released, dtype):
    torch = pytest.importorskip("torch")
    from safetensors.torch import load_file, save_file

    weights = load_file(release / "model.safetensors")
    rounded = {name: value.to(getattr(torch, dtype)) for name, value in weights.items()}
    save_file(rounded, release / "model.safetensors", {"format": "pt"})
    found = drift(open_checkpoint(release), open_checkpoint(released))
    assert all(part.change.identical for part in found.parts)
    a = torch.cat([value.double().ravel() for value in rounded.values()])
    b = torch.cat([value.double().ravel() for value in weights.values()])
    total = sum((part.change for part in found.parts[1:]), found.parts[0].change)
    assert total.relative == pytest.approx(float((a - b).norm() / b.norm()), rel=1e-12)
    bits = rounded[EMBEDDINGS].view(torch.int16)
    bits[0, 0] ^= 1
    save_file(rounded, release / "model.safetensors", {"format": "pt"})
    found = drift(open_checkpoint(release), open_checkpoint(released))
    assert [part.kind for part in found.parts if not part.change.identical] == ["embeddings"]
    assert found.dtypes == ({"bfloat16": "BF16", "float16": "F16"}[dtype], "F32")
    assert "of it is the rounding to" in asked(release, released)["drift.summary"].found


def test_the_rounding_that_is_told_is_that_of_normal_weights():
    from mbrelease.parity.checks.drift import ROUNDING

    values = np.random.default_rng(0).standard_normal(1 << 16) * 0.02
    for dtype, told in ROUNDING.items():
        rounded = decode(memoryview(encode(values, dtype)).cast("B"), dtype).astype(np.float64)
        relative = np.linalg.norm(rounded - values) / np.linalg.norm(values)
        assert relative == pytest.approx(told, rel=0.1)


def test_an_encoder_is_compared_with_a_model_that_has_a_head(child, released, edit_json):
    def without_head(weights):
        for name in list(weights):
            value = weights.pop(name)
            if name.startswith("model."):
                weights[name.removeprefix("model.")] = value

    whole = drift(open_checkpoint(child), open_checkpoint(released))
    change(child, without_head)
    found = drift(open_checkpoint(child), open_checkpoint(released))
    assert found.parts == whole.parts[:-1]


def test_what_the_parent_has_not_in_that_shape_is_named(child, released):
    def resized(weights):
        weights[EMBEDDINGS] = np.zeros((300, 64), np.float32)
        weights["classifier.weight"] = np.zeros((2, 64), np.float32)

    change(child, resized)
    found = asked(child, released)
    assert found["drift.embeddings"].status == "skip"
    assert f"not the parent's in name or shape: classifier.weight, {EMBEDDINGS}" in (
        found["drift.summary"].found
    )
    assert found["drift.summary"].details["not_compared"] == ["classifier.weight", EMBEDDINGS]


def test_nothing_to_compare_is_skipped(release, released):
    change(release, lambda weights: [weights.pop(name) for name in list(weights)])
    change(release, lambda weights: weights.update({"x": np.ones(3, np.float32)}))
    found = asked(release, released)
    assert [(name, result.status) for name, result in found.items()] == [("drift.summary", "skip")]


def test_values_that_are_not_finite_are_not_judged(child, released):
    change(child, lambda weights: weights[EMBEDDINGS].__setitem__((0, 0), np.inf))
    assert asked(child, released)["drift.summary"].status == "skip"


def test_a_trained_child_gives_no_remark(child, released):
    found = asked(child, released)
    assert {name: result.status for name, result in found.items()} == {
        "drift.summary": "pass",
        "drift.embeddings": "pass",
        "drift.still": "pass",
        "drift.exploded": "pass",
        "drift.early": "skip",
    }
    summary = found["drift.summary"]
    assert summary.found.startswith("median relative norm 0.1")
    parts = json.loads(json.dumps(summary.details, allow_nan=False))["parts"]
    assert len(parts) == 12
    assert parts[1] | {"relative_norm": 0, "cosine": 0} == {
        "part": "attention", "layer": 0, "parameters": 4 * 64 * 64, "relative_norm": 0, "cosine": 0,
        "identical": False,
    }  # fmt: skip


def test_the_parents_own_weights_are_told(release, released):
    found = asked(release, released)
    assert list(found) == ["drift.summary"]
    assert found["drift.summary"].status == "warn"
    assert "bit for bit, in all 23 tensors" in found["drift.summary"].found


def test_a_new_head_on_the_parents_own_weights_is_told(release, released):
    new = {"classifier.weight": np.ones((2, 64), np.float32)}
    change(release, lambda weights: weights.update(new))
    found = asked(release, released)["drift.summary"].found
    assert found.endswith("in all 23 tensors but those that the parent has not: classifier.weight")


def back(child, released, *beginnings):
    """Give tensors the parent's values again."""
    theirs = load_file(released / "model.safetensors")
    same = {name: value for name, value in theirs.items() if name.startswith(beginnings)}
    change(child, lambda weights: weights.update(same))


def test_embeddings_that_did_not_move_are_told(child, released):
    back(child, released, EMBEDDINGS)
    assert set(warnings(child, released)) == {"drift.embeddings"}


@pytest.mark.parametrize(
    ("beginnings", "found"),
    [
        (["model.layers.1."], "layer 1"),
        (["model.layers.0.", "model.layers.1."], "layers 0 to 1"),
        (["model.layers.0.", "model.layers.2.mlp."], "layer 0, the MLP of layer 2"),
        (["head.", "decoder."], "the head"),
    ],
)
def test_a_layer_that_stood_still_is_told(child, released, beginnings, found):
    back(child, released, *beginnings)
    warned = warnings(child, released)
    assert set(warned) == {"drift.still"}
    assert warned["drift.still"].found.endswith(f"others moved: {found}")


def test_norms_may_stand_still(child, released):
    back(child, released, *(f"model.layers.{layer}.mlp_norm" for layer in range(3)))
    assert warnings(child, released) == {}


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("model.layers.1.mlp.Wo.weight", "the MLP of layer 1: "),
        ("model.layers.2.attn.Wqkv.weight", "the attention of layer 2: "),
        ("model.final_norm.weight", "the norms outside the layers: "),
        (EMBEDDINGS, "the embeddings: "),
    ],
)
def test_a_part_that_exploded_is_told(child, released, name, words):
    change(child, lambda weights: weights.update({name: weights[name] * 20}))
    warned = warnings(child, released)
    assert set(warned) == {"drift.exploded"}
    assert warned["drift.exploded"].found.startswith(words)


def test_far_more_than_the_others_is_no_explosion_where_it_is_little(release, released):
    change(release, lambda weights: weights.update({EMBEDDINGS: weights[EMBEDDINGS] * 1.001}))
    name = "model.layers.0.mlp.Wo.weight"
    change(release, lambda weights: weights.update({name: weights[name] * 1.3}))
    assert "drift.exploded" not in warnings(release, released)


def moved(relative):
    """A change of that relative norm."""
    return Change(100, relative**2, 1.0, 1.0, 1 - relative**2 / 2, identical=relative == 0)


def layers(*relatives):
    return Drift(
        parts=tuple(
            Part(kind, layer, moved(relative))
            for layer, relative in enumerate(relatives)
            for kind in ("attention", "mlp")
        ),
        tensors={},
        apart=(),
        dtypes=("F32", "F32"),
    )


@pytest.mark.parametrize(
    ("relatives", "status"),
    [
        ([0.4, 0.41, 0.3, 0.3, 0.19, 0.2], "warn"),
        ([0.4, 0.39, 0.3, 0.3, 0.2, 0.21], "pass"),
        ([0.2, 0.2, 0.3, 0.3, 0.4, 0.4], "pass"),
        ([0.4, 0.3, 0.3, 0.2, 0.1], "skip"),
    ],
)
def test_early_layers_that_moved_more_than_late_ones_are_told(relatives, status):
    found = {result.name: result for result in check_drift(layers(*relatives))}
    assert found["drift.early"].status == status


def test_thirds_are_medians_of_the_first_and_last_layers():
    assert thirds(layers(1, 3, 9, 9, 9, 2, 4)) == (2, 3)


@pytest.mark.skipif(not REAL_RUNS.exists(), reason="needs the shared runs")
def test_real_training_gives_no_remark():
    parent = REAL_RUNS / "base" / "checkpoint-1000"
    found = asked(REAL_RUNS / "dapt" / "checkpoint-1200", parent)
    assert {result.status for result in found.values()} == {"pass"}
    assert found["drift.summary"].found == (
        "median relative norm 0.559, from 0.467 (the attention of layer 5) to 0.771 (the "
        "attention of layer 3); cosine down to 0.8066"
    )
