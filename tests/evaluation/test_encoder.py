import json
import shutil

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForMaskedLM, AutoTokenizer

from mbrelease.checkpoints.checkpoint import open_checkpoint
from mbrelease.errors import CheckFailed, UserError
from mbrelease.evaluation.backend import Backend
from mbrelease.evaluation.dataset import Names
from mbrelease.evaluation.encoder import Encoder
from mbrelease.evaluation.tasks.mlm import choose_masked, masked_bytes

TEXTS = ["the owl", "", "a much longer text about the other owls, " * 3, "x", "the " * 200]


EMBEDDINGS = "model.embeddings.tok_embeddings.weight"


def encode_one(checkpoint, text):
    return int(Encoder(checkpoint, Backend()).tokenizer.ids([text], 8)[0][0][1])


@pytest.fixture(scope="module")
def encoder(saved_by_5x):
    return Encoder(open_checkpoint(saved_by_5x), Backend())


@pytest.fixture(scope="module")
def reference(saved_by_5x):
    tokenizer = AutoTokenizer.from_pretrained(saved_by_5x)
    model = AutoModelForMaskedLM.from_pretrained(saved_by_5x, attn_implementation="eager").eval()
    return tokenizer, model


@pytest.fixture
def spoilt(saved_by_5x, tmp_path):
    """A copy whose tensors a function may change."""

    def spoil(change):
        folder = tmp_path / "spoilt"
        shutil.copytree(saved_by_5x, folder, dirs_exist_ok=True)
        tensors = load_file(folder / "model.safetensors")
        change(tensors)
        save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
        return open_checkpoint(folder)

    return spoil


@pytest.mark.parametrize("pooling", ["mean", "cls"])
def test_embeddings_in_batches_equal_one_text_at_a_time_in_eager(encoder, reference, pooling):
    tokenizer, model = reference
    found, truncated = encoder.embed(TEXTS, max_length=64, pooling=pooling)
    assert truncated == 2
    for text, vector in zip(TEXTS, found, strict=True):
        batch = tokenizer(text, truncation=True, max_length=64, return_tensors="pt")
        with torch.no_grad():
            hidden = model.model(**batch).last_hidden_state[0]
        expected = hidden[0] if pooling == "cls" else hidden.mean(dim=0)
        assert np.abs(vector - expected.numpy()).max() < 1e-5


def test_texts_in_another_order_have_the_same_embeddings(encoder):
    one, _ = encoder.embed(TEXTS, max_length=32, pooling="mean")
    two, _ = encoder.embed(TEXTS[::-1], max_length=32, pooling="mean")
    assert np.abs(one - two[::-1]).max() < 1e-6


def test_a_text_is_cut_to_the_models_own_context(encoder):
    tokens = encoder.tokens(["a " * 500], max_length=4096)
    assert len(tokens[0].ids) == 128 and tokens[0].truncated


def test_the_head_on_masked_tokens_alone_gives_the_loss_of_the_whole_model(encoder, reference):
    _, model = reference
    tokens = encoder.tokens(TEXTS[:4], 64)
    chosen = [choose_masked(t, k, 0, 0.5) for t, k in zip(TEXTS, tokens, strict=False)]
    mask = encoder.tokenizer.mask_id
    inputs = [np.where(c, mask, t.ids) for c, t in zip(chosen, tokens, strict=True)]
    targets = [np.where(c, t.ids, -100) for c, t in zip(chosen, tokens, strict=True)]
    scores = encoder.score_masked(inputs, targets)
    for given, asked, score in zip(inputs, targets, scores, strict=True):
        with torch.no_grad():
            logits = model(input_ids=torch.from_numpy(given)[None]).logits[0]
        wanted = torch.from_numpy(asked)
        nll = torch.nn.functional.cross_entropy(logits, wanted, ignore_index=-100, reduction="sum")
        assert score.nll_sum == pytest.approx(float(nll), abs=1e-4)
        hits = (logits.argmax(-1) == wanted) & (wanted != -100)
        assert score.n_correct == int(hits.sum())


def test_masks_depend_on_seed_and_text_alone(encoder):
    text = TEXTS[2]
    tokens = encoder.tokens([text], 128)[0]
    chosen = choose_masked(text, tokens, 0, 0.3)
    assert (chosen == choose_masked(text, encoder.tokens(["x", text], 128)[1], 0, 0.3)).all()
    assert (chosen != choose_masked(text, tokens, 1, 0.3)).any()
    assert not chosen[tokens.is_special].any()
    assert 0.15 < chosen.mean() < 0.45


@pytest.mark.parametrize("text", ["the owl", "Größe für çà", "日本語", "🙂 owl 🙂"])
def test_the_tokens_of_a_text_add_up_to_its_bytes(encoder, text):
    [tokens] = encoder.tokens([text], 128)
    everything = ~tokens.is_special
    assert masked_bytes(text, tokens, everything) == len(text.encode())
    alone = [np.arange(len(everything)) == n for n in np.flatnonzero(everything)]
    assert sum(masked_bytes(text, tokens, one) for one in alone) == len(text.encode())


def test_nan_is_refused_and_the_checkpoint_named(spoilt):
    checkpoint = spoilt(lambda tensors: tensors["model.final_norm.weight"].fill_(float("nan")))
    with pytest.raises(CheckFailed, match=r"spoilt: the model returns NaN"):
        Encoder(checkpoint, Backend()).embed(TEXTS, max_length=32, pooling="mean")


def test_the_batch_that_gave_nan_is_named(spoilt, monkeypatch):
    only_in = encode_one(spoilt(lambda tensors: None), "z")

    checkpoint = spoilt(lambda tensors: tensors[EMBEDDINGS][only_in].fill_(float("nan")))
    encoder, texts = Encoder(checkpoint, Backend()), ["owl"] * 30 + ["z" * 90] * 30
    named = r"in the batch of texts 31, 32, 33, 34, 35 …\n"
    with pytest.raises(CheckFailed, match=named):
        encoder.embed(texts, max_length=100, pooling="cls")
    with pytest.raises(CheckFailed, match=named):
        list(encoder.token_vectors(texts, max_length=100))
    ids = [tokens.ids for tokens in encoder.tokens(texts, 100)]
    with pytest.raises(CheckFailed, match=named):
        encoder.score_masked(ids, ids)
    names = Names("dev.jsonl", [f"d{n}" for n in range(60)])
    named = r"in the batch of dev\.jsonl, ids d30, d31, d32, d33, d34 …\n"
    with pytest.raises(CheckFailed, match=named):
        encoder.embed(texts, max_length=100, pooling="cls", names=names)
    with pytest.raises(CheckFailed, match=named):
        list(encoder.token_vectors(texts, max_length=100, names=names))
    with pytest.raises(CheckFailed, match=named):
        encoder.score_masked(ids, ids, names=names)
    monkeypatch.setattr("mbrelease.evaluation.encoder.TEXTS_A_PIECE", 30)
    with pytest.raises(CheckFailed, match=named):
        encoder.embed(texts, max_length=100, pooling="cls", names=names)


@pytest.mark.parametrize("cut", [8, 100])
def test_token_vectors_are_what_embeddings_are_the_mean_of(encoder, cut):
    found = dict(encoder.token_vectors(TEXTS, max_length=cut))
    means, _ = encoder.embed(TEXTS, max_length=cut, pooling="mean")
    firsts, _ = encoder.embed(TEXTS, max_length=cut, pooling="cls")
    assert sorted(found) == list(range(len(TEXTS)))
    for row, tokens in enumerate(encoder.tokens(TEXTS, cut)):
        assert found[row].shape == (len(tokens.ids), 64) and found[row].dtype == np.float32
        assert np.abs(found[row].mean(axis=0) - means[row]).max() < 1e-6
        assert np.abs(found[row][0] - firsts[row]).max() < 1e-6


def test_texts_come_in_pieces_and_none_is_lost(encoder, monkeypatch):
    texts = [f"the owl {number}" * (number % 7) for number in range(50)]
    whole, _ = encoder.embed(texts, max_length=32, pooling="mean")
    monkeypatch.setattr("mbrelease.evaluation.encoder.TEXTS_A_PIECE", 16)
    monkeypatch.setenv("MBRELEASE_EMBEDDINGS_GB", "0")
    pieces, truncated = encoder.embed(texts, max_length=32, pooling="mean")
    assert np.abs(whole - pieces).max() < 1e-6
    assert truncated == sum(token.truncated for token in encoder.tokens(texts, 32)) > 0
    assert sorted(row for row, _ in encoder.token_vectors(texts, max_length=32)) == list(range(50))


def test_embeddings_are_computed_once(encoder, monkeypatch):
    texts = ["an owl of its own"]
    one, _ = encoder.embed(texts, max_length=32, pooling="mean")
    monkeypatch.setattr(encoder, "_embed", None)
    two, _ = encoder.embed(texts, max_length=32, pooling="mean")
    assert np.array_equal(one, two)


def test_the_weights_are_read_when_they_are_needed(spoilt):
    checkpoint = spoilt(lambda tensors: None)
    encoder = Encoder(checkpoint, Backend())
    (checkpoint.path / "model.safetensors").unlink()
    assert len(encoder.tokens(["the owl"], 32)) == 1


def test_an_empty_text_without_special_tokens_is_a_sentence(saved_by_5x, tmp_path, edit_json):
    folder = shutil.copytree(saved_by_5x, tmp_path / "model")
    edit_json(folder / "tokenizer.json", post_processor=None)
    encoder = Encoder(open_checkpoint(folder), Backend())
    with pytest.raises(UserError, match="model: text 2 has no token, for it is empty"):
        encoder.embed(["owl", ""], max_length=32, pooling="mean")


@pytest.mark.parametrize("cut", [8, 128])
def test_the_fast_way_to_ids_gives_the_same_ids(encoder, cut):
    texts = [*TEXTS, "Größe für çà [MASK] 🙂", " the"]
    ids, truncated = encoder.tokenizer.ids(texts, cut)
    slow = encoder.tokenizer.encode(texts, cut)
    assert [one.tolist() for one in ids] == [tokens.ids.tolist() for tokens in slow]
    assert truncated.tolist() == [tokens.truncated for tokens in slow]


def test_all_asked_and_nothing_asked(encoder):
    [tokens] = encoder.tokens(["the owl"], 32)
    nothing = np.full_like(tokens.ids, -100)
    scores = encoder.score_masked([tokens.ids] * 2, [nothing, tokens.ids])
    assert scores[0].nll_sum == 0 and scores[0].n_correct == 0 and scores[1].nll_sum > 0
    assert encoder.score_masked([tokens.ids], [nothing]) == scores[:1]


def test_the_head_runs_on_a_few_positions_at_a_time(encoder, monkeypatch):
    tokens = [tokens.ids for tokens in encoder.tokens(TEXTS, 64)]
    whole = encoder.score_masked(tokens, tokens)
    monkeypatch.setattr("mbrelease.evaluation.encoder.MASKED_A_PIECE", 7)
    for one, two in zip(whole, encoder.score_masked(tokens, tokens), strict=True):
        assert one.nll_sum == pytest.approx(two.nll_sum, rel=1e-6)
        assert one.n_correct == two.n_correct


def test_a_missing_tensor_is_not_replaced_by_random_numbers(spoilt):
    checkpoint = spoilt(lambda tensors: tensors.pop("model.layers.1.mlp.Wo.weight"))
    with pytest.raises(UserError, match="lacks 1 tensor of its config, such as"):
        _ = Encoder(checkpoint, Backend()).model


def test_a_truncated_file_gets_its_own_sentence(spoilt):
    checkpoint = spoilt(lambda tensors: None)
    path = checkpoint.path / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(UserError, match="truncated"):
        _ = Encoder(checkpoint, Backend()).model


def test_a_tokenizer_without_its_mask_token_is_refused(saved_by_5x, tmp_path):
    folder = shutil.copytree(saved_by_5x, tmp_path / "model")
    path = folder / "tokenizer_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"mask_token": "<nope>"}))
    with pytest.raises(UserError, match="tokenizer.json: the mask token '<nope>' is not in it"):
        Encoder(open_checkpoint(folder), Backend())


@pytest.mark.parametrize("content", ["[]", '{"mask_token": null}', '{"mask_token": {}}'])
def test_a_malformed_tokenizer_config_is_named(saved_by_5x, tmp_path, content):
    folder = shutil.copytree(saved_by_5x, tmp_path / "model")
    (folder / "tokenizer_config.json").write_text(content)
    with pytest.raises(UserError, match=r"tokenizer_config\.json: the mask token"):
        Encoder(open_checkpoint(folder), Backend())


def test_a_tokenizer_of_a_larger_model_is_refused(saved_by_5x, tmp_path):
    folder = shutil.copytree(saved_by_5x, tmp_path / "model")
    path = folder / "tokenizer.json"
    content = json.loads(path.read_text())
    content["model"]["vocab"]["the"] = 400
    path.write_text(json.dumps(content))
    encoder = Encoder(open_checkpoint(folder), Backend())
    with pytest.raises(UserError, match="gives id .*, and the model has 288 embeddings"):
        encoder.tokens(["the owl"], 64)


@pytest.mark.parametrize(
    "fields", [{"hidden_activation": "nope"}, {"local_rope_theta": None, "rope_parameters": ...}]
)
def test_a_config_that_cannot_be_built_is_a_sentence(saved_by_5x, tmp_path, edit_json, fields):
    folder = shutil.copytree(saved_by_5x, tmp_path / "model")
    edit_json(folder / "config.json", **fields)
    with pytest.raises(UserError, match="does not load"):
        _ = Encoder(open_checkpoint(folder), Backend()).model
