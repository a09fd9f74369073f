"""Tables of reported figures: what a registry may say of them, and what it may not."""

from __future__ import annotations

import pytest

from mbrelease.registry.load import load_project
from mbrelease.registry.reported_tables import split_reported
from mbrelease.registry.schema import CardText, IntendedUse

TABLES = """\
version: 1
family: Owls
peers:
  jay: {title: Jay, repo: jays/one}
document_sets:
  short: {title: Short, documents: 10, tokens: 4_000}
variants:
  owl:
    repo: owls/owl
    card:
      tables: [birds, sets]
      design_beside: [owlet]
      intended_use: [Hooting, {use: Finding, measured_by: [nests]}]
  owlet: {}
tables:
  birds:
    title: Birds
    models: [jay, owl]
    labels: {owl: Owl}
    stated: {jay: {context: 512}}
    layout: metrics
    columns:
      - {label: A, metric: "nests[a]/ndcg@10"}
      - {label: Speed, metric: speed/rate, check: {thousand_tokens: short, seconds: speed/seconds}}
    change: {of: owl, against: jay}
  bands:
    title: Bands
    layout: metrics
    bands: [{title: Small, models: [owlet]}, {title: Large, models: [owl]}]
    columns: [{label: Mean, mean: ["nests[*]/ndcg@10"]}]
  sets: {title: Sets, document_sets: [short]}
aliases: {production: owl}
"""


def test_it_is_read(tmp_path):
    (tmp_path / "registry.yaml").write_text(TABLES)
    registry = load_project(tmp_path / "registry.yaml").registry
    assert registry.tables["bands"].all_models == ("owlet", "owl")
    assert registry.variants["owl"].card.uses == (
        IntendedUse(use="Hooting"),
        IntendedUse(use="Finding", measured_by=["nests"]),
    )
    assert CardText().uses == ()


@pytest.mark.parametrize(
    ("metric", "parts"),
    [
        ("glue/score", ("glue", None, "score")),
        ("glue[cola]/score", ("glue", "cola", "score")),
        ("beir[*]/ndcg@10", ("beir", "*", "ndcg@10")),
    ],
)
def test_metrics_are_of_a_task_or_a_part_of_it(metric, parts):
    assert split_reported(metric) == parts


# (what to replace, by what, the complaint)
REPLACED = {
    "a model that nobody knows": ("models: [jay,", "models: [jai,",
        "18:14: model 'jai' is not in the registry, did you mean 'jay'?"),
    "a model twice": ("models: [jay, owl]", "models: [jay, owl, jay]",
        "18:24: model 'jay' is given twice"),
    "a model of a band": ("models: [owlet]}", "models: [owlat]}",
        "29:37: model 'owlat' is not in the registry, did you mean 'owlet'?"),
    "a label of no model": ("labels: {owl:", "labels: {owlet:",
        "19:14: model 'owlet' is not in this table, did you mean 'owl'?"),
    "a fact of no model": ("stated: {jay:", "stated: {owlet:",
        "20:14: model 'owlet' is not in this table, did you mean 'owl'?"),
    "a change of no model": ("of: owl, against", "of: owlet, against",
        "25:18: model 'owlet' is not in this table, did you mean 'owl'?"),
    "a document set": ("thousand_tokens: short", "thousand_tokens: shirt",
        "24:69: document set 'shirt' is not in the registry, did you mean 'short'?"),
    "a document set of a table": ("document_sets: [short]", "document_sets: [shirt]",
        "31:39: document set 'shirt' is not in the registry, did you mean 'short'?"),
    "a table of a card": ("tables: [birds,", "tables: [bird,",
        "11:16: table 'bird' is not in the registry, did you mean 'birds'?"),
    "a variant beside it": ("design_beside: [owlet]", "design_beside: [jay]",
        "12:23: variant 'jay' is not in the registry"),
    "a task that measured a use": ("measured_by: [nests]", "measured_by: [nest]",
        "13:60: no task 'nest' in the suite or the tables of variant 'owl', did you mean 'nests'?"),
    "a peer like a variant": ("  jay: {title: Jay, repo: jays/one}",
        "  jay: {title: Jay, repo: jays/one}\n  owl: {title: Owl}",
        "5:3: peer 'owl' is also the name of a variant"),
    "a peer like an alias": ("  jay: {title: Jay, repo: jays/one}",
        "  jay: {title: Jay, repo: jays/one}\n  production: {title: Owl}",
        "5:3: peer 'production' is also the name of an alias"),
    "a repo twice": ("repo: jays/one", "repo: Owls/Owl",
        "4:27: repo 'Owls/Owl' is already that of 'owl'"),
    "no metric": ('"nests[a]/ndcg@10"', "nests",
        "23:28: metric 'nests' should be task/metric or task[subset]/metric"),
    "two figures in a column": ("{label: A, metric:", "{label: A, mean: [a/b], metric:",
        "23:9: columns[0]: says either 'metric' or 'mean'"),
    "no figure in a column": ("{label: A, metric: \"nests[a]/ndcg@10\"}", "{label: A}",
        "23:9: columns[0]: says either 'metric' or 'mean'"),
    "a check without seconds": (", seconds: speed/seconds}", "}",
        "24:51: check: says either 'mean', or 'thousand_tokens' and 'seconds'"),
    "a check of a mean": ('mean: ["nests[*]/ndcg@10"]}', "mean: [a/b], check: {mean: [a/b]}}",
        "30:15: columns[0]: 'sd' and 'check' are of a 'metric', and there is none"),
    "models and bands": ("    bands: [", "    models: [owl]\n    bands: [",
        "27:5: bands: says one of 'models', 'bands' and 'document_sets'"),
    "sets with columns": ("[short]}", "[short], columns: [{label: A, metric: a/b}]}",
        "31:9: sets: has 'columns' with its models, and none with 'document_sets'"),
    "a change without the layout": ("    layout: metrics\n", "",
        "17:5: birds: has 'change' only with 'layout: metrics'"),
    "facts with metrics on the left": ("    labels: {owl: Owl}", "    facts: [context]",
        "17:5: birds: has no 'facts' with the layout 'metrics'"),
    "an unknown key": ("of: owl, against", "from: owl, against",
        "25:14: unknown key 'from' in tables.birds.change; known are of, against, unit"),
}  # fmt: skip


def test_it_has_no_mistakes(mistakes):
    assert mistakes(TABLES) == []


@pytest.mark.parametrize(("old", "new", "said"), REPLACED.values(), ids=REPLACED)
def test_a_mistake_is_told_at_its_place(mistakes, old, new, said):
    assert old in TABLES
    assert f"registry.yaml:{said}" in mistakes(TABLES.replace(old, new, 1))
