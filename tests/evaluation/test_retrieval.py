import json
import tracemalloc

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import pytrec_eval
from pydantic import ValidationError

from mbrelease.checkpoints.checkpoint import open_checkpoint
from mbrelease.errors import UserError
from mbrelease.evaluation import ranking
from mbrelease.evaluation.backend import Backend
from mbrelease.evaluation.dataset import read_dataset
from mbrelease.evaluation.encoder import Encoder
from mbrelease.evaluation.metrics import retrieval_metrics
from mbrelease.evaluation.ranking import gold_ranks
from mbrelease.evaluation.tasks.retrieval import measure
from mbrelease.registry.tasks import RetrievalTask

METRICS = ["recall@1", "recall@5", "recall@20", "mrr", "ndcg@1", "ndcg@10", "ndcg@100"]
TREC = {
    "recall_at_1": "recall_1", "recall_at_5": "recall_5", "recall_at_20": "recall_20",
    "mrr": "recip_rank", "ndcg_at_1": "ndcg_cut_1", "ndcg_at_10": "ndcg_cut_10",
    "ndcg_at_100": "ndcg_cut_100",
}  # fmt: skip


@pytest.fixture
def small_blocks(monkeypatch):
    monkeypatch.setattr(ranking, "QUERIES_A_BLOCK", 7)
    monkeypatch.setattr(ranking, "DOCUMENTS_A_BLOCK", 16)


def random_case(generator, n_queries, n_documents, most_gold, hidden=16):
    queries = generator.normal(size=(n_queries, hidden)).astype(np.float32)
    documents = generator.normal(size=(n_documents, hidden)).astype(np.float32)
    gold = [
        generator.permutation(n_documents)[: generator.integers(1, most_gold + 1)]
        for _ in range(n_queries)
    ]
    return queries, documents, gold


def cosines(queries, documents):
    queries, documents = (
        x.astype(np.float64) / np.linalg.norm(x, axis=1, keepdims=True)
        for x in (queries, documents)
    )
    return queries @ documents.T


def ranks_by_sorting(scores, gold):
    """The place of each gold document in the whole list; of equal scores gold comes last."""
    ranks = []
    for row, golds in zip(scores, gold, strict=True):
        listed = sorted(range(len(row)), key=lambda one: (-row[one], one in golds))
        ranks.append([place for place, one in enumerate(listed, start=1) if one in golds])
    return ranks


@pytest.mark.parametrize("seed", range(12))
def test_ranks_are_the_places_in_a_sorted_list_whatever_the_blocks(small_blocks, seed):
    generator = np.random.default_rng(seed)
    n_queries, n_documents = generator.integers(1, 40), generator.integers(5, 90)
    queries, documents, gold = random_case(generator, n_queries, n_documents, most_gold=5)
    wanted = ranks_by_sorting(cosines(queries, documents), gold)
    assert [ranks.tolist() for ranks in gold_ranks(queries, documents, gold)] == wanted


@pytest.mark.parametrize("n_queries", [1, 7, 40])
@pytest.mark.parametrize("hidden", [16, 384])
def test_documents_equal_to_the_gold_one_count_against_it_in_every_block(
    small_blocks, n_queries, hidden
):
    generator = np.random.default_rng(1)
    queries, documents, _ = random_case(generator, n_queries, 40, 1, hidden)
    gold = [np.array([row % 40]) for row in range(n_queries)]
    before = gold_ranks(queries, documents, gold)
    # Each document five times, in an order that tears the copies apart.
    order = generator.permutation(np.repeat(np.arange(40), 5))
    place = [np.flatnonzero(order == golds[0])[2:3] for golds in gold]
    after = gold_ranks(queries, documents[order], place)
    assert [int(ranks[0]) for ranks in after] == [5 * int(ranks[0]) for ranks in before]


def test_a_constant_scorer_ranks_last_not_first():
    same = np.tile(np.random.default_rng(0).normal(size=(1, 768)).astype(np.float32), (9000, 1))
    gold = [np.array([0]), np.array([4567]), np.array([8999, 1])]
    ranks = gold_ranks(same[:3], same, gold)
    assert [one.tolist() for one in ranks] == [[9000], [9000], [8999, 9000]]


def test_gold_documents_that_tie_stand_after_one_another():
    documents = np.array([[1, 0], [1, 0], [0, 1], [1, 0]], dtype=np.float32)
    ranks = gold_ranks(documents[:1], documents, [np.array([1, 3, 2])])
    assert ranks[0].tolist() == [2, 3, 4]


def test_memory_grows_neither_with_queries_nor_with_documents(tmp_path):
    generator = np.random.default_rng(2)
    queries = generator.normal(size=(3000, 32)).astype(np.float32)
    documents = generator.normal(size=(60_000, 32)).astype(np.float32)
    gold = list(generator.integers(0, 60_000, (3000, 1)))
    np.save(tmp_path / "documents.npy", documents)
    mapped = np.load(tmp_path / "documents.npy", mmap_mode="r")
    tracemalloc.start()
    gold_ranks(queries, mapped, gold)
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak_bytes < 60e6  # all scores at once would be 720 MB


def test_metrics_of_many_gold_documents_are_those_of_trec_eval():
    generator = np.random.default_rng(3)
    queries, documents, gold = random_case(generator, 60, 150, most_gold=30)
    scores = cosines(queries, documents)
    judged = {f"q{row}": {f"d{one}": 1 for one in golds.tolist()} for row, golds in enumerate(gold)}
    run = {
        f"q{row}": {f"d{one}": float(score) for one, score in enumerate(line)}
        for row, line in enumerate(scores)
    }
    measures = {"recall.1,5,20", "recip_rank", "ndcg_cut.1,10,100"}
    trec = pytrec_eval.RelevanceEvaluator(judged, measures).evaluate(run)
    ranks = np.empty(60, dtype=object)
    ranks[:] = gold_ranks(queries, documents, gold)
    values = retrieval_metrics({"ranks": ranks}, np.eye(60), METRICS)
    for name, theirs in TREC.items():
        assert values[name] == pytest.approx([trec[f"q{row}"][theirs] for row in range(60)])


def test_one_gold_document_as_a_rank_or_as_a_list_is_the_same():
    rank = np.array([1, 3, 7, 200])
    lists = np.empty(4, dtype=object)
    lists[:] = [np.array([one]) for one in rank]
    weights = np.random.default_rng(4).integers(0, 3, (5, 4)) + 0.5
    single = retrieval_metrics({"rank": rank}, weights, METRICS)
    for name, values in retrieval_metrics({"ranks": lists}, weights, METRICS).items():
        assert values == pytest.approx(single[name])


# With a model


SENTENCE = "the other owl found a mouse in the old barn while it rained"
WORDS = SENTENCE.split()
DOCUMENTS = [{"id": f"d{n}", "text": " ".join(WORDS[n : n + 4]) + f" {n}"} for n in range(9)]
QUERIES = [
    {"id": "q0", "title": "the owl", "gold": ["d0", "d1"]},
    {"id": "q1", "title": "a mouse", "gold": "d3"},
    {"id": "q2", "title": "rain", "gold": ["d8", "d2", "d5"]},
]


@pytest.fixture(scope="module")
def encoder(saved_by_5x):
    return Encoder(open_checkpoint(saved_by_5x), Backend())


def write_rows(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return read_dataset(path)


def task(corpus=True, **fields):
    data = {"dev": "queries.jsonl"}
    if corpus:
        data["corpus"] = {"documents": "corpus.jsonl"}
    fields = {"metrics": METRICS, "max_length": 64} | fields
    return RetrievalTask.model_validate(
        {"name": "find", "type": "retrieval", "data": data} | fields
    )


def data_of(tmp_path, queries=QUERIES, documents=DOCUMENTS):
    return {
        "dev": write_rows(tmp_path / "queries.jsonl", queries),
        "corpus": write_rows(tmp_path / "corpus.jsonl", documents),
    }


def vectors(encoder, texts, max_length=64):
    found = dict(encoder.token_vectors(texts, max_length=max_length))
    return [found[row] for row in range(len(texts))]


def maxsim_by_hand(queries, documents):
    return np.array(
        [
            [cosines(query, document).max(axis=1).sum() for document in documents]
            for query in queries
        ]
    )


@pytest.mark.parametrize("scoring", ["cosine", "maxsim"])
def test_queries_name_their_documents_in_a_corpus(tmp_path, encoder, scoring):
    data = data_of(tmp_path)
    outcome = measure(task(scoring=scoring), data, "dev", encoder)
    texts = [row["title"] for row in QUERIES], [row["text"] for row in DOCUMENTS]
    if scoring == "cosine":
        embedded = (encoder.embed(side, max_length=64, pooling="mean")[0] for side in texts)
        scores = cosines(*embedded)
    else:
        scores = maxsim_by_hand(*(vectors(encoder, side) for side in texts))
    wanted = ranks_by_sorting(scores, [[0, 1], [3], [8, 2, 5]])
    assert [ranks.tolist() for ranks in outcome.examples["ranks"]] == wanted
    assert outcome.metrics["mrr"] == pytest.approx(np.mean([1 / ranks[0] for ranks in wanted]))
    low, high = outcome.ci95["recall_at_5"]
    assert low <= outcome.metrics["recall_at_5"] <= high


def test_ranks_survive_parquet_and_give_the_metrics_again(tmp_path, encoder):
    outcome = measure(task(), data_of(tmp_path), "dev", encoder)
    pq.write_table(pa.table(dict(outcome.examples)), tmp_path / "examples.parquet")
    table = pq.read_table(tmp_path / "examples.parquet")
    columns = {name: table[name].to_numpy() for name in table.column_names}
    again = retrieval_metrics(columns, np.ones((1, 3)), METRICS)
    assert {name: float(value[0]) for name, value in again.items()} == outcome.metrics


@pytest.mark.parametrize("scoring", ["cosine", "maxsim"])
def test_without_a_corpus_each_row_is_a_query_and_its_document(tmp_path, encoder, scoring):
    rows = [
        {"title": query["title"], "text": document["text"]}
        for query, document in zip(QUERIES, DOCUMENTS, strict=False)
    ]
    alone = {"dev": write_rows(tmp_path / "rows.jsonl", rows)}
    queries = [row | {"gold": f"d{n}"} for n, row in enumerate(rows)]
    apart = data_of(tmp_path, queries, DOCUMENTS[:3])
    one = measure(task(corpus=False, scoring=scoring), alone, "dev", encoder)
    two = measure(task(scoring=scoring), apart, "dev", encoder)
    assert one.examples["rank"].tolist() == two.examples["rank"].tolist()
    assert one.metrics == two.metrics and one.counts == two.counts


def test_prompts_stand_before_queries_and_documents(tmp_path, encoder):
    prompted = task(query_prompt="query: ", document_prompt="document: ")
    by_prompt = measure(prompted, data_of(tmp_path), "dev", encoder)
    queries = [row | {"title": f"query: {row['title']}"} for row in QUERIES]
    documents = [row | {"text": f"document: {row['text']}"} for row in DOCUMENTS]
    by_hand = measure(task(), data_of(tmp_path, queries, documents), "dev", encoder)
    plain = measure(task(), data_of(tmp_path), "dev", encoder)
    ranks = [
        [one.tolist() for one in outcome.examples["ranks"]]
        for outcome in (by_prompt, by_hand, plain)
    ]
    assert ranks[0] == ranks[1] != ranks[2]


@pytest.mark.parametrize("scoring", ["cosine", "maxsim"])
def test_empty_and_long_texts_are_kept_and_counted(tmp_path, encoder, scoring):
    queries = [*QUERIES, {"id": "q3", "title": " ", "gold": "d0"}]
    documents = [
        *DOCUMENTS,
        {"id": "void", "text": ""},
        {"id": "blank", "text": " \n"},
        {"id": "long", "text": "owl " * 100},
    ]
    data = data_of(tmp_path, queries, documents)
    outcome = measure(task(scoring=scoring, query_prompt="find: "), data, "dev", encoder)
    assert outcome.n_examples == 4
    assert outcome.counts == {
        "documents": 12, "truncated": 1, "truncated_queries": 0, "empty": 2, "empty_queries": 1,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("gold", "said"),
    [
        ([], "queries.jsonl:2: the query has no gold document in 'gold'"),
        (None, "queries.jsonl:2: the query has no gold document in 'gold'"),
        (["d1", "d99"], r"queries.jsonl:2: gold document 'd99' is not in .*corpus.jsonl"),
        (["d1", "d1"], "queries.jsonl:2: a gold document is named twice in 'gold'"),
        ({"d1": 1}, "queries.jsonl:2: field 'gold' is dict where the id of a document is"),
        ([["d1"]], "queries.jsonl:2: field 'gold' is list where the id of a document is"),
        (True, "queries.jsonl:2: field 'gold' is bool where the id of a document is"),
    ],
)
def test_a_query_without_a_gold_document_that_is_there_has_its_row(tmp_path, encoder, gold, said):
    queries = [QUERIES[0], {"title": "x", "gold": gold}]
    with pytest.raises(UserError, match=said):
        measure(task(), data_of(tmp_path, queries), "dev", encoder)


def test_ids_may_be_numbers(tmp_path, encoder):
    documents = [row | {"id": n} for n, row in enumerate(DOCUMENTS)]
    data = data_of(tmp_path, [{"title": "owl", "gold": [3, "4"]}], documents)
    assert len(measure(task(), data, "dev", encoder).examples["ranks"][0]) == 2


def test_a_corpus_is_a_file_or_a_dataset_of_its_own():
    assert task().files("dev") == {"dev": "queries.jsonl", "corpus": "corpus.jsonl"}
    named = {"dataset": "org/set", "config": "corpus", "documents": "train"}
    data = {"dataset": "org/set", "dev": "validation", "corpus": named}
    found = RetrievalTask.model_validate({"name": "x", "type": "retrieval", "data": data})
    assert {role: str(name) for role, name in found.files("dev").items()} == {
        "dev": "org/set, split validation",
        "corpus": "org/set (corpus), split train",
    }


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"corpus": False, "gold": "answers"}, "'gold' names documents of 'data.corpus'"),
        ({"scoring": "maxsim", "pooling": "cls"}, "'pooling' has no part in 'scoring: maxsim'"),
    ],
)
def test_a_setting_that_would_be_ignored_is_refused(fields, said):
    with pytest.raises(ValidationError, match=said):
        task(**fields)
