"""mbrelease registry graph: what is called, where it is written, and what the figures are."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path

import pytest
from families import SMALL

from mbrelease.cli.main import main
from mbrelease.files import read_json, write_json
from mbrelease.graph.family import read_graph
from mbrelease.graph.text import graph_text
from mbrelease.registry.load import load_project

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "docs" / "gallery" / "debian-science"


@pytest.fixture
def said(capsys: pytest.CaptureFixture[str]):
    """What a call prints, and its exit code."""

    def call(*arguments: str, code: int = 0, registry: Path | str = "registry.yaml"):
        capsys.readouterr()
        call = ["registry", "graph", *arguments, "--registry", str(registry)]
        assert main(call) == code, capsys.readouterr().err
        return capsys.readouterr()

    return call


@pytest.fixture
def owls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("registry.yaml").write_text(json.dumps(SMALL))
    return tmp_path


@pytest.mark.parametrize(
    ("name", "start"),
    [("x.svg", "<svg "), ("x.html", "<!doctype html>"), ("x.mmd", "---\ntitle:"),
     ("x.md", "# Lineage of Owls"), ("x.dot", "digraph"), ("x.gv", "digraph"),
     ("x.txt", "Lineage of Owls")],
)  # fmt: skip
def test_the_ending_of_a_file_names_its_format(owls, said, name, start):
    told = said("-o", name)
    assert Path(name).read_text().startswith(start)
    assert told.out == ""
    assert told.err == f"wrote {name}: 12 variants: 3 released, 2 planned, 7 in unknown state\n"


def test_stdout_is_the_picture_and_nothing_else(owls, said):
    for format_, start in (("svg", "<svg "), ("mermaid", "---\n"), ("text", "Lineage")):
        told = said("--format", format_)
        assert told.out.startswith(start) and told.err == ""
    assert said().out == said("--format", "text").out


def test_json_is_the_graph_or_what_was_written(owls, said):
    graph = json.loads(said("law", "--ancestors", "--json").out)
    assert [node["variant"] for node in graph["nodes"]] == ["owl-base", "law"]
    assert graph["edges"] == [{"older": "owl-base", "newer": "law", "kind": "fine-tuning"}]
    assert json.loads(said("--json", "-o", "x.svg").out) == {
        "path": "x.svg", "format": "svg", "family": "Owls", "variants": 12, "edges": 17,
    }  # fmt: skip


def test_an_alias_is_a_variant(owls, said):
    assert "what science-v1 comes from" in said("production", "--ancestors").out


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (["--depth", "2"], "count from a VARIANT"),
        (["--ancestors"], "mbrelease registry graph VARIANT --depth 2"),
        (["-o", "x.png"], "x.png: its ending names no format"),
        (["--json", "--format", "svg"], "both want stdout"),
        (["owl-bose"], "did you mean 'owl-base'?"),
        (["--metric", "recall"], "write task/metric"),
        (["--metric", "nli/accuracy"], "no variant in the graph has a figure of nli/accuracy"),
    ],
)
def test_calls_that_are_refused(owls, said, call, message):
    assert message in said(*call, code=2).err
    assert not Path("x.png").exists()


def test_mermaid_too_large_for_github_is_said(tmp_path, said):
    from families import large

    path = tmp_path / "registry.yaml"
    path.write_text(json.dumps(large(500)))
    told = said("--format", "mermaid", registry=path)
    assert "Mermaid draws no more than 500; name a VARIANT" in told.err
    assert told.out.startswith("---\n")


def figures(answer: str) -> dict[str, tuple[str, str, str, bool]]:
    return {
        node["variant"]: (f["text"], f["origin"], f["where"], f["comparable"])
        for node in json.loads(answer)["nodes"]
        for f in node["figures"]
    }


def test_reported_figures_have_as_many_decimals_as_they_were_written_with(said):
    told = said("--metric", "title-abstract/recall@1", "--json", registry=ROOT / "registry.yaml")
    source = "the card of brettgenz/modernbert-science-dapt-v2"
    assert figures(told.out) == {
        "modernbert-base": ("0.279", "reported", source, True),
        "modernbert-science-dapt-v1": ("0.338", "reported", source, True),
        "modernbert-science-dapt-v2": ("0.440", "reported", source, True),
    }
    text = said("--metric", "glue[cola]/score", registry=ROOT / "registry.yaml").out
    assert "score 65.1, reported" in text
    assert "score is glue[cola]/score: 2 reported by Warner et al. (2024)." in text


def test_a_misspelt_metric_is_mended(said):
    told = said("--metric", "glue[colo]/score", registry=ROOT / "registry.yaml", code=2)
    assert "did you mean 'glue[cola]/score'?" in told.err


def test_measured_figures_are_of_the_weights_that_were_chosen(said):
    """And of the model that they were compared with, whose weights are not here."""
    path = EXAMPLE / "registry.yaml"
    card = (EXAMPLE / "README.md").read_text()
    found = figures(said("--metric", "title-text/mrr", "--json", registry=path).out)
    value, origin, where, comparable = found["debian-science"]
    assert (origin, where, comparable) == ("measured", "test", True)
    assert f"**{value}**" in card
    assert found["debian-base"][0] in card and found["debian-base"][3]


@pytest.fixture
def example(tmp_path: Path) -> Path:
    skip = shutil.ignore_patterns("*.parquet", "screenshots", "figures", ".mbrelease")
    return Path(shutil.copytree(EXAMPLE, tmp_path / "x", ignore=skip))


def test_what_was_measured_before_what_was_reported(example, said):
    source = {"name": "A paper"}
    for variant, value in (("debian-science", 0.9), ("debian-base", 0.8)):
        entry = {"hf_subset": "default", "languages": ["en"], "main_score": value,
                 "mrr": value, "source": source}  # fmt: skip
        content = {"task_name": "title-text", "dataset_revision": "x", "mteb_version": None,
                   "evaluation_time": None, "scores": {"test": [entry]}}  # fmt: skip
        write_json(example / "evidence" / "reported" / variant / "title-text.json", content)
    call = ["--metric", "title-text/mrr", "--json"]
    found = figures(said(*call, registry=example / "registry.yaml").out)
    assert {origin for _, origin, _, _ in found.values()} == {"measured"}
    decision = read_json(example / "decisions" / "debian-science.json")
    sha256 = decision["reference"]["weights_sha256"]
    (example / "evidence" / sha256[:16] / "title-text.json").unlink()
    found = figures(said(*call, registry=example / "registry.yaml").out)
    assert found["debian-base"] == ("0.8", "reported", "A paper", True)


def test_other_conditions_are_marked(example, said):
    """The base on the test split alone, measured on another device than the rest."""
    decision = read_json(example / "decisions" / "debian-science.json")
    sha256 = decision["reference"]["weights_sha256"]
    path = example / "evidence" / sha256[:16] / "title-text.json"
    content = read_json(path)
    for entries in content["scores"].values():
        for entry in entries:
            entry["provenance"]["device"] = "elsewhere"
    write_json(path, content)
    told = said("--metric", "title-text/mrr", registry=example / "registry.yaml").out
    assert told.count("*, measured on") == 1
    assert "do not compare" in told


def test_an_empty_family_is_drawn_and_listed_in_every_way(tmp_path, monkeypatch, said, capsys):
    monkeypatch.chdir(tmp_path)
    Path("registry.yaml").write_text("version: 1\nfamily: Owls\nvariants: {}\n")
    assert said().out.splitlines()[:2] == ["Lineage of Owls", "0 variants: none"]
    for format_ in ("svg", "html", "mermaid", "dot"):
        assert "Lineage of Owls" in said("--format", format_).out
    assert json.loads(said("--json").out)["nodes"] == []
    for command, code, told in (("tree", 0, "add NAME"), ("list", 0, "add NAME"),
                                ("which", 1, "no variant fits")):  # fmt: skip
        capsys.readouterr()
        assert main(["registry", command]) == code
        told_here = capsys.readouterr()
        assert told_here.out == "" and told in told_here.err
        assert main(["registry", command, "--json"]) == code
        assert json.loads(capsys.readouterr().out) == []


def test_the_text_of_thousands_takes_no_time_that_grows_with_their_square(tmp_path, said):
    def seconds(count: int) -> float:
        above = "parents: [{{variant: v{}, relation: adapter}}], supersedes: v{}"
        lines = [
            f"  v{i}: {{{above.format(max(0, i - 1) // 3, i - 1) if i else ''}}}"
            for i in range(count)
        ]
        path = tmp_path / f"{count}.yaml"
        path.write_text("version: 1\nfamily: x\nvariants:\n" + "\n".join(lines) + "\n")
        project = load_project(path)
        graph = read_graph(project)
        start = time.process_time()
        text = graph_text(graph, project.registry)
        assert text.count("supersedes") == count - 1
        return time.process_time() - start

    # Sixteen times as many; by the square it would be 256 times.
    assert seconds(8_000) < 100 * max(seconds(500), 0.01)
