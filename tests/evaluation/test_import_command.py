"""mbrelease import: files of other harnesses become reported evidence."""

import json
import shutil
from pathlib import Path

import pytest

from mbrelease.cli.import_ import FORMATS
from mbrelease.cli.main import main
from mbrelease.evaluation.importers import IMPORTERS
from mbrelease.evaluation.reported import read_reported

FILES = Path(__file__).parent / "harness_files"
REGISTRY = """\
version: 1
family: Owls
variants:
  owl: {repo: owls/base}
  wren: {repo: owls/wren}
aliases: {production: owl}
"""
PAPER = """\
model,task,metric,value,split,source
owls/base,cola,matthews,65.1,dev,https://example.org/paper
production,rte,accuracy,80.2,dev,
owls/wren,cola,matthews,60.0,dev,https://example.org/paper
"""

MTEB = """{"task_name": %s, "scores": {"dev": [
    {"hf_subset": "default", "languages": [], "main_score": 1, "f1": 1}]}}"""


@pytest.fixture
def project(tmp_path, monkeypatch):
    (tmp_path / "registry.yaml").write_text(REGISTRY)
    (tmp_path / "paper.csv").write_text(PAPER)
    shutil.copy(FILES / "lm_eval_whole.json", tmp_path / "results_whole.json")
    shutil.copy(FILES / "lm_eval_limited.json", tmp_path / "results_limited.json")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def contents(folder):
    return {path: path.read_bytes() for path in folder.rglob("*.json")}


def test_the_formats_of_the_help_are_those_that_are_read():
    assert list(IMPORTERS) == FORMATS


def test_the_rows_of_the_variant_are_imported_with_their_sources(project, capsys):
    assert main(["import", "paper.csv", "--as", "production"]) == 0
    cola, rte = read_reported(project / "evidence", "owl")
    assert (cola.value, cola.source.url) == (65.1, "https://example.org/paper")
    assert (rte.value, rte.source.place) == (80.2, "paper.csv")
    said = capsys.readouterr()
    assert said.err == "imported for owl: 2 new, 0 changed, 0 known\n"
    assert "65.1" in said.out and "60" not in said.out


def test_a_given_source_is_that_of_results_that_name_none(project):
    main(
        ["import", "paper.csv", "results_whole.json", "--as", "owl", "--source", "https://e.org/x"]
    )
    sources = {one.task_name: one.source for one in read_reported(project / "evidence", "owl")}
    assert sources["cola"].url == "https://example.org/paper"
    assert sources["rte"].url == "https://e.org/x"
    assert (sources["owls"].url, sources["owls"].place) == ("https://e.org/x", "results_whole.json")


def test_a_peer_has_results_too(project, capsys):
    (project / "registry.yaml").write_text(
        REGISTRY + "peers: {jay: {title: Jay, repo: jays/one}}\n"
    )
    (project / "paper.csv").write_text(PAPER + "jays/one,cola,matthews,61,dev,https://e.org\n")
    assert main(["import", "paper.csv", "--as", "jay"]) == 0
    [cola] = read_reported(project / "evidence", "jay")
    assert (cola.value, cola.source.url) == (61, "https://e.org")
    capsys.readouterr()
    assert main(["import", "paper.csv", "--as", "jai"]) == 2
    said = capsys.readouterr().err
    assert "no variant and no peer 'jai'" in said and "did you mean 'jay'?" in said


def test_importing_again_changes_nothing_and_says_so(project, capsys):
    call = ["import", "paper.csv", "results_whole.json", "--as", "owl"]
    main(call)
    before = contents(project / "evidence")
    capsys.readouterr()
    assert main(call) == 0
    assert capsys.readouterr() == ("", "unchanged: all 6 results of owl are known\n")
    assert contents(project / "evidence") == before


def test_a_corrected_file_replaces_what_it_said(project, capsys):
    main(["import", "paper.csv", "--as", "owl"])
    (project / "paper.csv").write_text(PAPER.replace("65.1", "65.4"))
    capsys.readouterr()
    main(["import", "paper.csv", "--as", "owl"])
    said = capsys.readouterr()
    assert "65.4" in said.out and "65.1" in said.out
    assert said.err == "imported for owl: 0 new, 1 changed, 1 known\n"
    assert read_reported(project / "evidence", "owl")[0].value == 65.4


def test_a_plan_writes_nothing(project, capsys):
    assert main(["import", "paper.csv", "--as", "owl", "--plan"]) == 0
    assert capsys.readouterr().err.startswith("would import for owl: 2 new")
    assert not (project / "evidence").exists()


def test_json_has_each_result_and_its_state(project, capsys):
    main(["import", "paper.csv", "--as", "owl", "--json"])
    first, _ = json.loads(capsys.readouterr().out)
    assert (first["metric"], first["value"], first["state"]) == ("matthews", 65.1, "new")
    assert first["source"]["url"] == "https://example.org/paper"


def test_a_run_over_a_part_of_the_data_is_said_to_be_one(project, capsys):
    main(["import", "results_limited.json", "--as", "owl"])
    assert "of 3 examples only" in capsys.readouterr().out


def limited(project, capsys, edit):
    content = json.loads((project / "results_limited.json").read_text())
    edit(content)
    (project / "edited.json").write_text(json.dumps(content))
    assert main(["import", "edited.json", "--as", "owl"]) == 0
    return capsys.readouterr().out


def test_a_limit_that_left_nothing_out_is_no_part_of_the_data(project, capsys):
    said = limited(project, capsys, lambda content: content["n-samples"]["owls"].update(original=3))
    lines = {line.split()[0]: line for line in said.splitlines() if " acc " in line}
    assert "examples" not in lines["owls"]


def test_a_limited_group_of_unknown_size_is_a_part(project, capsys):
    def as_older_versions_wrote(content):
        del content["results"]["birds"]["sample_len"]

    said = limited(project, capsys, as_older_versions_wrote)
    assert "of a part of the examples" in said and "None" not in said


def test_evaluations_of_several_steps_are_told_apart(project, capsys):
    for step in (10, 20):
        content = {
            "global_step": step,
            "max_steps": 20,
            "log_history": [{"step": step, "eval_loss": 2.0}],
        }
        (project / f"state{step}.json").write_text(json.dumps(content))
    assert main(["import", "state10.json", "state20.json", "--as", "owl"]) == 0
    said = capsys.readouterr().out
    assert "step 10" in said and "step 20" in said


@pytest.mark.parametrize(("model", "said"), [("owls/wren", True), ("owls/base", False)])
def test_that_a_harness_measured_a_model_of_another_name_is_said(project, capsys, model, said):
    content = json.loads((project / "results_whole.json").read_text()) | {"model_name": model}
    (project / "results_whole.json").write_text(json.dumps(content))
    assert main(["import", "results_whole.json", "--as", "owl"]) == 0
    assert ("the files call the model owls/wren" in capsys.readouterr().err) is said


def test_a_task_may_be_named(project):
    (project / "all_results.json").write_text('{"eval_loss": 2.5, "eval_runtime": 1.0}')
    assert main(["import", "all_results.json", "--as", "owl", "--task", "heldout"]) == 0
    [one] = read_reported(project / "evidence", "owl")
    assert (one.task_name, one.metric, one.value) == ("heldout", "loss", 2.5)


def test_a_file_elsewhere_is_named_without_the_way_to_it(project, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("home") / "run"
    elsewhere.mkdir()
    (elsewhere / "eval_results.json").write_text('{"eval_loss": 2.5}')
    main(["import", str(elsewhere / "eval_results.json"), "--as", "owl"])
    [one] = read_reported(project / "evidence", "owl")
    assert one.source.place == "run/eval_results.json"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["results_whole.json", "--format", "mteb"],
         "results_whole.json is no mteb file; it is recognised as lm-eval\n  --format lm-eval"),
        (["paper.csv", "--format", "sentence-transformers"], "it is recognised as csv"),
        (["registry.yaml"], "registry.yaml is of no format known here\n  known are mteb, trainer"),
        (["other.json"], "other.json is of no format known here"),
        (["broken.json"], "broken.json:1:2: not JSON"),
        (["list.json", "--format", "mteb"], "list.json is no mteb file; it is of no format known"),
        (["missing.json"], "missing.json does not exist"),
        (["missing.csv"], "missing.csv does not exist"),
        (["."], ". is a folder"),
        (["paper.csv", "--source", "the paper"], "the paper is no URL\n  --source https://"),
        (["paper.csv", "--task", "x"], "paper.csv speaks of 2 tasks: cola, rte"),
        (["odd.csv"], "odd.csv:2: the task 'a/b' cannot be the name of a file"),
        (["others.csv"], "says nothing of owl or owls/base or production; its models are a, b"),
        (["twice.csv"], "twice.csv:2 and twice.csv:4 contradict each other: f1 of t dev is 1.0 and "
         "2.0"),
        (["state.json"], "contradict each other: loss of trainer dev is 2.0 and 2.1\n"
         "  import a file that holds one of them, such as eval_results.json"),
        (["empty.csv"], "no result in empty.csv"),
        (["number.json"], "number.json: dev, default, f1: task_name is 3"),
        (["array.json"], "array.json: dev, default, f1: task_name is [3]"),
    ],
)  # fmt: skip
def test_what_cannot_be_imported_is_a_sentence(project, capsys, arguments, said):
    head = "model,task,metric,value,split"
    for name, text in {
        "other.json": '{"a": 1}', "broken.json": "{", "list.json": "[]",
        "odd.csv": f"{head}\nowl,a/b,f1,1,dev\n",
        "others.csv": f"{head}\nb,t,f1,1,dev\na,t,f1,1,dev\n",
        "twice.csv": f"{head}\nowl,t,f1,1,dev\nowl,t,f1,1,test\nowl,t,f1,2,dev\n",
        "empty.csv": f"{head}\n",
        "state.json": '{"global_step": 9, "max_steps": 9, "log_history": '
        '[{"step": 9, "eval_loss": 2.0}, {"step": 9, "eval_loss": 2.1}]}',
        "number.json": MTEB % "3", "array.json": MTEB % "[3]",
    }.items():  # fmt: skip
        (project / name).write_text(text)
    assert main(["import", *arguments, "--as", "owl"]) == 2
    assert said in capsys.readouterr().err
    assert not (project / "evidence").exists()


def test_equal_rows_are_one_result(project):
    row = "owl,t,f1,1,dev\n"
    (project / "twice.csv").write_text(f"model,task,metric,value,split\n{row}{row}")
    assert main(["import", "twice.csv", "--as", "owl"]) == 0
    assert len(read_reported(project / "evidence", "owl")) == 1


def test_a_misspelt_variant_is_answered_by_the_nearest(project, capsys):
    assert main(["import", "paper.csv", "--as", "owls"]) == 2
    assert "did you mean 'owl'?" in capsys.readouterr().err
