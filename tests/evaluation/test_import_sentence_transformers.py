"""Tables that evaluators of sentence-transformers wrote."""

import csv

import pytest

from mbrelease.errors import UserError
from mbrelease.evaluation.importers import sentence_transformers as importer


@pytest.fixture(scope="module")
def folder(saved_by_5x, tmp_path_factory):
    """The eval folder of a training with two evaluators. Do not write."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.evaluation import (
        EmbeddingSimilarityEvaluator,
        InformationRetrievalEvaluator,
    )
    from sentence_transformers.sentence_transformer.modules import Pooling, Transformer

    words = Transformer(str(saved_by_5x))
    model = SentenceTransformer(modules=[words, Pooling(words.get_embedding_dimension())])
    texts = ["the owl", "a mouse in the barn", "rain", "it rained the other day"]
    similar = EmbeddingSimilarityEvaluator(texts, texts[::-1], [0.1, 0.9, 0.3, 0.2], name="sts-dev")
    search = InformationRetrievalEvaluator(
        {"q": "owl"}, dict(enumerate(texts)), {"q": {0}}, name="owls",
        accuracy_at_k=[1], precision_recall_at_k=[1], mrr_at_k=[10], ndcg_at_k=[10], map_at_k=[100],
        batch_size=2,
    )  # fmt: skip
    output = tmp_path_factory.mktemp("run") / "eval"
    similar(model, str(output), epoch=0.5, steps=10)
    similar(model, str(output), epoch=1, steps=20)
    search(model, str(output))
    return output


def rows(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_the_last_row_counts(folder):
    path = folder / "similarity_evaluation_sts-dev_results.csv"
    found = {one.result.metric: one.result for one in importer.read(path)}
    last = rows(path)[-1]
    assert len(rows(path)) == 2
    assert {name: result.value for name, result in found.items()} == {
        name: float(last[name]) for name in ("cosine_pearson", "cosine_spearman")
    }
    spearman = found["cosine_spearman"]
    assert (spearman.task_name, spearman.split) == ("similarity_evaluation_sts-dev", "dev")
    assert spearman.details == {"epoch": 1, "steps": 20}


def test_an_evaluation_outside_training_is_of_test(folder):
    path = folder / "Information-Retrieval_evaluation_owls_results.csv"
    assert rows(path)[-1]["epoch"] == "-1"
    found = {one.result.metric: one.result for one in importer.read(path)}
    ndcg = found["cosine-NDCG_at_10"]
    assert (ndcg.split, ndcg.task_name) == ("test", "Information-Retrieval_evaluation_owls")
    assert (ndcg.value, ndcg.details) == (float(rows(path)[-1]["cosine-NDCG@10"]), {})


def test_a_name_with_spaces_names_the_task_and_thresholds_are_no_results(tmp_path):
    path = tmp_path / "binary_classification_evaluation_owl pairs_results.csv"
    path.write_text("epoch,steps,cosine_f1,cosine_f1_threshold\n1,2,0.5,0.83\n")
    [f1] = importer.read(path)
    assert (f1.result.task_name, f1.result.metric, f1.result.value) == (
        "binary_classification_evaluation_owl-pairs", "cosine_f1", 0.5,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("epoch,steps,accuracy\n", "no row below its header"),
        ("epoch,steps,accuracy\n1,2\n", r"x_results\.csv:2: 2 values for 3 columns"),
        ("epoch,steps,accuracy\n0,1,0.5\n1,2,nan\n", r"x_results\.csv:3, accuracy: 'nan'"),
    ],
)
def test_a_broken_table_is_named_with_its_line(tmp_path, text, said):
    path = tmp_path / "x_results.csv"
    path.write_text(text)
    assert importer.recognises(path)
    with pytest.raises(UserError, match=said):
        importer.read(path)
