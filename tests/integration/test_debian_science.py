"""The real run of examples/debian-science, where its files are at hand."""

import json
import os
import re
import shutil
import statistics
from collections.abc import Iterator
from pathlib import Path

import pytest

from mbrelease.checkpoints.checkpoint import open_checkpoint
from mbrelease.cli.main import main
from mbrelease.evaluation.evidence import read_records
from mbrelease.registry.load import load_project

ROOT = Path(__file__).parents[2]
SHARED = ROOT.parent / "shared"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not (SHARED / "runs" / "dapt").is_dir(), reason="the run of the example is not at hand"
    ),
]


@pytest.fixture(scope="module")
def released(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("debian")
    shutil.copy(ROOT / "examples" / "debian-science" / "registry.yaml", root)
    for name in ("runs", "data"):
        (root / name).symlink_to(SHARED / name)
    registry = str(root / "registry.yaml")
    assert main(["release", "debian-science", "--registry", registry]) == 0
    return root


def test_an_average_or_checkpoint_is_selected_and_the_reasons_are_said(released):
    decision = json.loads((released / "decisions" / "debian-science.json").read_text())
    names = {candidate["name"] for candidate in decision["candidates"]}
    assert len(names) == 15 and decision["chosen"] in names
    chosen = next(c for c in decision["candidates"] if c["name"] == decision["chosen"])
    reference = decision["reference"]["measurements"][0]
    assert chosen["measurements"][0]["value"] > reference["value"]
    assert decision["chosen"] in decision["reasons"][0]


def test_the_run_was_measured_as_its_readme_says(released):
    """Recall@1 and MRR on dev as published with the run, to their three digits."""
    published = {"base/checkpoint-1000": (0.061, 0.122), "dapt/checkpoint-1000": (0.146, 0.242),
                 "dapt/checkpoint-1200": (0.140, 0.238)}  # fmt: skip
    for folder, (recall, mrr) in published.items():
        weights = open_checkpoint(released / "runs" / folder).weights_sha256
        found = read_records(released / "evidence", weights, "title-text")
        dev = next(record for record in found if record.split == "dev")
        assert dev.metrics["recall_at_1"] == pytest.approx(recall, abs=6e-4)
        assert dev.metrics["mrr"] == pytest.approx(mrr, abs=6e-4)


def test_the_numbers_on_the_card_are_those_of_the_evidence(released):
    """Every value of the evaluation table is the evidence's, rounded as the card rounds."""
    card = (released / "releases" / "debian-science" / "README.md").read_text()
    release = open_checkpoint(released / "releases" / "debian-science")
    base = open_checkpoint(released / "runs" / "base" / "checkpoint-1000")
    rows = list(evaluation_rows(card))
    assert len(rows) == 8
    for task, metric, theirs, ours, change, count in rows:
        key = metric.split()[0].replace("@", "_at_")
        values = []
        for checkpoint, cell in ((base, theirs), (release, ours)):
            found = read_records(released / "evidence", checkpoint.weights_sha256, task)
            test = next(record for record in found if record.split == "test")
            value, bounds = cell.replace("*", "").split("[")
            places = len(value.split()[0].split(".")[1])
            numbers = [float(value.split()[0]), *map(float, re.findall(r"\d+\.\d+", bounds))]
            expected = [test.metrics[key], *test.ci95[key]]
            assert numbers == pytest.approx(expected, abs=0.51 * 10**-places)
            seeds = [seed[key] for seed in test.experiments]
            if len(seeds) > 1:
                spread = float(value.split("±")[1])
                assert spread == pytest.approx(statistics.stdev(seeds), abs=0.51 * 10**-places)
            assert test.n_examples == int(count)
            values.append(test.metrics[key])
        shown, low, high = (
            float(n.replace("−", "-")) for n in re.findall(r"[+−]?\d+\.\d+", change)
        )
        assert shown == pytest.approx(values[1] - values[0], abs=0.51 * 10**-places)
        assert low < shown < high


def evaluation_rows(card: str) -> Iterator[list[str]]:
    """The rows of the evaluation, each with its task first, which stands in the heading."""
    section = card[card.index("## Evaluation") : card.index("<!-- /mbrelease:evaluation -->")]
    for part in section.split("\n### ")[1:]:
        task = part.split("\n", 1)[0].split(": ")[1]
        for row in re.findall(r"^\| \w.*[↑↓] .*$", part, re.MULTILINE):
            yield [task, *(cell.strip() for cell in row.split("|")[1:-1])]


def test_the_release_loads_and_differs_from_the_run_as_a_release_should(released):
    from transformers import AutoModelForMaskedLM

    folder = released / "releases" / "debian-science"
    config = json.loads((folder / "config.json").read_text())
    assert config["sparse_prediction"] is False
    assert config["global_rope_theta"] == 160000.0
    assert not list(folder.glob("*.bin"))
    _, info = AutoModelForMaskedLM.from_pretrained(folder, output_loading_info=True)
    assert not info["missing_keys"] and not info["unexpected_keys"]
    assert main(["verify", os.fspath(folder)]) == 0


def test_the_second_run_does_nothing(released, capsys):
    assert main(["release", "debian-science", "--registry", str(released / "registry.yaml")]) == 0
    lines = [line.split() for line in capsys.readouterr().err.splitlines()]
    steps = {line[0]: line[1] for line in lines if line[1:2] in (["done"], ["unchanged"])}
    assert steps and set(steps.values()) == {"unchanged"}
    assert load_project(released / "registry.yaml").registry.family == "Debian ModernBERT"
