import numpy as np
import pytest
import torch

from mbrelease.evaluation import maxsim
from mbrelease.evaluation.maxsim import MaxSim


@pytest.fixture(params=["one block", "small blocks"])
def blocks(request, monkeypatch):
    if request.param == "small blocks":
        monkeypatch.setattr(maxsim, "QUERY_TOKENS_A_BLOCK", 20)
        monkeypatch.setattr(maxsim, "DOCUMENT_TOKENS_A_BLOCK", 50)


def vectors(generator, lengths, hidden=16):
    return [generator.normal(size=(n, hidden)).astype(np.float32) for n in lengths]


def scored(queries, documents):
    scores = np.full((len(queries), len(documents)), np.nan, dtype=np.float32)
    for columns, block in MaxSim(queries).scores(enumerate(documents)):
        scores[:, columns] = block
    return scores


def test_a_score_is_the_sum_over_query_tokens_of_the_best_document_token(blocks):
    """Lengths from one token to more than a block, in an order of their own."""
    generator = np.random.default_rng(0)
    queries = vectors(generator, generator.integers(1, 30, 23))
    documents = vectors(generator, generator.integers(1, 70, 37))
    wanted = np.empty((23, 37))
    for row, query in enumerate(queries):
        for column, document in enumerate(documents):
            cosine = torch.nn.functional.cosine_similarity(
                torch.tensor(query).double()[:, None], torch.tensor(document).double(), dim=-1
            )
            wanted[row, column] = cosine.amax(dim=1).sum()
    assert np.abs(scored(queries, documents) - wanted).max() < 1e-5


def test_equal_documents_have_equal_scores_wherever_they_stand(blocks):
    generator = np.random.default_rng(1)
    queries = vectors(generator, [1, 2, 5, 6, 13, 19], hidden=64)
    once = vectors(generator, generator.integers(1, 45, 11), hidden=64)
    order = generator.permutation(np.repeat(np.arange(11), 7))
    scores = scored(queries, [once[row] for row in order])
    for row in range(11):
        assert (np.ptp(scores[:, order == row], axis=1) == 0).all()


def test_a_model_that_gives_every_token_the_same_vector_gives_every_document_the_same_score(
    blocks,
):
    generator = np.random.default_rng(2)
    (token,) = vectors(generator, [1], hidden=64)
    documents = [np.tile(token, (n, 1)) for n in generator.integers(1, 45, 101)]
    scores = scored(vectors(generator, [1, 4, 5, 17], hidden=64), documents)
    assert (np.ptp(scores, axis=1) == 0).all()


def test_a_vector_of_zeros_is_no_error():
    assert scored([np.zeros((2, 4), np.float32)], [np.ones((3, 4), np.float32)]).tolist() == [[0.0]]


def test_no_documents_have_no_scores():
    assert list(MaxSim([np.ones((1, 4), np.float32)]).scores([])) == []
