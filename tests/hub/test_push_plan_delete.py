"""What is only on the Hub stays, unless a pattern names it; what would mislead is told."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from huggingface_hub import HfApi

from mbrelease.hub.plan import make_plan
from mbrelease.hub.publish import publish

REPO = "rehearsal/tiny"


@pytest.fixture
def older(api: HfApi) -> HfApi:
    """A repository with what another release has left."""
    api.create_repo(REPO)
    for path in ("pytorch_model.bin", "notes/a.txt", "model.sig", "card.lock.json"):
        api.upload_file(path_or_fileobj=b"old", path_in_repo=path, repo_id=REPO)
    return api


def test_what_is_only_there_stays_and_is_told(older: HfApi, release: Path) -> None:
    plan = make_plan(release, REPO, api=older)
    assert plan.deleted == ()
    assert plan.remote_only == ("card.lock.json", "model.sig", "notes/a.txt", "pytorch_model.bin")
    told = " | ".join(plan.notes)
    assert "hold other weights: pytorch_model.bin;" in told
    assert "are of another release: card.lock.json;" in told
    assert "on the Hub would not hold" in plan.problems[0].message, "that is told of model.sig"


def test_a_pattern_takes_out_what_it_names_in_the_one_commit(
    older: HfApi, release: Path, tmp_path: Path
) -> None:
    before = len(older.list_repo_commits(REPO))
    plan = make_plan(release, REPO, delete=["*.bin", "*.sig", "*.lock.*", "*.txt"], api=older)
    assert plan.deleted == ("card.lock.json", "model.sig", "notes/a.txt", "pytorch_model.bin")
    assert plan.remote_only == () and plan.as_json()["deleted"] == plan.deleted
    receipt = publish(plan, api=older, receipts=tmp_path / "receipts")
    assert receipt.summary.deleted == list(plan.deleted)
    assert len(older.list_repo_commits(REPO)) == before + 1
    expected = {".gitattributes", *(file.path for file in plan.files)}
    assert set(older.list_repo_files(REPO)) == expected, "its own .gitattributes is never taken out"


def test_no_pattern_takes_out_a_file_of_the_release_or_the_hubs_own(
    older: HfApi, release: Path
) -> None:
    plan = make_plan(release, REPO, delete=["*"], api=older)
    assert not {".gitattributes", *(file.path for file in plan.files)} & set(plan.deleted)


def test_a_deletion_alone_is_a_commit_and_a_second_run_has_nothing_to_do(
    api: HfApi, release: Path, tmp_path: Path
) -> None:
    publish(make_plan(release, REPO, api=api), api=api, receipts=tmp_path / "receipts")
    api.upload_file(path_or_fileobj=b"x", path_in_repo="x.txt", repo_id=REPO)
    plan = make_plan(release, REPO, delete=["x.txt"], api=api)
    assert plan.has_changes and not plan.to_send
    publish(plan, api=api, receipts=tmp_path / "receipts")
    assert "x.txt" not in api.list_repo_files(REPO)
    again = make_plan(release, REPO, delete=["x.txt"], api=api)
    assert again.is_clean and not again.has_changes
    assert "--delete x.txt names no file that is only on the Hub" in again.notes


def test_an_old_file_of_weights_that_hides_the_new_shards_is_a_problem(
    api: HfApi, release: Path
) -> None:
    api.create_repo(REPO)
    api.upload_file(path_or_fileobj=b"old", path_in_repo="model.safetensors", repo_id=REPO)
    shard = release / "model.safetensors"
    shard.rename(release / "model-00001-of-00001.safetensors")
    index = release / "model.safetensors.index.json"
    index.write_text(json.dumps({"metadata": {}, "weight_map": {}}))
    (problem,) = make_plan(release, REPO, api=api).problems
    assert "would stay on the Hub, and be loaded instead of the shards" in problem.message
    assert problem.mend == "--delete model.safetensors"
    assert make_plan(release, REPO, delete=["model.safetensors"], api=api).is_clean
