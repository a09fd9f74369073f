"""`mbrelease verify --against PARENT --plot FOLDER`."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from mbrelease.cli.main import main


@pytest.fixture
def child(released, tmp_path):
    folder = shutil.copytree(released, tmp_path / "run" / "checkpoint-7")
    weights = load_file(folder / "model.safetensors")
    rng = np.random.default_rng(0)
    for value in weights.values():
        value += 0.02 * rng.standard_normal(value.shape).astype(value.dtype)
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    return folder


def test_the_picture_is_written_and_the_figures_stand_in_the_json(child, released, tmp_path, capfd):
    plots = tmp_path / "plots"
    call = ["verify", str(child), "--against", str(released), "--plot", str(plots), "--json"]
    assert main(call) == 0
    out, err = capfd.readouterr()
    assert err == f"written to {plots / 'drift.svg'}\nwritten to {plots / 'drift.png'}\n"
    results = {result["name"]: result for result in json.loads(out)["results"]}
    assert results["drift.summary"]["details"]["parts"][0]["part"] == "embeddings"
    assert results["drift.embeddings"]["status"] == "pass"
    assert "run/checkpoint-7 against released" in (plots / "drift.svg").read_text()


def test_the_plot_needs_a_parent_with_weights(child, capfd):
    assert main(["verify", str(child), "--plot", "plots"]) == 2
    assert "give its folder: --against FOLDER" in capfd.readouterr().err
    assert main(["verify", str(child), "--plot", "plots", "--against", "base"]) == 2
    assert main(["verify", str(child), "--plot", "plots", "--headers-only"]) == 2
    assert "--plot reads the weights, --headers-only does not" in capfd.readouterr().err


def test_where_nothing_can_be_compared_or_moved_there_is_no_picture(
    child, released, tmp_path, capfd
):
    plots = tmp_path / "plots"
    call = ["--against", str(released), "--plot", str(plots)]
    main(["verify", str(released), *call])
    assert "no picture of the drift: the parent's own weights" in capfd.readouterr().err
    weights = {"other": np.ones(3, np.float32)}
    save_file(weights, child / "model.safetensors", {"format": "pt"})
    main(["verify", str(child), *call])
    assert "no picture of the drift: no tensor has the name and shape" in capfd.readouterr().err
    assert not plots.exists()


def test_headers_alone_measure_no_drift(child, released, capfd):
    main(["verify", str(child), "--against", str(released), "--headers-only", "--json"])
    results = {result["name"]: result for result in json.loads(capfd.readouterr().out)["results"]}
    drift = [result for name, result in results.items() if name.startswith("drift.")]
    assert [(one["status"], one["found"]) for one in drift] == [("skip", "headers only")]


def test_weights_that_are_not_finite_are_not_compared(child, released, capfd):
    weights = load_file(child / "model.safetensors")
    weights["head.norm.weight"][3] = np.nan
    save_file(weights, child / "model.safetensors", {"format": "pt"})
    assert main(["verify", str(child), "--against", str(released), "--json"]) == 1
    results = {result["name"]: result for result in json.loads(capfd.readouterr().out)["results"]}
    assert results["drift.summary"]["found"] == "tensors.finite did not pass"
