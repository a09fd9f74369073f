"""mbrelease export: mteb itself reads what was measured."""

import json
import shutil

import pytest

from mbrelease.checkpoints.checkpoint import open_checkpoint
from mbrelease.cli.main import main
from mbrelease.evaluation.evidence import read_records
from mbrelease.evaluation.export import Model, export_mteb

REGISTRY = """\
version: 1
family: Owls
defaults: {languages: [en], license: apache-2.0}
suites:
  all:
    - {name: mlm, type: mlm, data: {dev: data.jsonl, test: data.jsonl}}
    - {name: find, type: retrieval, data: {dev: data.jsonl}, metrics: [recall@1, mrr]}
variants:
  base: {repo: owls/base, weights: nowhere}
  owl:
    repo: owls/owl
    parents: [{variant: base, relation: fine-tuning}]
    weights: weights
    suite: all
"""


REPORTED = """\
model,task,metric,value,split
owl,cola,f1,70,dev
owl,find,recall@1,0.987,dev
owl,find,recall@1,0.987,test
"""


@pytest.fixture(scope="module")
def measured(saved_by_5x, tmp_path_factory):
    """A project with measured and reported evidence. Do not write."""
    root = tmp_path_factory.mktemp("project")
    (root / "registry.yaml").write_text(REGISTRY)
    shutil.copytree(saved_by_5x, root / "weights")
    rows = [{"title": f"owl {n}", "text": f"the other barn {n * 7}"} for n in range(6)]
    (root / "data.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (root / "paper.csv").write_text(REPORTED)
    registry = ["--registry", str(root / "registry.yaml")]
    for split in ("dev", "test"):
        assert main(["eval", "owl", "--split", split, *registry]) == 0
    assert main(["import", str(root / "paper.csv"), "--as", "owl", *registry]) == 0
    return root


def export(root, output, *targets):
    code = main(["export", *targets, "-o", str(output), "--registry", str(root / "registry.yaml")])
    assert code == 0


def record_of(root, task, split):
    weights = open_checkpoint(root / "weights").weights_sha256
    [record] = [r for r in read_records(root / "evidence", weights, task) if r.split == split]
    return record


def test_mteb_loads_the_export(measured, tmp_path):
    from mteb.cache import ResultCache

    export(measured, tmp_path, "owl")
    [model] = ResultCache(tmp_path).load_results(include_remote=False).model_results
    assert model.model_name == "owls/owl"
    # Reported results are nobody's measurement here.
    assert {result.task_name for result in model.task_results} == {"mlm", "find"}
    for result in model.task_results:
        for split in result.scores:
            record = record_of(measured, result.task_name, split)
            assert result.get_score(splits=[split]) == record.main_score
            assert result.get_score(splits=[split], languages=["eng"]) == record.main_score


def test_what_mteb_does_not_know_survives_its_reading_and_writing(measured, tmp_path):
    from mteb.results import TaskResult

    export(measured, tmp_path, "owl")
    [path] = tmp_path.glob("results/owls__owl/*/find.json")
    TaskResult.from_disk(path).to_disk(tmp_path / "find.json")
    [entry] = json.loads((tmp_path / "find.json").read_text())["scores"]["dev"]
    record = record_of(measured, "find", "dev")
    assert entry["provenance"]["key"] == record.provenance.key
    assert entry["provenance"]["weights_sha256"] == record.provenance.weights_sha256
    assert entry["n_examples"] == record.n_examples == 6
    assert entry["ci95"]["mrr"] == pytest.approx(record.ci95["mrr"], abs=1e-6)
    assert entry["per_example"] == {"sha256": record.per_example.sha256}


def test_mteb_loads_evidence_as_it_lies_there(measured):
    from mteb.results import TaskResult

    for task in ("mlm", "find"):
        record = record_of(measured, task, "dev")
        result = TaskResult.from_disk(record.file)
        assert result.task_name == task
        assert result.get_score(splits=["dev"]) == record.main_score
        [entry] = result.scores["dev"]
        assert entry["provenance"]["key"] == record.provenance.key


def test_the_model_is_described_as_mteb_wants_it(measured, tmp_path):
    from mteb.models.model_meta import ModelMeta

    export(measured, tmp_path, "owl")
    [path] = tmp_path.glob("results/*/*/model_meta.json")
    meta = ModelMeta.model_validate(json.loads(path.read_text()))
    assert (meta.name, meta.revision) == ("owls/owl", path.parent.name)
    assert (meta.max_tokens, meta.embed_dim) == (128, 64)
    assert (meta.languages, meta.license, meta.adapted_from) == (
        ["eng-Latn"], "apache-2.0", "owls/base",
    )  # fmt: skip


def test_exporting_again_writes_nothing(measured, tmp_path):
    export(measured, tmp_path, "owl")
    before = {path: path.stat().st_ino for path in tmp_path.rglob("*.json")}
    export(measured, tmp_path, "owl")
    assert {path: path.stat().st_ino for path in tmp_path.rglob("*.json")} == before


def test_without_targets_all_variants_with_weights_are_exported(measured, tmp_path):
    export(measured, tmp_path)
    assert [path.name for path in (tmp_path / "results").iterdir()] == ["owls__owl"]


def test_a_folder_without_a_repo_is_called_local(measured, tmp_path):
    export(measured, tmp_path, str(measured / "weights"))
    [path] = tmp_path.glob("results/local__weights/*/model_meta.json")
    assert json.loads(path.read_text())["name"] == "local/weights"


def test_json_lists_the_files(measured, tmp_path, capsys):
    registry = str(measured / "registry.yaml")
    assert main(["export", "owl", "-o", str(tmp_path), "--registry", registry, "--json"]) == 0
    files = json.loads(capsys.readouterr().out)
    assert {path.rsplit("/", 1)[1] for path in files} == {
        "model_meta.json",
        "mlm.json",
        "find.json",
    }


def test_what_was_measured_otherwise_is_left_out_and_said(measured, tmp_path, capsys):
    """Two models whose records cannot be compared are not set side by side."""
    root = shutil.copytree(measured, tmp_path / "project")
    other = shutil.copytree(root / "weights", root / "other")
    from safetensors.torch import load_file, save_file

    tensors = load_file(other / "model.safetensors")
    save_file({name: tensor + 1 for name, tensor in tensors.items()}, other / "model.safetensors")
    sha256 = open_checkpoint(other).weights_sha256
    record = record_of(root, "mlm", "dev")
    copied = shutil.copytree(record.file.parent, root / "evidence" / sha256[:16])
    for path in copied.glob("*.json"):
        text = path.read_text().replace(record.provenance.weights_sha256, sha256)
        path.write_text(text.replace('"dtype": "float32"', '"dtype": "bfloat16"'))
    export(root, tmp_path / "out", str(root / "weights"), str(root / "other"))
    assert len(list((tmp_path / "out" / "results").iterdir())) == 1
    assert "not measured, or not as the others were" in capsys.readouterr().err


def test_a_card_of_what_was_measured_takes_no_number_from_a_report(measured, tmp_path):
    root = shutil.copytree(measured, tmp_path / "project")
    cards = [tmp_path / "with.md", tmp_path / "without.md"]
    call = ["card", "owl", "--registry", str(root / "registry.yaml"), "-o"]
    assert main([*call, str(cards[0])]) == 0
    shutil.rmtree(root / "evidence" / "reported")
    assert main([*call, str(cards[1])]) == 0
    assert cards[0].read_text() == cards[1].read_text()
    assert "recall@1" in cards[0].read_text() and "0.987" not in cards[0].read_text()


def test_without_evidence_the_mend_is_said(measured, tmp_path, capsys):
    root = tmp_path / "project"
    shutil.copytree(measured, root, ignore=shutil.ignore_patterns("evidence"))
    assert main(["export", "owl", "-o", str(tmp_path / "out"), "--registry",
                 str(root / "registry.yaml")]) == 2  # fmt: skip
    assert "nothing was measured of owls/owl\n  measure first" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_task_cannot_take_the_place_of_the_description(measured, tmp_path):
    from mbrelease.errors import UserError

    evidence = shutil.copytree(measured / "evidence", tmp_path / "evidence")
    checkpoint = open_checkpoint(measured / "weights")
    folder = evidence / checkpoint.weights_sha256[:16]
    text = (folder / "mlm.json").read_text()
    (folder / "model_meta.json").write_text(text.replace('"mlm"', '"model_meta"'))
    with pytest.raises(UserError, match=r"would overwrite model_meta\.json"):
        export_mteb([Model(checkpoint, "owl")], evidence, tmp_path / "out")
