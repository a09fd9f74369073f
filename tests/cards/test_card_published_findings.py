"""What a table of reported figures says in words: where a model leads, and who leads elsewhere."""

from __future__ import annotations

from pathlib import Path

import pytest

from mbrelease.cards.published import read_published
from mbrelease.cards.told import visible
from mbrelease.evaluation.reported import ReportedResult, ReportSource, write_reported
from mbrelease.registry.load import load_project

ROOT = Path(__file__).parents[2]
REGISTRY = """\
version: 1
family: Owls
peers: {jay: {title: Jay}, kite: {title: Kite}}
variants: {owl: {card: {title: Owl, tables: [birds]}}}
tables:
  birds:
    title: Birds
    models: [jay, owl, kite]
"""
PARTS = "abcdefgh"


def told(folder: Path, figures: dict[str, list[float | None]], rest: str = "") -> str | None:
    """The finding of a table whose columns are the parts ``a``, ``b`` … of one task."""
    count = len(figures["owl"])
    columns = [f'      - {{label: {p.upper()}, metric: "nests[{p}]/f1"}}\n' for p in PARTS[:count]]
    table = f"    columns:\n{''.join(columns)}{rest}"
    (folder / "registry.yaml").write_text(REGISTRY + table)
    source = ReportSource(name="a paper")
    for model, values in figures.items():
        reports = [
            ReportedResult("nests", "test", "f1", value, source, subset=part)
            for part, value in zip(PARTS, values, strict=False)
            if value is not None
        ]
        write_reported(folder / "evidence", model, reports)
    [table_read] = read_published(load_project(folder / "registry.yaml"), "owl")
    return visible(table_read.findings[0]) if table_read.findings else None


MEAN = '      - {label: All, mean: ["nests[*]/f1"]}\n'


@pytest.mark.parametrize(
    ("figures", "rest", "sentence"),
    [
        (
            {"jay": [1, 2, 4], "owl": [3, 3, 3], "kite": [2, 5, 1]},
            "",
            "the best of 3 models on A (**3.0**); Kite leads on B (5.0 to 3.0); "
            "Jay leads on C (4.0 to 3.0).",
        ),
        (
            {"jay": [4, 4], "owl": [3, 3], "kite": [4, 1]},
            "",
            "of 3 models Jay and Kite lead on A (4.0 to 3.0); Jay leads on B (4.0 to 3.0).",
        ),
        ({"jay": [1, 3], "owl": [3, 3]}, "", "the best of 2 models on every one."),
        # who is alone in a column is not the best of anything
        ({"jay": [1, None], "owl": [3, 3]}, "", "the best of 2 models on A (**3.0**)."),
        (
            {"jay": [1, 1], "owl": [3, 3]},
            "    change: {of: owl, against: jay, unit: points}\n    layout: metrics\n",
            "held against Jay, A **3.0** against 1.0 (+2.0) and B **3.0** against 1.0 (+2.0).",
        ),
        # a third one leads on B
        (
            {"jay": [1, 1], "owl": [3, 3], "kite": [1, 9]},
            "    change: {of: owl, against: jay, unit: points}\n    layout: metrics\n",
            "held against Jay, A **3.0** against 1.0 (+2.0) and B **3.0** against 1.0 (+2.0); "
            "Kite leads on B (9.0 to 3.0).",
        ),
        # an average is no column like the others
        (
            {"jay": [1, 4], "owl": [3, 3]},
            MEAN,
            "the best of 2 models on A (**3.0**), and on average (**3.0**); "
            "Jay leads on B (4.0 to 3.0).",
        ),
        (
            {"jay": [3, 9, 9, 9, 9], "owl": [4, 3, 3, 3, 3]},
            MEAN,
            "the best of 2 models on 1 of 5 data sets; Jay leads on average, 7.8 to 3.2.",
        ),
        (
            {"jay": [9, 9, 9, 9], "owl": [3, 3, 3, 3]},
            MEAN,
            "the best of 2 models on none of 4 data sets; Jay leads on average, 9.0 to 3.0.",
        ),
        (
            {"jay": [9, 1, 1, 1, 1, 1, 1, 1], "owl": [2] * 8},
            "",
            "the best of 2 models on 7 of 8 data sets; Jay leads on A (9.0 to 2.0).",
        ),
        (
            {"jay": [9] * 7 + [1], "owl": [2] * 8},
            "",
            "the best of 2 models on H (**2.0**); Jay leads on A, B, C, D, E, F and G.",
        ),
        # figures that look alike on the page are equally good
        ({"jay": [3.04], "owl": [3.01]}, "", "the best of 2 models on A (**3.0**)."),
        ({"jay": [None], "owl": [3]}, "", None),
    ],
)
def test_what_is_said(
    tmp_path: Path, figures: dict[str, list[float | None]], rest: str, sentence: str | None
) -> None:
    found = told(tmp_path, figures, rest)
    assert found == (sentence and f"*Birds*: {sentence}")


def test_losses_of_the_family_stand_beside_its_wins() -> None:
    project = load_project(ROOT / "registry.yaml")
    said = {
        variant: [visible(f) for table in read_published(project, variant) for f in table.findings]
        for variant in ("modernbert-large", "modernbert-science-dapt-v2", "modernbert-bio-base")
    }
    assert (
        "*GLUE, development sets*: the best of 5 models on 1 of 8 data sets; "
        "DeBERTaV3-large leads on average, 91.4 to 90.5."
    ) in said["modernbert-large"]
    assert (
        "*arXiv categories, the fifteen largest*: of 3 models ModernBERT-base leads on Accuracy "
        "(0.9161 to 0.9151) and Macro F1 (0.9168 to 0.9159)."
    ) in said["modernbert-science-dapt-v2"]
    assert said["modernbert-bio-base"] == [
        "*Both families of tasks, mean F1*: the best of 4 models on Clinical (**76.9**) and "
        "All tasks (**78.0**); PubMedBERT leads on BigBIO (80.1 to 78.9).",
        "*Clinical tasks, F1*: the best of 4 models on Phenotype (**61.9**), COS (**95.2**) and "
        "DEID (**83.2**), and on average (**76.9**); PubMedBERT leads on ChemProt (90.2 to 90.1); "
        "BioClinical-ModernBERT-base leads on Social history (56.0 to 54.2).",
        "*BigBIO tasks, F1*: the best of 4 models on none of 6 data sets; "
        "PubMedBERT leads on average, 80.1 to 78.9.",
    ]
