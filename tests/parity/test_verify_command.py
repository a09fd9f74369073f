"""`mbrelease verify` as a person or a CI job calls it."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from mbrelease.cli.main import main
from mbrelease.parity.checks import loading
from mbrelease.parity.verify import verify

REAL_RUNS = Path(__file__).resolve().parents[3] / "shared" / "runs"

REGISTRY = """\
version: 1
family: Tiny
variants:
  base:
    weights: models/base
  tuned:
    weights: models/tuned
    parents: [{variant: base, relation: context-extension}]
  planned:
    parents: [{variant: base, relation: fine-tuning}]
  orphan:
    weights: models/base
    parents: [{variant: planned, relation: fine-tuning}]
"""


@pytest.fixture
def project(released, tmp_path, monkeypatch, edit_json):
    for name in ("base", "tuned"):
        shutil.copytree(released, tmp_path / "models" / name)
    (tmp_path / "registry.yaml").write_text(REGISTRY)
    edit_json(
        tmp_path / "models" / "tuned" / "config.json",
        global_rope_theta=160000.0,
        max_position_embeddings=256,
        rope_parameters=...,
    )
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_good_release_passes_quietly(release, capfd):
    assert main(["verify", str(release)]) == 0
    out, err = capfd.readouterr()
    assert err == "", "nothing of transformers' bars and warnings may come through"
    assert "✓ loading.forward" in out
    # Tiny matrices suit no tensor core, which warns three times.
    assert re.search(r"/release: \d+ passed, 3 warned(, \d+ skipped)?\n$", out)
    assert max(map(len, out.splitlines()[:-1])) <= 80


def test_a_failed_check_says_expected_found_and_mend(release, edit_json, capfd):
    edit_json(release / "config.json", sparse_prediction=True)
    assert main(["verify", str(release), "--headers-only"]) == 1
    out, err = capfd.readouterr()
    assert (
        "✗ config.sparse_prediction\n"
        "    expected  false\n"
        "    found     true: with labels, logits are [n_masked, vocabulary]\n"
        '    mend      write "sparse_prediction": false, as mbrelease release does\n'
    ) in out
    assert re.search(r"– loading.auto_model +headers only\n", out)
    assert err == f"error: {release} fails config.sparse_prediction\n"


def test_json_for_ci(release, edit_json, capfd):
    edit_json(release / "config.json", sparse_prediction=True)
    assert main(["verify", str(release), "--headers-only", "--json"]) == 1
    report = json.loads(capfd.readouterr().out)
    assert report["passed"] is False
    assert report["path"] == str(release)
    (failure,) = [result for result in report["results"] if result["status"] == "fail"]
    assert set(failure) == {"name", "status", "expected", "found", "mend"}


def test_a_variant_is_its_weights_compared_with_its_first_parent(project, capfd):
    assert main(["verify", "tuned", "--headers-only"]) == 0
    out = " ".join(capfd.readouterr().out.split())
    assert "global_rope_theta 160000 (parent 20000)" in out
    assert "(legitimate in context-extension)" in out
    assert "✓ tokenizer.parent" in out


def test_a_variant_is_its_release_where_there_is_one(project, capfd, edit_json):
    shutil.copytree(project / "models" / "base", project / "releases" / "tuned")
    assert main(["verify", "tuned", "--headers-only"]) == 0
    assert f"{project / 'releases' / 'tuned'}: " in capfd.readouterr().out


def test_another_parent_and_relation_can_be_given(project, capfd):
    call = ["verify", "tuned", "--against", "base", "--headers-only"]
    assert main([*call, "--relation", "continued-pretraining"]) == 1
    assert "✗ config.parent" in capfd.readouterr().out
    assert (
        main(["verify", "base", "--against", str(project / "models" / "base"), "--headers-only"])
        == 0
    )


def test_a_known_member_stands_for_a_parent_that_is_not_on_disk(project, capfd):
    registry = project / "registry.yaml"
    text = registry.read_text().replace(
        "  planned:\n", "  planned:\n    repo: answerdotai/ModernBERT-base\n"
    )
    registry.write_text(text)
    assert main(["verify", "orphan", "--headers-only"]) == 1
    out, err = capfd.readouterr()
    assert "compared with the config of modernbert-base alone: planned is not on disk" in err
    assert "num_hidden_layers 3 (parent 22)" in " ".join(out.split())


def test_the_registrys_architecture_is_held_against_the_config(project, capfd):
    registry = project / "registry.yaml"
    text = registry.read_text().replace(
        "    weights: models/tuned\n",
        "    weights: models/tuned\n    architecture: {context: 512, vocabulary: 288}\n",
    )
    registry.write_text(text)
    assert main(["verify", "tuned", "--headers-only"]) == 1
    out = " ".join(capfd.readouterr().out.split())
    assert "expected context 512, as the registry says found max_position_embeddings 256" in out


def test_a_member_of_the_family_is_compared_with_by_name(project, capfd):
    call = ["verify", "models/base", "--headers-only", "--against"]
    assert main([*call, "modernbert-large"]) == 1
    assert "num_hidden_layers 3 (parent 28)" in " ".join(capfd.readouterr().out.split())
    # A variant of that name goes before it.
    assert main([*call, "base"]) == 0


def test_the_table_of_sms_is_chosen(project, capfd):
    call = ["verify", "models/base", "--headers-only", "--json"]
    for table, sms in (("product", 132), ("die", 144)):
        assert main([*call, "--sm-table", table]) == 0
        results = json.loads(capfd.readouterr().out)["results"]
        (waves,) = [result for result in results if result["name"] == "shapes.waves"]
        assert waves["details"]["sms"]["H100"] == sms


def test_a_parent_that_is_not_on_disk_is_said(project, capfd):
    assert main(["verify", "orphan", "--headers-only"]) == 0
    out, err = capfd.readouterr()
    assert "not compared with its parent planned" in err
    assert "config.parent" not in out


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("planned", "variant 'planned' has no release in"),
        ("tunde", "did you mean 'tuned'?"),
        ("./nowhere", "./nowhere does not exist"),
    ],
)
def test_what_is_neither_folder_nor_variant_is_two_lines(project, capfd, target, said):
    assert main(["verify", target]) == 2
    out, err = capfd.readouterr()
    assert said in err
    assert (out, len(err.splitlines())) == ("", 2)


def test_without_a_registry_a_wrong_path_says_so(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    assert main(["verify", "nothing"]) == 2
    assert "nothing does not exist, and there is no registry.yaml" in capfd.readouterr().err


def test_headers_only_imports_neither_torch_nor_transformers(released):
    code = (
        "import sys; from mbrelease.cli.main import main\n"
        f"assert main(['verify', {str(released)!r}, '--headers-only']) == 0\n"
        "assert not {'torch', 'transformers', 'huggingface_hub'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


def test_without_the_extra_loading_is_skipped_and_says_which(released, monkeypatch):
    monkeypatch.setattr(loading.importlib.util, "find_spec", lambda name: None)
    report = verify(released)
    assert report.passed
    (skipped,) = (r for r in report.with_status("skip") if r.name.startswith("loading."))
    assert skipped.name == "loading.auto_model"
    assert "needs the extra [eval]" in skipped.found


def test_transformers_speaks_again_afterwards(released):
    from transformers.utils import logging

    before = (logging.get_verbosity(), logging.is_progress_bar_enabled())
    verify(released)
    assert (logging.get_verbosity(), logging.is_progress_bar_enabled()) == before


def test_an_encoder_and_a_classifier_load_by_their_own_class(tmp_path, released):
    import torch
    from transformers import AutoConfig, ModernBertForSequenceClassification, ModernBertModel

    from mbrelease.checkpoints.checkpoint import open_checkpoint
    from mbrelease.checkpoints.normalize import write_release

    for index, kind in enumerate((ModernBertModel, ModernBertForSequenceClassification)):
        torch.manual_seed(0)
        folder, out = tmp_path / f"saved{index}", tmp_path / f"out{index}"
        shutil.copytree(released, folder)
        config = AutoConfig.from_pretrained(released, num_labels=3)
        kind(config).save_pretrained(folder)
        out.mkdir()
        write_release(open_checkpoint(folder), out)
        report = verify(out)
        assert report.passed, report.failures
        assert {result.name.split(".")[0] for result in report.with_status("warn")} == {"shapes"}


@pytest.mark.skipif(not REAL_RUNS.is_dir(), reason="the real run is not beside this checkout")
def test_a_real_checkpoint_passes_but_for_sparse_prediction(tmp_path):
    from mbrelease.checkpoints.checkpoint import open_checkpoint
    from mbrelease.checkpoints.normalize import write_release

    checkpoint, base = REAL_RUNS / "dapt" / "checkpoint-1200", REAL_RUNS / "base/checkpoint-1000"
    report = verify(checkpoint, against=base, relation="continued-pretraining")
    assert [result.name for result in report.failures] == ["config.sparse_prediction"]
    assert report.failures[0].mend
    write_release(open_checkpoint(checkpoint), tmp_path)
    report = verify(tmp_path, against=base, relation="continued-pretraining")
    assert report.passed
    assert {result.name.split(".")[0] for result in report.with_status("warn")} == {"shapes"}
