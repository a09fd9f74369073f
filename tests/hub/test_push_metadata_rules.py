"""The offline rules beside the rehearsal Hub's own: written apart, held against each other here."""

from __future__ import annotations

from pathlib import Path

import pytest
from huggingface_hub import HfApi

from mbrelease.hub.front_matter import ask_server, readme_problems
from mbrelease.hub.rehearsal.metadata import validate
from mbrelease.metadata.check import check_metadata


def index(result: str) -> str:
    return f"license: mit\nmodel-index:\n- name: x\n  results:\n  - {result}"


RESULT = "{task: {type: a}, dataset: {type: b, name: c}, metrics: [{type: f1, value: 0.5}]}"
BOTH_TAKE = [
    "license: apache-2.0",
    "license: [mit, apache-2.0]",
    "license: mit\nlanguage: en",
    "license: mit\nlanguage: [en, de]",
    "license: mit\nbase_model: bert-base-uncased\nbase_model_relation: finetune",
    "license: mit\nbase_model: [a/b, c/d]\nbase_model_relation: merge",
    "license: mit\ndatasets: [org/x]\nmetrics: [accuracy]",
    "license: mit\ntags: [x]\npipeline_tag: fill-mask\nlibrary_name: transformers",
    index(RESULT),
    index(RESULT[:-1] + ", source: {url: 'https://x.org', name: X}}"),
    "license: mit\nown_field: {a: [1, 2.5, true]}",
]
BOTH_REFUSE = [
    "license: 7",
    "license: apache2",
    "license: [mit, apache2]",
    "license: mit\nlicense: mit",
    "license: mit\nlanguage: english",
    "license: mit\nlanguage: [EN]",
    "license: {a: b}",
    "license: ''",
    "license: mit\nlanguage: {a: b}",
    "license: mit\nlanguage: no",
    "license: mit\ntags: x",
    "license: mit\ntags: [7]",
    "license: mit\ndatasets: [7]",
    "license: mit\npipeline_tag: [fill-mask]",
    "license: mit\nlibrary_name: 7",
    "license: mit\nbase_model: ./run\nbase_model_relation: finetune",
    "license: mit\nbase_model: a/b/c\nbase_model_relation: finetune",
    "license: mit\nbase_model: [7]\nbase_model_relation: merge",
    "license: mit\nbase_model: a/b\nbase_model_relation: banana",
    "license: mit\nbase_model_relation: finetune",
    "license: mit\nmodel-index: {name: x}",
    "license: mit\nmodel-index: [{results: []}]",
    "license: mit\nmodel-index: [{name: x}]",
    index("{dataset: {type: b, name: c}, metrics: [{type: f1, value: 0.5}]}"),
    index("{task: {type: a}, dataset: {type: b}, metrics: [{type: f1, value: 0.5}]}"),
    index("{task: {type: a}, dataset: {type: b, name: c}, metrics: []}"),
    index("{task: {type: a}, dataset: {type: b, name: c}, metrics: [{type: f1}]}"),
    "license: [mit",
    "license: mit\n\tx: y",
    "- a list",
    "license: mit\nreviewed: 2024-13-45",
    "x: " + "[" * 5000,
]
# What the rehearsal Hub leaves to others: the public Hub, its pages, its client.
ONLY_OFFLINE = [
    "license: other",
    "license: mit\nbase_model: a/b",
    "license: mit\nbase_model: a/b\nbase_model_relation: merge",
    "license: mit\nthumbnail: null",
    "license: mit\ndatasets: [./data/x]",
    "license: mit\nnew_version: ../x",
    "license: mit\nco2_eq_emissions: much",
    index("{task: {type: a}, dataset: {type: b, name: c, config: null}, "
          "metrics: [{type: f1, value: 0.5}]}"),
    index("{task: {type: a}, dataset: {type: b, name: c}, metrics: [{type: f1, value: .nan}]}"),
    index(RESULT[:-1] + ", source: {name: X}}"),
]  # fmt: skip


def offline_takes(card: str) -> bool:
    return not any(finding.is_error for finding in check_metadata(card))


@pytest.mark.parametrize(
    ("block", "offline", "server"),
    [
        *((block, True, True) for block in BOTH_TAKE),
        *((block, False, False) for block in BOTH_REFUSE),
        *((block, False, True) for block in ONLY_OFFLINE),
    ],
    ids=lambda value: str(value)[:60],
)
def test_the_two_agree_or_the_offline_rules_are_the_stricter(
    block: str, offline: bool, server: bool
) -> None:
    card = f"---\n{block}\n---\n\n# Owl\n"
    assert offline_takes(card) == offline
    assert (not validate(card)[0]) == server


def test_a_card_without_metadata_is_a_warning_there_and_an_error_here() -> None:
    assert not offline_takes("# Owl\n")
    assert validate("# Owl\n") == ([], ["empty or missing yaml metadata in repo card"])


@pytest.mark.parametrize("block", [*BOTH_TAKE[:3], *BOTH_REFUSE[:3]])
def test_the_server_says_over_http_what_it_thinks(api: HfApi, block: str) -> None:
    errors, warnings = ask_server(api, "rehearsal/tiny", f"---\n{block}\n---\n")
    assert bool(errors) == (block in BOTH_REFUSE) and not warnings


def test_problems_name_line_and_mend(tmp_path: Path) -> None:
    readme = tmp_path / "README.md"
    readme.write_text("---\nlicense: apache2\npipeline_tag: fill-masks\n---\n")
    (problem,) = readme_problems(readme)  # a warning is none
    assert str(problem) == "README.md:2: license 'apache2' is unknown to the Hub → apache-2.0"
    readme.write_bytes(b"---\nlicense: m\xfft\n---\n")
    (problem,) = readme_problems(readme)
    assert "not UTF-8" in problem.message
