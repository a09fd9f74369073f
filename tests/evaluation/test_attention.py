"""Every backend is held to transformers' own eager attention, one text at a time, in float32."""

import importlib.util

import numpy as np
import pytest
import torch
from attention_models import (
    FULL,
    SLIDING,
    masked_targets,
    put_slow_kernel,
    random_ids,
    write_model,
)
from torch.utils._python_dispatch import TorchDispatchMode
from transformers import AutoModelForMaskedLM

from mbrelease.checkpoints.checkpoint import open_checkpoint
from mbrelease.errors import UserError
from mbrelease.evaluation import batching
from mbrelease.evaluation.attention.packing import Packing, Run
from mbrelease.evaluation.backend import Backend
from mbrelease.evaluation.encoder import Encoder
from mbrelease.evaluation.forward import hidden_states, load_model

MODELS = {
    "as published": {
        "thetas": (160000.0, 10000.0), "layers": [FULL, SLIDING, SLIDING], "local_attention": 128,
    },
    "other thetas": {
        "thetas": (20000.0, 500.0), "layers": [SLIDING, FULL, SLIDING], "local_attention": 64,
    },
    "odd window": {
        "thetas": (160000.0, 160000.0), "layers": [SLIDING, SLIDING, FULL], "local_attention": 77,
    },
    "narrow odd window": {
        "thetas": (10000.0, 10000.0), "layers": [SLIDING] * 2, "local_attention": 7,
    },
    "itself alone": {
        "thetas": (10000.0, 10000.0), "layers": [SLIDING, FULL], "local_attention": 1,
    },
    "full layers": {"thetas": (777.0, 10000.0), "layers": [FULL] * 2, "local_attention": 128},
}  # fmt: skip
# Around every place where a window, a block or a band ends, in no order, some twice.
LENGTHS = [
    1, 300, 2, 3, 4, 5, 31, 32, 33, 64, 65, 66, 2, 97, 128, 129, 159, 160, 160, 161, 162, 300, 500,
    500, 8, 1,
]  # fmt: skip
PACKED = ["sdpa", "fa2-varlen", "flash_attention_2"]


def reference(folder, sequences):
    """Hidden states and (loss, hits) of each text, by transformers alone."""
    model = AutoModelForMaskedLM.from_pretrained(folder, attn_implementation="eager").eval()
    hidden, scores = [], []
    for ids, target in zip(sequences, masked_targets(sequences), strict=True):
        with torch.no_grad():
            states = model.model(input_ids=torch.from_numpy(ids)[None]).last_hidden_state[0]
            asked = torch.from_numpy(target != -100)
            logits, labels = model.decoder(model.head(states[asked])), torch.from_numpy(target)
            nll = torch.nn.functional.cross_entropy(logits, labels[asked], reduction="sum")
        hits = (logits.argmax(-1) == labels[asked]).sum()
        hidden.append(states.numpy())
        scores.append((float(nll) if asked.any() else 0.0, int(hits)))
    return hidden, scores


@pytest.fixture(scope="module")
def models(saved_by_5x, tmp_path_factory):
    """Folder, hidden states and scores of each model, made when first asked for."""
    root, made = tmp_path_factory.mktemp("attention"), {}

    def model(name):
        if name not in made:
            folder = write_model(root / name.replace(" ", "-"), saved_by_5x, **MODELS[name])
            made[name] = folder, *reference(folder, random_ids(LENGTHS))
        return made[name]

    return model


@pytest.fixture(scope="module")
def long_model(saved_by_5x, tmp_path_factory):
    """With a context of 8,192 tokens, and what it makes of texts of 1 to 8,192."""
    lengths = [700, 1, 8192, 64, 2, 2000]
    folder = write_model(
        tmp_path_factory.mktemp("attention") / "long", saved_by_5x,
        **(MODELS["as published"] | {"max_length": 8192, "layers": [FULL, SLIDING]}),
    )  # fmt: skip
    return folder, lengths, *reference(folder, random_ids(lengths))


@pytest.mark.parametrize("attn", [*PACKED, "eager"])
@pytest.mark.parametrize("name", MODELS)
def test_texts_of_all_lengths_in_one_batch_as_one_at_a_time_in_eager(
    models, monkeypatch, name, attn
):
    put_slow_kernel(monkeypatch, attn)
    folder, expected, _ = models(name)
    backend = Backend(attn)
    model = load_model(open_checkpoint(folder), backend)
    found = hidden_states(model, backend, random_ids(LENGTHS)).numpy()
    assert np.abs(found - np.concatenate(expected)).max() < 1e-5


def test_one_token_and_8192_in_one_batch(long_model, monkeypatch):
    monkeypatch.setitem(batching.TOKEN_BUDGET, "cpu", 10**6)
    folder, lengths, expected, expected_scores = long_model
    sequences = random_ids(lengths)
    encoder = Encoder(open_checkpoint(folder), Backend())
    found = hidden_states(encoder.model, encoder.backend, sequences).numpy()
    assert np.abs(found - np.concatenate(expected)).max() < 1e-5
    scores = encoder.score_masked(sequences, masked_targets(sequences))
    for score, (nll, hits), ids in zip(scores, expected_scores, sequences, strict=True):
        assert score.nll_sum / len(ids) == pytest.approx(nll / len(ids), abs=1e-4)
        assert score.n_correct == hits


@pytest.mark.parametrize("attn", [*PACKED, "eager"])
def test_masked_loss_in_batches_as_one_text_at_a_time_in_eager(models, monkeypatch, attn):
    put_slow_kernel(monkeypatch, attn)
    folder, _, expected = models("odd window")
    sequences = random_ids(LENGTHS)
    encoder = Encoder(open_checkpoint(folder), Backend(attn))
    scores = encoder.score_masked(sequences, masked_targets(sequences))
    for score, (nll, hits) in zip(scores, expected, strict=True):
        assert score.nll_sum == pytest.approx(nll, abs=1e-3, rel=1e-5)
        assert score.n_correct == hits


@pytest.mark.parametrize("attn", PACKED)
def test_editing_one_text_changes_no_other(models, monkeypatch, attn):
    put_slow_kernel(monkeypatch, attn)
    folder, _, _ = models("as published")
    backend = Backend(attn)
    model = load_model(open_checkpoint(folder), backend)
    sequences = random_ids(LENGTHS)
    before = hidden_states(model, backend, sequences).numpy()
    ends = np.cumsum(LENGTHS)
    for row in (0, 1, 11, 18, 22):  # short, long, and one of two of the same length
        edited = list(sequences)
        edited[row] = np.where(sequences[row] == 5, 6, 5)
        after = hidden_states(model, backend, edited).numpy()
        mine = np.arange(ends[row] - LENGTHS[row], ends[row])
        assert (after[mine] != before[mine]).any()
        assert np.array_equal(np.delete(after, mine, axis=0), np.delete(before, mine, axis=0))


@pytest.mark.parametrize("attn", PACKED)
def test_a_text_that_gives_nan_spoils_no_other(models, monkeypatch, attn):
    put_slow_kernel(monkeypatch, attn)
    folder, _, _ = models("as published")
    backend = Backend(attn)
    model = load_model(open_checkpoint(folder), backend)
    lengths = LENGTHS[:12]
    sequences = [np.where(ids == 4, 5, ids) for ids in random_ids(lengths)]
    clean = hidden_states(model, backend, sequences).numpy()
    with torch.no_grad():
        model.model.embeddings.tok_embeddings.weight[4] = torch.nan
    sequences[1] = np.full_like(sequences[1], 4)
    found = hidden_states(model, backend, sequences).numpy()
    of_it = np.repeat(np.arange(len(lengths)) == 1, lengths)
    assert np.isnan(found[of_it]).all()
    assert np.array_equal(found[~of_it], clean[~of_it])


class Largest(TorchDispatchMode):
    """The largest tensor that any operation makes."""

    numbers = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **kwargs or {})
        for tensor in result if isinstance(result, (tuple, list)) else [result]:
            if isinstance(tensor, torch.Tensor):
                self.numbers = max(self.numbers, tensor.untyped_storage().nbytes() // 4)
        return result


def test_nothing_of_length_squared_is_made_for_8192_tokens(long_model):
    folder, *_ = long_model
    checkpoint, [ids] = open_checkpoint(folder), random_ids([8192])
    largest = {}
    for attn in ("sdpa", "eager"):
        model = load_model(checkpoint, Backend(attn))
        if attn == "eager":
            ids = ids[:1024]  # where the spy sees what it looks for
        with Largest() as spy:
            hidden_states(model, Backend(attn), [ids])
        largest[attn] = spy.numbers
    assert largest["sdpa"] <= 8192 * 3 * 48
    assert largest["eager"] >= 1024 * 1024


def test_neighbours_of_the_same_length_are_one_run():
    packing = Packing((5, 3, 3, 3, 1, 3), "cpu")
    assert packing.runs == (Run(0, 1, 5), Run(5, 3, 3), Run(14, 1, 1), Run(15, 1, 3))
    assert packing.cu_seq_lens.tolist() == [0, 5, 8, 11, 14, 15, 18]
    assert packing.cu_seq_lens.dtype == torch.int32
    assert packing.position_ids.tolist() == [[0, 1, 2, 3, 4, 0, 1, 2, 0, 1, 2, 0, 1, 2, 0, 0, 1, 2]]
    assert packing.longest == 5


def test_heads_that_flash_attention_does_not_take_are_refused(saved_by_5x, edit_json, tmp_path):
    folder = write_model(tmp_path / "model", saved_by_5x, **MODELS["full layers"])
    edit_json(folder / "config.json", num_attention_heads=8)
    with pytest.raises(UserError, match="'fa2-varlen' takes no heads of size 4"):
        load_model(open_checkpoint(folder), Backend("fa2-varlen", "bfloat16", "cuda"))


cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
with_package = pytest.mark.skipif(
    importlib.util.find_spec("flash_attn") is None, reason="flash-attn is not installed"
)


@cuda
@pytest.mark.parametrize(
    ("attn", "dtype"),
    [
        ("sdpa", "float32"),
        ("sdpa", "bfloat16"),
        ("fa2-varlen", "bfloat16"),
        pytest.param("flash_attention_2", "bfloat16", marks=with_package),
    ],
)
@pytest.mark.parametrize("name", MODELS)
def test_on_a_gpu_as_one_text_at_a_time_in_eager(models, name, attn, dtype):
    folder, expected, expected_scores = models(name)
    sequences = random_ids(LENGTHS)
    encoder = Encoder(open_checkpoint(folder), Backend(attn, dtype, "cuda"))
    found = hidden_states(encoder.model, encoder.backend, sequences).float().cpu().numpy()
    wanted = np.concatenate(expected)
    if dtype == "float32":
        assert np.abs(found - wanted).max() < 1e-4
    norms = np.linalg.norm(found, axis=1) * np.linalg.norm(wanted, axis=1)
    assert ((found * wanted).sum(axis=1) / norms).min() > 0.995
    scores = encoder.score_masked(sequences, masked_targets(sequences))
    loss, wanted_loss = sum(s.nll_sum for s in scores), sum(nll for nll, _ in expected_scores)
    assert loss == pytest.approx(wanted_loss, rel=1e-4 if dtype == "float32" else 2e-2)
