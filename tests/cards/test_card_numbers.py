"""Every number of a card is the number of a record."""

import copy
import re
from typing import Any

import numpy as np
import pytest
from card_projects import (
    AVERAGE,
    BASE,
    FIRST,
    REGISTRY,
    SECOND,
    VALUES,
    Build,
    Built,
    decision,
    record,
)
from card_projects import (
    row as row_of,
)
from card_projects import write as write_evidence
from card_reading import body, section, table_with
from pydantic import TypeAdapter

from mbrelease.cards.card import render_card
from mbrelease.cards.numbers import (
    amount_text,
    change_text,
    decimals,
    frequency_text,
    interval_text,
    metric_text,
    real_text,
    share_text,
    weight_text,
)
from mbrelease.cards.score_tables import families
from mbrelease.cards.scores import Column, Evaluation
from mbrelease.cards.told import visible
from mbrelease.errors import UserError
from mbrelease.evaluation.evidence import read_records
from mbrelease.evaluation.metric_names import metric_name
from mbrelease.registry.tasks import AnyTask
from mbrelease.selection.decision import write_decision


def number(text: str) -> float:
    return float(text.strip("* ").replace("−", "-"))


def measured(card: str) -> list[dict[str, str]]:
    """The rows of the evaluation, each with the task that its heading or its row names."""
    found = []
    for part in section(card, "Evaluation").split("\n### ")[1:]:
        _, _, task = part.split("\n", 1)[0].partition(": ")
        found += [({"Task": task} if task else {}) | row for row in table_with(part, "this model")]
    return found


def value_spread_interval(cell: str) -> tuple[str, str | None, tuple[str, str]]:
    match = re.fullmatch(r"(\S+)(?: ± (\S+))? \[(\S+), (\S+)\]", cell)
    assert match is not None, cell
    return match[1], match[2], (match[3], match[4])


def change_and_interval(cell: str) -> tuple[float, tuple[float, float] | None]:
    match = re.fullmatch(r"([^ \[]+)(?: \[(\S+), (\S+)\])?", cell)
    assert match is not None, cell
    interval = (number(match[2]), number(match[3])) if match[2] else None
    return number(match[1]), interval


@pytest.mark.parametrize("splits", [("dev", "test"), ("dev",)])
def test_table_equals_the_evidence_files(build: Build, splits: tuple[str, ...]) -> None:
    built = build(splits=splits)
    split = splits[-1]
    rows = measured(render_card(built.project, "science"))
    assert len(rows) == 6
    for row in rows:
        metric = row["Metric"].split()[0]
        key = metric.replace("@", "_at_")
        places = decimals(metric)
        stored = {}
        for column, weights in (("base", BASE), ("this model", AVERAGE)):
            # Read again from the file, not from what the test holds in memory.
            (found,) = [
                r
                for r in read_records(built.project.evidence, weights, row["Task"])
                if r.split == split
            ]
            stored[column] = found.metrics[key]
            value, spread, interval = value_spread_interval(row[column])
            assert value.strip("*") == f"{found.metrics[key]:.{places}f}"
            assert interval == tuple(f"{bound:.{places}f}" for bound in found.ci95[key])
            assert row["n"] == f"{found.n_examples:,}"
            by_seed = [experiment[key] for experiment in found.experiments]
            assert spread == (f"{np.std(by_seed, ddof=1):.{places}f}" if by_seed else None)
        change = stored["this model"] - stored["base"]
        shown, interval = change_and_interval(row["Δ to base"])
        assert shown == pytest.approx(round(change, places), abs=1e-12)
        # The scores of single examples are here of dev alone.
        assert (interval is not None) == (split == "dev")
        assert interval is None or interval[0] <= shown <= interval[1]
        best = (min if metric == "loss" else max)(stored.values())
        for column, value in stored.items():
            alike = f"{value:.{places}f}" == f"{best:.{places}f}"
            assert ("**" in row[column]) == alike


def test_the_only_task_of_a_family_stands_in_its_heading(build: Build) -> None:
    registry = copy.deepcopy(REGISTRY)
    text = section(render_card(build(registry).project, "science"), "Evaluation")
    headings = re.findall(r"^### (.*)$", text, re.MULTILINE)
    assert headings == [
        "Retrieval: title-abstract", "Classification: section",
        "Masked language modelling: heldout-mlm",
    ]  # fmt: skip
    assert "| Task " not in text


def test_of_several_tasks_of_a_family_each_row_names_its_own_and_their_mean_follows() -> None:
    rows = []
    for name, values in {"finds-2": (0.25, 0.5), "hunts": (0.5, 0.625)}.items():
        settings = {"name": name, "type": "retrieval", "data": {"dev": "d"}}
        task = TypeAdapter(AnyTask).validate_python(settings | {"metrics": ["mrr"]})
        both = zip((BASE, AVERAGE), values, strict=True)
        given = [
            record(weights, "title-abstract", "dev", {"mrr": value}) for weights, value in both
        ]
        rows.append(row_of(task, "dev", "mrr", *given))
    columns = (Column("base", BASE, None), Column("this model", AVERAGE, None))
    [family] = families(Evaluation(columns, tuple(rows), None))
    assert str(family.heading) == "Retrieval"
    shown = [[visible(cell) for cell in cells] for cells in family.table.rows]
    assert [cells[0] for cells in shown] == ["finds-2", "hunts", "Mean of 2 tasks"]
    assert shown[-1][2:] == ["0.375", "**0.562**", "+0.188", ""]


def test_the_interval_of_a_change_is_that_of_the_decision(build: Build) -> None:
    """Both are drawn from the same examples of dev, the decision's a thousand times."""
    built = build(splits=("dev",))
    rows = measured(render_card(built.project, "science"))
    chosen = decision(built).chosen_candidate
    assert chosen is not None and chosen.primary is not None
    for one in (chosen.primary, *chosen.guardrails):
        task, metric = one.metric.split("/")
        (row,) = [r for r in rows if (r["Task"], r["Metric"].split()[0]) == (task, metric)]
        sign = -1 if metric == "loss" else 1
        assert one.ci95 is not None
        expected = sorted(sign * bound for bound in one.ci95)
        _, interval = change_and_interval(row["Δ to base"])
        assert interval == pytest.approx(expected, abs=0.003)


def test_values_that_look_alike_are_both_bold_and_do_not_differ(built: Built) -> None:
    rows = measured(render_card(built.project, "science"))
    (row,) = [r for r in rows if (r["Task"], r["Metric"]) == ("section", "macro_f1 ↑")]
    # 0.4012345 against 0.40119
    assert row["base"].startswith("**0.401**")
    assert row["this model"].startswith("**0.401**")
    assert row["Δ to base"] == "0.000"


def test_candidates_table_equals_the_decision(built: Built) -> None:
    rows = table_with(body(render_card(built.project, "science")), "Candidate")
    names = ["base (reference)", "checkpoint-100", "checkpoint-200", "**best:1+last**"]
    assert [row["Candidate"] for row in rows] == names
    for row, weights in zip(rows, (BASE, FIRST, SECOND, AVERAGE), strict=True):
        values = VALUES[weights]
        assert row["title-abstract<br>recall@1 ↑"] == (
            f"{values['title-abstract']['recall_at_1'][0]:.3f}"
        )
        assert row["heldout-mlm<br>loss ↓"] == f"{values['heldout-mlm']['loss'][0]:.4f}"
        assert row["section<br>macro_f1 ↑"] == f"{values['section']['macro_f1'][0]:.3f}"
    among = "among the best"
    assert [row["Standing"] for row in rows] == ["", "fails section/macro_f1", among, among]
    given = decision(built)
    shares = [given.p_keep_reference, *(one.p_selected for one in given.candidates)]
    assert [row["P"] for row in rows] == [frequency_text(share or 0.0) for share in shares]


def test_the_chosen_weights_show_the_change_of_the_number_itself(built: Built) -> None:
    rows = table_with(body(render_card(built.project, "science")), "Required")
    chosen = decision(built).chosen_candidate
    assert chosen is not None and chosen.primary is not None
    for row, one, lower in zip(
        rows,
        [chosen.primary, *chosen.guardrails],
        [chosen.superiority, *(result.lower for result in chosen.guardrails)],
        strict=True,
    ):
        sign = -1 if one.metric.endswith("loss") else 1
        assert one.ci95 is not None and lower is not None
        change, low, high = (sign * x for x in (one.change, *one.ci95[::sign]))
        interval = f"[{change_text(one.metric, low)}, {change_text(one.metric, high)}]"
        assert row["Change"] == f"{change_text(one.metric, change)} {interval}"
        assert row["At worst"] == change_text(one.metric, sign * lower)
    recall, loss, f1 = rows
    assert (loss["Reference"], loss["Chosen"]) == ("3.9877", "3.6123")
    assert loss["Change"].startswith("−0.3753")  # 3.6123456 − 3.98765432; it fell: better
    assert (recall["Required"], loss["Required"], f1["Required"]) == (
        "above 0", "below +0.02", "above −0.01",
    )  # fmt: skip
    assert [row["Result"] for row in rows] == ["better (p < 0.001)", "pass", "pass"]


@pytest.mark.parametrize(
    ("changes", "standing"),
    [
        ({"eligible": False}, "passes alone, not as one of 3"),
        ({"superior": False, "tied": False}, "not shown to be better"),
        ({"tied": False}, "behind the best"),
        ({"guardrails": []}, "among the best"),
    ],
)
def test_standing_is_what_stopped_a_candidate_first(
    built: Built, changes: dict[str, Any], standing: str
) -> None:
    given = decision(built)
    first, second, average = given.candidates
    second = second.model_copy(update=changes)
    given = given.model_copy(update={"candidates": [first, second, average]})
    write_decision(built.project.decision("science"), given)
    rows = table_with(body(render_card(built.project, "science")), "Candidate")
    assert rows[2]["Standing"] == standing


def test_the_only_one_left_is_the_best(built: Built) -> None:
    given = decision(built)
    *others, last = given.candidates
    behind = [one.model_copy(update={"tied": False}) for one in others]
    given = given.model_copy(update={"candidates": [*behind, last]})
    write_decision(built.project.decision("science"), given)
    *_, second, chosen = table_with(body(render_card(built.project, "science")), "Candidate")
    assert [*chosen][-2:] == ["P", "Standing"]
    assert (second["Standing"], chosen["Standing"]) == ("behind the best", "best")


@pytest.mark.parametrize(
    ("metric", "name"),
    [
        ("macro_f1", "macro-F1"), ("ndcg@10", "nDCG@10"), ("ndcg_at_10", "nDCG@10"),
        ("recall_at_1", "recall@1"), ("tokens_per_second", "tokens per second"), ("loss", "loss"),
    ],
)  # fmt: skip
def test_metrics_in_texts_have_the_names_that_people_use(metric: str, name: str) -> None:
    assert metric_name(metric) == name


def test_an_unsettled_candidate_names_its_guardrail(build: Build) -> None:
    registry = copy.deepcopy(REGISTRY)
    guardrails = registry["policies"]["science"]["guardrails"]
    guardrails[1]["margin"] = 0.21  # the first checkpoint lies about that far below the base
    rows = table_with(body(render_card(build(registry).project, "science")), "Candidate")
    assert rows[1]["Standing"] == "inconclusive on section/macro_f1"


def test_summary_repeats_the_table(built: Built) -> None:
    text = section(render_card(built.project, "science"), "Summary")
    assert "- heldout-mlm: loss **3.6235** (base: 4.0123)" in text
    assert "- title-abstract: recall@1 **0.160** (base: 0.071)" in text


def test_says_which_split_chose_and_which_is_reported(build: Build) -> None:
    card = render_card(build().project, "science")
    assert "chosen on the dev split. The results come from the test split" in card
    assert "which also chose the weights" not in card


def test_says_when_one_split_did_both(build: Build) -> None:
    card = render_card(build(splits=("dev",)).project, "science")
    assert "chosen on dev too" in section(card, "Evaluation")
    assert "the dev split, which also chose the weights" in section(card, "Limitations")


def test_task_without_test_results_falls_back_to_dev_and_says_so(build: Build) -> None:
    built = build()
    for weights in (BASE, AVERAGE):
        path = built.records[weights, "section", "test"].file
        assert path is not None
        path.unlink()
        write_evidence(built.project.evidence, built.records[weights, "section", "dev"])
    rows = measured(render_card(built.project, "science"))
    assert [(row["Task"], row["Split"], row["n"]) for row in rows] == [
        *[("title-abstract", "test", "1,048")] * 2,
        *[("section", "dev", "492")] * 2,
        *[("heldout-mlm", "test", "1,048")] * 2,
    ]


@pytest.mark.parametrize(
    "change",
    [{"attn": "fa2-varlen"}, {"dtype": "bfloat16"}, {"data_sha256": "d" * 64}, {"code_version": 2}],
)
def test_only_measurements_made_alike_stand_side_by_side(
    built: Built, change: dict[str, str]
) -> None:
    """A record of this model measured otherwise must not displace the one that compares."""
    odd = record(AVERAGE, "title-abstract", "test", {"recall_at_1": 0.9, "mrr": 0.9}, **change)
    write_evidence(built.project.evidence, odd)
    rows = measured(render_card(built.project, "science"))
    shown = {row["Metric"]: row for row in rows if row["Task"] == "title-abstract"}
    assert shown["recall@1 ↑"]["this model"].startswith("**0.160**")
    assert shown["recall@1 ↑"]["base"].startswith("0.071")


@pytest.mark.parametrize("attn", ["a-first", "sdpa", "z-last"])
def test_of_two_backends_the_one_that_chose_is_reported(built: Built, attn: str) -> None:
    """Both models measured on test by two backends; the decision tells which to show."""
    for other, value in (("a-first", 0.5), ("z-last", 0.75)):
        for weights in (BASE, AVERAGE):
            for split in ("dev", "test"):
                found = 0.25 if (weights, split) == (BASE, "dev") else value
                values = {"recall_at_1": found, "mrr": found}
                odd = record(weights, "title-abstract", split, values, attn=other)
                odd = write_evidence(built.project.evidence, odd)
                if split == "dev" and other == attn:
                    built.records[weights, "title-abstract", "dev"] = odd
    write_decision(built.project.decision("science"), decision(built))
    rows = measured(render_card(built.project, "science"))
    (row,) = [row for row in rows if row["Metric"] == "recall@1 ↑"]
    shown = {"a-first": "**0.500**", "sdpa": "**0.160**", "z-last": "**0.750**"}
    assert row["this model"].startswith(shown[attn])


def test_a_reference_measured_otherwise_is_left_out(built: Built) -> None:
    project = built.project
    path = built.records[BASE, "title-abstract", "test"].file
    assert path is not None
    path.unlink()
    values = {"recall_at_1": 0.9, "mrr": 0.9}
    write_evidence(
        project.evidence, record(BASE, "title-abstract", "test", values, dtype="bfloat16")
    )
    rows = measured(render_card(project, "science"))
    missing = [row for row in rows if row["Task"] == "title-abstract"]
    assert len(missing) == 2
    for row in missing:
        assert row["base"] == "–"
        assert "Δ to base" not in row  # a column that would hold nothing
        assert "**" not in row["this model"]  # nothing to be better than
    assert all(row["Δ to base"] for row in rows if row not in missing)


def test_data_on_disk_decides_between_measurements_of_two_versions(built: Built) -> None:
    from mbrelease.files import sha256_file

    data = built.project.path("data/test.jsonl")
    data.parent.mkdir()
    data.write_text('{"title": "a", "text": "b"}\n')
    today = {"data_sha256": sha256_file(data)}
    for weights, value in ((BASE, 0.2), (AVERAGE, 0.3)):
        values = {"recall_at_1": value, "mrr": value}
        write_evidence(
            built.project.evidence, record(weights, "title-abstract", "test", values, **today)
        )
    rows = measured(render_card(built.project, "science"))
    assert [r["this model"][:9] for r in rows if r["Task"] == "title-abstract"] == ["**0.300**"] * 2


def test_a_number_that_is_none_stops_the_card(built: Built) -> None:
    path = built.records[AVERAGE, "heldout-mlm", "test"].file
    assert path is not None
    path.write_text(path.read_text().replace("3.62345678", "NaN"))
    with pytest.raises(UserError, match="not a finite number"):
        render_card(built.project, "science")


def test_average_names_its_members_and_weights(built: Built) -> None:
    text = section(render_card(built.project, "science"), "How these weights were chosen")
    assert "`best:1+last` averages checkpoint-100 and checkpoint-200, 1/2 each." in text
    uneven = decision(built)
    last = uneven.candidates[-1].model_copy(
        update={"members": {"checkpoint-100": 0.25, "checkpoint-200": 0.75}}
    )
    write_decision(
        built.project.decision("science"),
        uneven.model_copy(update={"candidates": [*uneven.candidates[:-1], last]}),
    )
    text = section(render_card(built.project, "science"), "How these weights were chosen")
    assert "averages 1/4 × checkpoint-100, 3/4 × checkpoint-200." in text


def test_evidence_is_named_with_its_record(built: Built) -> None:
    rows = table_with(body(render_card(built.project, "science")), "Record")
    assert len(rows) == 6
    for row in rows:
        weights = BASE if row["Model"] == "base" else AVERAGE
        found = built.records[weights, row["Task"], row["Split"]]
        assert found.file == built.project.root / row["File"]
        assert row["Record"] == found.provenance.key[:16]


@pytest.mark.parametrize(
    ("metric", "value", "text"),
    [
        ("heldout-mlm/loss", 3.70712, "3.7071"),
        ("bits_per_byte", 1.23456, "1.2346"),
        ("perplexity", 40.126, "40.13"),
        ("recall@1", 0.4396, "0.440"),
        ("recall_at_1", 1.0, "1.000"),
        ("mrr", -0.00001, "0.000"),
    ],
)
def test_metric_text(metric: str, value: float, text: str) -> None:
    assert metric_text(metric, value) == text


def test_signs_and_intervals() -> None:
    assert change_text("loss", -0.096) == "−0.0960"
    assert change_text("recall@1", 0.1612) == "+0.161"
    assert change_text("recall@1", -0.0004) == "0.000"
    assert interval_text("recall@1", (0.42, 0.4605)) == "[0.420,\u00a00.461]"
    assert [weight_text(w) for w in (1 / 3, 0.25, 0.123456789)] == ["1/3", "1/4", "0.123457"]


def test_amounts_lose_nothing() -> None:
    assert amount_text(450_000_000) == "450 million"
    assert amount_text(1_719_000_000_000) == "1.719 trillion"
    assert amount_text(518_531) == "518,531"
    assert amount_text(1_000_001) == "1,000,001"
    assert (real_text(2e-5), real_text(160_000.0), share_text(0.3)) == ("2e-5", "160,000", "30%")


def test_frequencies_are_whole_percent_and_never_zero_for_what_happened() -> None:
    assert [frequency_text(share) for share in (0, 0.0004, 0.0099, 0.191, 1)] == [
        "0%", "<1%", "<1%", "19%", "100%",
    ]  # fmt: skip


def test_numbers_measured_with_other_settings_stop_the_card(built: Built) -> None:
    task = built.project.suite("science")[0]
    assert task.name == "heldout-mlm"
    object.__setattr__(task, "mask_rate", 0.15)
    with pytest.raises(UserError, match="heldout-mlm was measured on test with other settings"):
        render_card(built.project, "science")
