"""Evidence that nothing honest can be concluded from, or that was tampered with."""

import json

import numpy as np
import pyarrow.parquet as pq
import pytest
from owl_project import IDS, N, Owls, losses, ranks

from mbrelease.cli.main import main
from mbrelease.errors import UserError
from mbrelease.evaluation.dataset import data_sha256


@pytest.fixture
def owls(tmp_path):
    project = Owls(tmp_path)
    project.measure("base", loss=2.0, recall=0.25)
    project.run((1.9, 0.3), (1.8, 0.5))
    return project


def refused(owls) -> str:
    with pytest.raises(UserError) as told:
        owls.decide()
    assert told.value.message.count("\n") == 0
    return f"{told.value.message} | {told.value.mend}"


def test_other_examples_than_the_reference(owls):
    columns = ranks(0.5) | {"id": [f"eagle {n}" for n in range(N)]}
    owls.record("run/checkpoint-20", "find", {"recall_at_1": 0.5}, columns)
    assert refused(owls) == (
        "find/recall@1: checkpoint-20 was measured on other examples than base | "
        "measure them on the same data"
    )


def test_other_masks_than_the_reference(owls):
    columns = losses(1.8)
    # As many tokens in all, of other documents: another tokenizer.
    columns["n_tokens"] = columns["n_tokens"] + np.where(np.arange(N) % 2, 1, -1)
    loss = columns["nll_sum"].sum() / columns["n_tokens"].sum()
    owls.record("run/checkpoint-20", "mlm", {"loss": loss}, columns)
    assert refused(owls) == (
        "mlm/loss: checkpoint-20 was measured with other masks than base, for their tokenizers "
        "differ | compare their bits_per_byte"
    )


def test_bits_per_byte_may_be_compared_over_other_masks(owls):
    owls.edit("{metric: mlm/loss, margin: 0.25}", "{metric: mlm/bits_per_byte, margin: 0.25}")
    for folder, loss, shift in [("base", 2.0, 0), ("run/checkpoint-10", 1.9, 1),
                                ("run/checkpoint-20", 1.8, 2)]:  # fmt: skip
        columns = losses(loss)
        columns["n_tokens"] = columns["n_tokens"] + shift * (np.arange(N) % 2)
        bits = columns["nll_sum"].sum() / np.log(2) / columns["n_bytes"].sum()
        owls.record(folder, "mlm", {"bits_per_byte": bits}, columns)
    assert owls.decide().chosen == "checkpoint-20"


def test_fewer_than_thirty_examples(owls):
    for folder, share in [("base", 0), ("run/checkpoint-10", 10), ("run/checkpoint-20", 20)]:
        rank = np.where(np.arange(29) < share, 1, 2)
        columns = {"id": IDS[:29], "rank": rank}
        owls.record(folder, "find", {"recall_at_1": share / 29}, columns)
    assert refused(owls).startswith("find/recall@1 was measured on 29 examples; fewer than 30 say")


def test_a_metric_that_does_not_vary_decides_nothing_and_says_so(owls):
    for folder in ("base", "run/checkpoint-10", "run/checkpoint-20"):
        owls.record(folder, "find", {"recall_at_1": 0.0}, ranks(0.0))
    decision = owls.decide()
    assert decision.chosen is None
    assert decision.p_keep_reference == 1
    assert "find/recall@1 does not vary: it is the same whatever examples are drawn." in (
        decision.warnings
    )


def test_a_negative_margin_is_refused_with_its_line(owls, capsys, monkeypatch):
    monkeypatch.chdir(owls.root)
    text = (owls.root / "registry.yaml").read_text().replace("margin: 0.25", "margin: -0.25")
    (owls.root / "registry.yaml").write_text(text)
    assert main(["select", "owl"]) == 2
    said = capsys.readouterr().err
    sentence = "margin should be at least 0, not -0.25"
    assert said.splitlines()[0] == f"error: registry.yaml:10:45: {sentence}"


def test_a_changed_file_of_scores(owls):
    [path] = owls.evidence("run/checkpoint-20").glob("find.dev.*.parquet")
    table = pq.read_table(path)
    pq.write_table(table.set_column(1, "rank", [np.ones(N, dtype=np.int64)]), path)
    assert "was changed after it was measured" in refused(owls)


def test_a_missing_file_of_scores(owls):
    [path] = owls.evidence("run/checkpoint-20").glob("find.dev.*.parquet")
    path.unlink()
    assert path.name in refused(owls)


def test_a_value_that_does_not_follow_from_its_examples(owls):
    path = owls.evidence("run/checkpoint-20") / "find.json"
    content = json.loads(path.read_text())
    content["scores"]["dev"][0]["recall_at_1"] = 0.9
    path.write_text(json.dumps(content))
    assert "give recall_at_1 0.5, and the record says 0.9" in refused(owls)


def test_a_reference_that_is_not_measured(owls):
    for path in owls.evidence("base").iterdir():
        path.unlink()
    said = refused(owls)
    assert said.startswith("no evidence of find/recall@1, mlm/loss for base | mbrelease eval base")


def test_several_that_are_not_measured_are_counted(owls):
    owls.checkpoint("run/checkpoint-30", 3)
    owls.checkpoint("run/checkpoint-40", 4)
    assert refused(owls).startswith(
        "no evidence of find/recall@1, mlm/loss for checkpoint-30 (nor for 1 other)"
    )


def test_speed_has_no_examples_to_infer_from(owls):
    owls.edit("metrics: [recall@1]}", "metrics: [recall@1]}\n    - {name: speed, type: efficiency}")
    owls.edit("mlm/loss, margin: 0.25", "speed/short_fixed_tokens_per_second, margin: 5")
    for folder in ("base", "run/checkpoint-10", "run/checkpoint-20"):
        metrics = {"short_fixed_tokens_per_second": 100.0}
        owls.record(folder, "speed", metrics, {"id": ["0"]}, data_sha256=data_sha256([]))
    assert refused(owls) == (
        "'speed/short_fixed_tokens_per_second' has no scores of examples, so nothing can be "
        "inferred from it | choose by a metric that is measured on examples"
    )


def test_fewer_than_thirty_clusters(owls):
    for folder, recall in [("base", 0.25), ("run/checkpoint-10", 0.3), ("run/checkpoint-20", 0.5)]:
        columns = ranks(recall) | {"cluster": [f"wood {number % 29}" for number in range(N)]}
        owls.record(folder, "find", {"recall_at_1": recall}, columns)
    assert refused(owls) == (
        "the examples of find/recall@1 are 29 clusters; fewer than 30 say nothing of how sure a "
        "difference is | give the task 'find' examples of more clusters on dev"
    )
