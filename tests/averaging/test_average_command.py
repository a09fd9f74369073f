"""``mbrelease average`` as a person types it."""

import json
import subprocess
import sys

import numpy as np
import pytest

from mbrelease.cli.main import main


@pytest.fixture
def run_folder(make_checkpoint):
    rng = np.random.default_rng(0)
    losses = {10: 3.5, 20: 3.1, 30: 3.3, 40: 3.2}
    for step, loss in losses.items():
        folder = make_checkpoint(step, {"w": rng.standard_normal(20).astype("f4")}, eval_loss=loss)
    return folder.parent


def test_show_weights_reads_no_tensor(run_folder, capsys):
    for file in run_folder.glob("*/model.safetensors"):
        file.write_bytes(b"not a tensor in sight")
    assert main(["average", str(run_folder), "--recipe", "best:2+last", "--show-weights"]) == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["checkpoint-10", "10", "3.5000", "0"] in rows
    assert ["checkpoint-20", "20", "3.1000", "1/3"] in rows
    assert ["checkpoint-30", "30", "3.3000", "1/3"] in rows
    assert ["checkpoint-40", "40", "3.2000", "1/3"] in rows


def test_show_weights_as_json(run_folder, capsys):
    assert main(["average", str(run_folder), "--recipe", "best:1", "--show-weights", "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["recipe"] == "best:1"
    assert answer["ranked_by"] == "eval_loss"
    assert [row["weight"] for row in answer["members"]] == ["0", "1", "0", "0"]
    assert [row["value"] for row in answer["members"]] == [3.5, 3.1, 3.3, 3.2]


def test_average_then_again(run_folder, tmp_path, capsys):
    output = tmp_path / "out"
    call = ["average", str(run_folder), "-o", str(output), "--recipe", "last:2"]
    assert main(call) == 0
    first = capsys.readouterr()
    assert first.out == f"{output}\n"
    assert "averaged: checkpoint-30 × 1/2, checkpoint-40 × 1/2" in first.err
    assert main(call) == 0
    second = capsys.readouterr()
    assert second.out == f"{output}\n"
    assert "unchanged: checkpoint-30 × 1/2, checkpoint-40 × 1/2" in second.err
    assert main([*call, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["unchanged"] is True


def test_single_checkpoints_in_step_order(run_folder, tmp_path, capsys):
    paths = [str(run_folder / f"checkpoint-{step}") for step in (40, 10, 20)]
    assert main(["average", *paths, "--recipe", "last:1", "--show-weights", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["members"]
    assert [(row["step"], row["weight"]) for row in rows] == [(10, "0"), (20, "0"), (40, "1")]


def test_a_variant_stands_for_its_run(run_folder, tmp_path, monkeypatch, capsys):
    (tmp_path / "registry.yaml").write_text(
        "version: 1\nfamily: Test\nvariants:\n"
        "  child: {run: run, candidates: {checkpoints: [20, 40]}}\n  planned: {}\n"
    )
    monkeypatch.chdir(tmp_path)
    assert main(["average", "child", "--show-weights", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["members"]
    assert [row["step"] for row in rows] == [20, 40]
    assert main(["average", "planned", "--show-weights"]) == 2
    assert "names no run" in capsys.readouterr().err
    assert main(["average", "chidl", "--show-weights"]) == 2
    assert "did you mean 'child'?" in capsys.readouterr().err


def write_evidence(root, checkpoint, **changes):
    sha256 = checkpoint.weights_sha256
    record = {
        "weights_sha256": sha256, "tokenizer_sha256": checkpoint.tokenizer_sha256,
        "config_sha256": checkpoint.config.sha256, "data_sha256": "d", "task_sha256": "s",
        "attn": "sdpa", "dtype": "float32", "device": "cpu", "code_version": 1, "software": {},
    }  # fmt: skip
    entries = []
    for value, settings in changes["values"]:
        provenance = record | settings
        entries.append(
            {
                "main_score": value,
                changes["key"]: value,
                "n_examples": 5,
                "ci95": {},
                "scores_per_experiment": [],
                "languages": ["eng"],
                "evaluation_time": 1.0,
                "provenance": provenance,
            }
        )
    folder = root / sha256[:16]
    folder.mkdir(parents=True, exist_ok=True)
    content = {"task_name": "titles", "scores": {"dev": entries}}
    (folder / "titles.json").write_text(json.dumps(content))


@pytest.mark.parametrize(
    ("key", "metric", "expected"), [("recall_at_1", "recall@1", 2), ("loss", "loss", 0)]
)
def test_best_by_evidence(run_folder, tmp_path, monkeypatch, capsys, key, metric, expected):
    from mbrelease.checkpoints.discover import discover

    (tmp_path / "registry.yaml").write_text("version: 1\nfamily: Test\nvariants: {}\n")
    monkeypatch.chdir(tmp_path)
    for number, checkpoint in enumerate(discover(run_folder)):
        values = [([0.1, 0.2, 0.4, 0.3][number], {})]
        if number == 1:
            # Another backend, measured on this one only: it compares with nothing.
            values.append((99.0 if key != "loss" else 0.0, {"dtype": "bfloat16"}))
        write_evidence(tmp_path / "evidence", checkpoint, key=key, values=values)
    call = ["average", "run", "--recipe", "best:1", "--score-by", f"titles/{metric}"]
    assert main([*call, "--show-weights", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["members"]
    assert [row["weight"] for row in rows].index("1") == expected


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["{run}"], 2, "no output given"),
        (["{run}/nothing", "-o", "out"], 2, "does not exist"),
        (["nothing", "-o", "out"], 2, "nothing does not exist, and no registry"),
        (["{run}", "-o", "out", "--recipe", "last:9"], 2, "needs 9 checkpoints, and there are 4"),
        (["{run}", "-o", "out", "--recipe", "lst:2"], 2, "did you mean 'last:2'?"),
        (["{run}", "-o", "out", "--recipe", "best:1", "--score-by", "mrr"], 2, "neither eval_loss"),
        (["{run}", "{run}/checkpoint-10", "-o", "out"], 2, "is given twice"),
        (["{run}", "-o", "{run}/checkpoint-10"], 2, "is one of the inputs"),
        ([], 2, "Missing argument"),
    ],
)
def test_mistakes_are_sentences(run_folder, tmp_path, monkeypatch, capsys, arguments, code, said):
    monkeypatch.chdir(tmp_path)
    filled = [argument.format(run=run_folder) for argument in arguments]
    assert main(["average", *filled]) == code
    error = capsys.readouterr().err
    assert said in error
    assert "Traceback" not in error
    assert not (tmp_path / "out").exists()


def test_help_imports_nothing_heavy():
    script = (
        "import sys; from mbrelease.cli.main import run; run(['average', '--help']); "
        "print(sorted({'torch', 'transformers', 'huggingface_hub', 'numpy'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "[]"
