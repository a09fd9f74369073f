"""Which sections appear, and what they say."""

import copy
import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from card_projects import REGISTRY, Build, Built, decision, election
from card_reading import body, headings, section, table_with

from mbrelease.cards.card import render_card, render_folder_card
from mbrelease.cards.escape import markdown
from mbrelease.errors import CheckFailed, UserError
from mbrelease.evaluation.reported import ReportedResult, ReportSource, write_reported
from mbrelease.selection.decision import write_decision
from mbrelease.selection.policy import decide, decide_among

ALL = [
    "Summary", "Contents", "Versions and lineage", "Usage", "Training",
    "How these weights were chosen", "Evaluation", "Intended use", "Limitations",
    "Related models", "Licence", "Citation", "How this card was made",
]  # fmt: skip


def changed(**science: Any) -> dict[str, Any]:
    registry = copy.deepcopy(REGISTRY)
    registry["variants"]["science"].update(science)
    return registry


def test_all_sections_in_order(built: Built) -> None:
    card = render_card(built.project, "science")
    assert headings(body(card)) == ALL
    assert card.endswith("\n") and not card.endswith("\n\n")
    assert "\n\n\n" not in card
    assert not any(line != line.rstrip() for line in card.splitlines())


def test_an_empty_section_does_not_appear(build: Build) -> None:
    card = render_card(build(decide=False, splits=()).project, "base")
    expected = ["Summary", "Contents", "Versions and lineage", "Usage", "Limitations", "Licence"]
    assert headings(body(card)) == [*expected, "How this card was made"]
    for word in ("More Information", "None", "undefined", "TODO"):
        assert word not in card


def test_rendering_twice_gives_the_same_bytes_within_a_second(built: Built) -> None:
    started = time.monotonic()
    first, second = (render_card(built.project, "science") for _ in range(2))
    assert first == second
    assert time.monotonic() - started < 2


def test_alias_names_the_variant(build: Build) -> None:
    registry = {**REGISTRY, "aliases": {"production": "science"}}
    project = build(registry).project
    assert render_card(project, "production") == render_card(project, "science")


def test_summary_says_what_was_chosen_and_why(built: Built) -> None:
    text = section(render_card(built.project, "science"), "Summary")
    assert (
        "The weights are `best:1+last`, an average of 2 checkpoints, chosen among 2 checkpoints "
        "and 1 average on the dev split. best:1+last has the highest title-abstract/recall@1 "
        "(0.171) of the 2 of 3 candidates that pass every guardrail and are better than base."
    ) in text
    assert (
        "Science is a ModernBERT encoder for English, made by continued pretraining of "
        "[org/base](https://huggingface.co/org/base)."
    ) in text


def test_policy_in_words(built: Built) -> None:
    text = section(render_card(built.project, "science"), "How these weights were chosen")
    assert [line for line in text.splitlines() if line.startswith("- ")][:4] == [
        "- Every candidate is paired with base on the same examples of dev, which are drawn again "
        "1,000 times (paired bootstrap; the seeds of trained heads too).",
        "- Guardrails: it has to be shown that heldout-mlm/loss does not rise by more than 0.02 "
        "and section/macro_f1 does not fall by more than 0.01 (non-inferiority, one-sided α = "
        "0.05, Holm's correction for 3 candidates). What is inconclusive does not pass.",
        "- It has to be better on title-abstract/recall@1, by a lower bound that holds for all 3 "
        "candidates at once (max-T, α = 0.05).",
        "- Of those that are, the best on title-abstract/recall@1 and all that cannot be told "
        "from it (max-T) count as equals: the latest of them is chosen. Where none is left, base "
        "is kept.",
    ]


def test_one_candidate_needs_no_correction(built: Built) -> None:
    whole = election(built)
    alone = replace(whole, candidates=whole.candidates[-1:])
    write_decision(built.project.decision("science"), decide_among(alone))
    text = section(render_card(built.project, "science"), "How these weights were chosen")
    assert "by a lower bound (one-sided α = 0.05)." in text
    for word in ("Holm", "max-T", "at once", "count as equals"):
        assert word not in text


def test_the_choice_says_how_sure_it_is(built: Built) -> None:
    given = decision(built)
    text = section(render_card(built.project, "science"), "How these weights were chosen")
    assert given.findings and given.warnings
    said = [*given.reasons, *(finding.sentence for finding in given.findings), *given.warnings]
    for sentence in said:
        assert f"- {markdown(sentence)}\n" in text
    assert "“at worst” is a one-sided 95% bound." in text
    assert "after Holm's correction for 3 candidates." in text


def test_reasons_for_a_second_look_are_told_once(built: Built) -> None:
    given = decision(built, reasons_for_second_looks=["a *bug* in dev"])
    write_decision(built.project.decision("science"), given)
    card = render_card(built.project, "science")
    assert card.count("- a \\*bug\\* in dev\n") == 1
    assert "The test split was looked at again" in section(card, "Limitations")


def test_a_choice_by_reported_values_claims_no_more(build: Build) -> None:
    registry = copy.deepcopy(REGISTRY)
    registry["policies"]["science"].update(tie_break="earliest")
    project = build(registry, splits=(), decide=False).project
    steps = {
        None: (4.0, 0.06, 0.40), 100: (3.9, 0.16, 0.42), 200: (3.8, 0.18, 0.41),
        300: (3.7, 0.18, 0.40), 400: (3.6, 0.30, 0.30),
    }  # fmt: skip
    names = (
        ("heldout-mlm", "loss"), ("title-abstract", "recall_at_1"), ("section", "macro_f1"),
    )  # fmt: skip
    for step, values in steps.items():
        for (task, metric), value in zip(names, values, strict=True):
            said = ReportedResult(
                task, "dev", metric, value, ReportSource(name="a paper"),
                details={} if step is None else {"step": step},
            )  # fmt: skip
            write_reported(project.evidence, "base" if step is None else "science", [said])
    write_decision(project.decision("science"), decide(project, "science"))
    card = body(render_card(project, "science"))
    text = section(card, "How these weights were chosen")
    assert "Only reported values were compared, as they stand" in text
    assert "may not rise by more than 0.02 and section/macro_f1 may not fall by" in text
    assert "Candidates: 4 checkpoints, by values reported on the dev split." in text
    for word in ("bootstrap", "Holm", "max-T", "At worst", "interval]", "drawn again"):
        assert word not in text
    rows = table_with(card, "Candidate")
    assert "P" not in rows[0]
    assert [(row["Candidate"], row["Standing"]) for row in rows] == [
        ("base (reference)", ""),
        ("step-100", "behind the best"),
        ("**step-200**", "among the best"),
        ("step-300", "among the best"),
        ("step-400", "fails section/macro_f1"),
    ]
    assert table_with(card, "Required")[0]["Change"] == "+0.120"
    assert "The weights were chosen by reported values alone" in section(card, "Limitations")


def test_lineage_as_text(build: Build) -> None:
    registry = changed(supersedes="first")
    registry["variants"]["first"] = {"parents": REGISTRY["variants"]["science"]["parents"]}
    registry["variants"]["child"] = {
        "parents": [{"variant": "science", "relation": "quantization"}]
    }
    registry["variants"]["stranger"] = {}
    text = section(render_card(build(registry).project, "science"), "Versions and lineage")
    assert text.strip() == (
        "- Supersedes first.\n\n"
        "```text\n"
        "base (org/base)\n"
        "├── science (org/science) · continued pretraining  ← this model\n"
        "│   └── child · quantization\n"
        "└── first · continued pretraining\n"
        "```"
    )


def test_data_table_has_licences_and_a_computed_total(built: Built) -> None:
    card = body(render_card(built.project, "science"))
    rows = table_with(card, "Licence")
    assert [row["Licence"] for row in rows] == ["cc-by-4.0", "not stated", ""]
    assert [row["Documents"] for row in rows] == ["9", "1,009", "1,018"]
    assert "No licence is stated for Abstracts." in card


@pytest.mark.parametrize(
    ("science", "sentence", "expected"),
    [
        ({}, "sequences of up to 512 tokens", True),
        ({"training": {"context": 8192}}, "sequences of up to", False),
        ({"training": {"phases": [{"name": "p", "context": 8192}]}}, "sequences of up to", False),
        ({}, "It is meant for English.", True),
        ({"languages": ["en", "fr"]}, "It is meant for English and French.", True),
        ({"languages": ["multilingual"]}, "It is meant for", False),
        ({}, "The weights are an average of checkpoints.", True),
        ({}, "(1,048 in the smallest set)", False),
        ({}, "1 other candidate cannot be told from the best either: the policy's", True),
        ({}, "On section/macro_f1, dev has too few examples", True),
        ({}, "The choice may be noise", False),
        ({}, "looked at again", False),
        ({}, "- Few books were read.", True),
    ],
)
def test_limitations_follow_from_the_facts(
    build: Build, science: dict[str, Any], sentence: str, expected: bool
) -> None:
    card = render_card(build(changed(**science)).project, "science")
    assert (sentence in section(card, "Limitations")) == expected


def test_a_shaky_choice_is_a_limitation(built: Built) -> None:
    given = decision(built)
    *others, last = given.candidates
    last = last.model_copy(update={"p_selected": 0.19})
    policy = given.policy.model_copy(update={"tie_break": "best"})
    given = given.model_copy(update={"candidates": [*others, last], "policy": policy})
    write_decision(built.project.decision("science"), given)
    text = section(render_card(built.project, "science"), "Limitations")
    assert "the rule chooses these weights in 19% of cases." in text
    assert "the greatest value was taken, and its lead may be noise." in text


def test_how_much_the_choice_flatters_stands_where_the_same_split_is_reported(build: Build) -> None:
    for splits, expected in ((("dev",), True), (("dev", "test"), False)):
        built = build(splits=splits)
        write_decision(built.project.decision("science"), decision(built, optimism=0.0091))
        text = section(render_card(built.project, "science"), "Limitations")
        flattered = "better there than it is, on title-abstract/recall@1 by about 0.009."
        assert (flattered in text) == expected


def test_few_examples_are_a_limitation(build: Build) -> None:
    text = section(render_card(build(splits=("dev",)).project, "science"), "Limitations")
    assert "few examples (492 in the smallest set)" in text


def test_a_single_checkpoint_is_no_average(built: Built) -> None:
    given = decision(built, chosen="checkpoint-200")
    write_decision(built.project.decision("science"), given)
    card = render_card(built.project, "science")
    assert "The weights are `checkpoint-200`, chosen among" in card
    assert "average of" not in section(card, "Limitations")


def test_no_candidate_was_chosen(built: Built) -> None:
    given = decision(built, chosen=None, reasons=["None passed heldout-mlm/loss."])
    write_decision(built.project.decision("science"), given)
    with pytest.raises(CheckFailed, match="no candidate was chosen") as error:
        render_card(built.project, "science")
    assert error.value.exit_code == 1
    assert "None passed" in str(error.value)


def test_a_missing_decision_says_what_to_run(build: Build) -> None:
    project = build(changed(run="runs/science"), decide=False).project
    with pytest.raises(UserError, match="mbrelease select science"):
        render_card(project, "science")


def test_without_a_repo_the_examples_load_the_folder(build: Build) -> None:
    registry = copy.deepcopy(REGISTRY)
    del registry["variants"]["science"]["repo"]
    text = section(render_card(build(registry).project, "science"), "Usage")
    assert 'model_id = "."' in text


def test_usage_embeds_as_the_evaluation_does(build: Build) -> None:
    registry = copy.deepcopy(REGISTRY)
    registry["suites"]["science"][1].update(pooling="cls", max_length=300)
    text = section(render_card(build(registry).project, "science"), "Usage")
    assert "max_length=300" in text
    assert "embeddings = hidden[:, 0]" in text
    text = section(render_card(build().project, "science"), "Usage")
    assert "max_length=256" in text
    assert "mask.sum(dim=1)" in text


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (
            {},
            "each title has to find its own text among 1,048, by cosine similarity (mean pooling)",
        ),
        (
            {
                "data": {"dev": "q.jsonl", "test": "q.jsonl", "corpus": {"documents": "c.jsonl"}},
                "document": ["head", "body"],
                "scoring": "maxsim",
            },
            "each title has to find the right head and body among 1,048, by late interaction of",
        ),
    ],
)
def test_a_retrieval_task_says_what_is_found_and_how(
    build: Build, settings: dict[str, Any], said: str
) -> None:
    registry = copy.deepcopy(REGISTRY)
    registry["suites"]["science"][1].update(settings)
    assert said in section(render_card(build(registry).project, "science"), "Evaluation")


def test_a_stated_choice_without_a_decision(build: Build) -> None:
    chosen = {"checkpoint": 50_000, "note": "Retrieval turned down later."}
    registry = changed(chosen=chosen)
    text = render_card(build(registry, decide=False).project, "science")
    assert "The weights are those after 50,000 steps." in text
    assert "Retrieval turned down later." in text


def test_a_folder_without_a_registry(folder: Path) -> None:
    log = [{"step": 40, "eval_loss": 2.34567}, {"step": 20, "learning_rate": 0.001}]
    state = {"global_step": 40, "max_steps": 100, "log_history": log}
    (folder / "trainer_state.json").write_text(json.dumps(state))
    card = body(render_folder_card(folder))
    assert card.startswith("\n# checkpoint-40\n")
    assert "is not recorded here" in card
    assert table_with(card, "Size")[0] == {"Size": "Parameters", "Value": "12"}
    assert table_with(card, "Step") == [
        {"Logged by the Trainer": "eval_loss", "Step": "40", "Value": "2.3457"}
    ]
    assert {row["Setting"]: row["Value"] for row in table_with(card, "Setting")}["Steps"] == (
        "40 of 100 planned"
    )
    assert "Licence" not in headings(card)


def test_a_folder_that_is_an_average(folder: Path) -> None:
    members = [{"name": f"checkpoint-{n}", "weight": "1/2"} for n in (30, 40)]
    (folder / "averaging.json").write_text(json.dumps({"recipe": "last:2", "members": members}))
    text = section(render_folder_card(folder), "Summary")
    assert (
        "an average of 2 checkpoints (recipe `last:2`): checkpoint-30 and checkpoint-40, 1/2 each."
    ) in text


def test_a_broken_record_of_an_average(folder: Path) -> None:
    (folder / "averaging.json").write_text('{"recipe": "last:2"}')
    with pytest.raises(UserError, match=r"averaging\.json: not a record of an average"):
        render_folder_card(folder)


def test_every_variant_of_our_own_registry_has_a_card() -> None:
    from mbrelease.registry.load import load_project

    project = load_project(Path(__file__).parents[2] / "registry.yaml")
    for name in project.registry.variants:
        assert headings(body(render_card(project, name)))[:1] == ["Summary"]
