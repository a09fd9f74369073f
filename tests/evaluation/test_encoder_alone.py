"""Checkpoints of the encoder alone, as embedding models are saved: no prefix, no head."""

import json
import shutil

import pytest
from owls import TASKS, write_data
from safetensors.torch import load_file, save_file
from transformers import AutoModel

from mbrelease.checkpoints.checkpoint import open_checkpoint
from mbrelease.errors import UserError
from mbrelease.evaluation.backend import Backend
from mbrelease.evaluation.encoder import Encoder
from mbrelease.evaluation.evidence import read_examples
from mbrelease.evaluation.jobs import plan_jobs
from mbrelease.evaluation.measure import run_jobs
from mbrelease.registry.tasks import EfficiencyTask, FineTuning, PairTask, SplitFiles

MLM, FIND, SORT = TASKS


@pytest.fixture(scope="module")
def encoder_alone(saved_by_5x, tmp_path_factory):
    folder = tmp_path_factory.mktemp("alone") / "encoder"
    shutil.copytree(saved_by_5x, folder, ignore=shutil.ignore_patterns("model.safetensors"))
    AutoModel.from_pretrained(saved_by_5x).save_pretrained(folder)
    names = load_file(folder / "model.safetensors").keys()
    assert not [name for name in names if name.startswith(("model.", "head.", "decoder."))]
    return folder


def run(folder, tasks, root):
    jobs = plan_jobs([open_checkpoint(folder)], tasks, "dev", backend=Backend(), data_root=root)
    return run_jobs(jobs, root / "evidence")


@pytest.fixture
def project(tmp_path):
    write_data(tmp_path)
    rows = [json.loads(line) for line in (tmp_path / "data.jsonl").read_text().splitlines()]
    pairs = [row | {"label": n % 5} for n, row in enumerate(rows)]
    (tmp_path / "pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in pairs))
    return tmp_path


def test_it_is_measured_as_the_same_encoder_in_a_file_with_a_head(
    encoder_alone, saved_by_5x, project
):
    pair = PairTask(
        name="alike", type="pair", kind="similarity", data=SplitFiles(dev="pairs.jsonl"),
        first="title", second="text",
    )  # fmt: skip
    late = FIND.model_copy(update={"name": "late", "scoring": "maxsim"})
    tasks = [FIND, late, SORT, pair]
    found, wanted = run(encoder_alone, tasks, project), run(saved_by_5x, tasks, project)
    for one, other in zip(found, wanted, strict=True):
        assert one.metrics == other.metrics
        assert read_examples(one).equals(read_examples(other))
        assert one.provenance.weights_sha256 != other.provenance.weights_sha256


def test_its_speed_is_measured_and_it_is_fine_tuned(encoder_alone, project):
    speed = EfficiencyTask(name="speed", type="efficiency", documents=2, short=16, long=32, runs=2)
    tuned = SORT.model_copy(update={"training": FineTuning(epochs=[1]), "seeds": [0]})
    records = run(encoder_alone, [speed, tuned], project)
    assert records[0].main_score > 0
    assert len(records[1].experiments) == 1


def test_masked_tokens_are_refused_in_a_sentence(encoder_alone, project):
    with pytest.raises(UserError) as told:
        run(encoder_alone, [MLM], project)
    assert f"{encoder_alone} has no head for masked tokens" in str(told.value)
    assert len(str(told.value).splitlines()) == 2


def test_a_head_that_is_not_whole_is_not_made_up(saved_by_5x, project):
    folder = shutil.copytree(saved_by_5x, project / "model")
    tensors = load_file(folder / "model.safetensors")
    del tensors["decoder.bias"]
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(UserError, match="has no head for masked tokens, or not the whole of it"):
        run(folder, [MLM], project)


def test_an_encoder_that_is_not_whole_is_refused(encoder_alone, tmp_path):
    folder = shutil.copytree(encoder_alone, tmp_path / "model")
    tensors = load_file(folder / "model.safetensors")
    del tensors["layers.0.mlp.Wi.weight"], tensors["final_norm.weight"]
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(UserError, match=r"lacks 2 tensors of its config.*final_norm\.weight"):
        _ = Encoder(open_checkpoint(folder), Backend()).model
