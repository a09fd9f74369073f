"""Real releases of transformers 4.x read what 5.x wrote, before and after ``normalize``.

Their environments are kept where mbrelease keeps them for its user, and built once where a package
index can be reached; where neither is so, these tests are skipped.
"""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from mbrelease.checkpoints.checkpoint import open_checkpoint
from mbrelease.cli.main import main
from mbrelease.parity.checks.versions import check_versions
from mbrelease.parity.versions.environment import python_with, running_version
from mbrelease.parity.versions.unavailable import Unavailable

pytestmark = pytest.mark.slow
SLIDING = "sliding_attention"
KEPT = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "mbrelease" / "venvs"


@pytest.fixture(autouse=True)
def kept_environments(own_cache):
    """Environments outlive the test, which everything else in the cache does not."""
    KEPT.mkdir(parents=True, exist_ok=True)
    (own_cache / "mbrelease").mkdir()
    (own_cache / "mbrelease" / "venvs").symlink_to(KEPT)


def installed(version):
    try:
        python_with(version)
    except Unavailable as error:
        pytest.skip(str(error))


def asked(folder, *versions):
    for version in versions:
        installed(version)
    results = check_versions(open_checkpoint(folder), versions, publishable=True)
    return {result.name.removeprefix("versions."): result for result in results}


def difference(result):
    return float(result.found.split("max |Δ| ")[1].split()[0])


def test_4x_misreads_what_5x_alone_writes_and_reads_it_once_it_is_normalized(
    saved_by_5x, tmp_path, capfd
):
    folder = shutil.copytree(saved_by_5x, tmp_path / "saved")
    before = asked(folder, "4.48.3")["4.48.3"]
    assert before.status == "fail"
    assert difference(before) > 1, "4.x falls back to the thetas and pattern of ModernBERT-base"
    assert "Tokenizer class TokenizersBackend does not exist" in before.found
    assert before.mend == f"mbrelease normalize {folder}"

    installed("4.57.6")
    versions = ("4.48.3", "4.57.6", running_version())
    assert main(["normalize", str(folder)]) == 0
    assert main(["verify", str(folder), "--with", f"transformers=={','.join(versions)}"]) == 0
    said = " ".join(capfd.readouterr().out.split())
    for version in versions:
        assert f"✓ versions.{version} " in said
    assert said.count("max |Δ| 0 over ") == said.count("the same tokens") == 3


def test_a_pattern_that_4x_cannot_say_and_a_batch_that_it_makes_otherwise(
    released, tmp_path, edit_json
):
    folder = shutil.copytree(released, tmp_path / "model")
    config = json.loads((folder / "config.json").read_text())
    pattern = [SLIDING, *config["layer_types"][1:]]
    edit_json(folder / "config.json", layer_types=pattern)
    edit_json(folder / "tokenizer_config.json", model_input_names=...)
    result = asked(folder, "4.57.6")["4.57.6"]
    assert result.status == "fail"
    assert difference(result) > 0.1
    assert result.found.endswith("another padded batch")
    assert "layer_types is not 'full attention every N layers'" in result.mend
    assert "mbrelease normalize" not in result.mend
