"""What a card says of a task that measures speed."""

from __future__ import annotations

from card_projects import AVERAGE, notes, provenance, row

from mbrelease.cards.metadata import model_index
from mbrelease.cards.score_tables import families, speed_table
from mbrelease.cards.scores import Column, Evaluation
from mbrelease.cards.told import visible
from mbrelease.evaluation.evidence import EvidenceRecord
from mbrelease.registry.tasks import EfficiencyTask

SPEED = EfficiencyTask(name="speed", type="efficiency", documents=2000, runs=3)


def test_speeds_are_whole_numbers_that_hold_for_one_machine() -> None:
    key = "short_variable_tokens_per_second"
    record = EvidenceRecord(
        task_name="speed",
        split="dev",
        main_score=12345.6,
        metrics={key: 12345.6},
        n_examples=2000,
        ci95={},
        experiments=(),
        counts={},
        provenance=provenance(AVERAGE, "section", "dev"),
        languages=("en",),
        evaluation_time_seconds=1.0,
    )
    given = Evaluation((Column("this", AVERAGE, None),), (row(SPEED, "dev", key, record),), None)
    assert notes(given) == [
        "speed: mean over 3 runs on 2,000 synthetic documents of each kind, of up to 512 and 8,192 "
        "tokens, all as long as that or normal around half of it; tokens a second of another "
        "machine are others.",
    ]
    assert families(given) == ()  # speed has a section of its own
    assert "| 12346 |" in visible(speed_table(given).markdown)
    [result] = model_index("this", given)[0]["results"]
    assert result["task"]["type"] == "feature-extraction"
