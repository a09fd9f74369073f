import json

import pytest

from mbrelease.checkpoints.checkpoint import open_checkpoint
from mbrelease.errors import UserError
from mbrelease.evaluation.backend import Backend
from mbrelease.evaluation.dataset import read_dataset
from mbrelease.evaluation.encoder import Encoder
from mbrelease.evaluation.tasks.mlm import measure
from mbrelease.registry.tasks import MlmTask, SplitFiles

FULL = [{"title": f"owl {n}", "text": "the other owl found a mouse " * 2} for n in range(5)]
EMPTY = [{"title": "", "text": ""}, {"title": " \n", "text": "\t"}]


@pytest.fixture(scope="module")
def encoder(saved_by_5x):
    return Encoder(open_checkpoint(saved_by_5x), Backend())


def measured(folder, rows, encoder):
    path = folder / "dev.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    files = SplitFiles(dev=path.name)
    task = MlmTask(name="x", type="mlm", data=files, text=["title", "text"], mask_rate=0.9)
    return measure(task, {"dev": read_dataset(path)}, "dev", encoder)


def test_documents_of_white_space_are_left_out_and_counted(encoder, tmp_path):
    without, found = (measured(tmp_path, rows, encoder) for rows in (FULL, EMPTY + FULL))
    assert found.metrics == without.metrics
    assert found.ci95 == without.ci95
    assert list(found.examples["id"]) == ["3", "4", "5", "6", "7"]
    assert found.counts == without.counts | {"empty": 2, "unmasked": 2}


def test_one_empty_field_leaves_a_document(encoder, tmp_path):
    rows = [*FULL, {"title": "", "text": "the owl"}]
    assert len(measured(tmp_path, rows, encoder).examples["id"]) == 6


def test_documents_of_white_space_alone_are_an_error(encoder, tmp_path):
    with pytest.raises(UserError, match=r"dev\.jsonl: no token of any document was masked"):
        measured(tmp_path, EMPTY, encoder)
