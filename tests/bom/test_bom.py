"""The bill of materials of a variant: valid, whole, and the same bytes each time."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pyarrow as pa
import pytest
import yaml
from click.testing import CliRunner
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from packageurl import PackageURL

from mbrelease.bom.document import make_bom
from mbrelease.bom.licenses import licenses
from mbrelease.bom.model_card import plain_text
from mbrelease.cards.model_record import ModelRecord, Sizes, record_path
from mbrelease.cards.model_record import write_record as write_model_record
from mbrelease.cli.main import cli
from mbrelease.errors import MissingExtra, UserError
from mbrelease.evaluation.evidence import EvidenceRecord, Provenance, write_record
from mbrelease.evaluation.reported import ReportedResult, ReportSource, write_reported
from mbrelease.evaluation.task_settings import task_sha256
from mbrelease.hub.receipt import PlanSummary, PublishedFile, Receipt, write_receipt
from mbrelease.registry.load import load_project
from mbrelease.registry.project import Project

ROOT = Path(__file__).parents[2]
WEIGHTS, COMMIT, FILE = "a" * 64, "C0" * 20, "5" * 64
PAPERS = {"name": "Papers", "hub_id": "org/papers", "license": "cc-by-4.0", "documents": 9}
REGISTRY = {
    "version": 1,
    "family": "Owls",
    "defaults": {"license": "apache-2.0"},
    "suites": {
        "science": [
            {"name": "mlm", "type": "mlm", "data": {"dev": "dev.jsonl", "test": "test.jsonl"}}
        ]
    },
    "variants": {
        "base": {"repo": "org/base", "data": [{"name": "Web", "license": "other"}]},
        "science": {
            "repo": "org/science",
            "parents": [{"variant": "base", "relation": "continued-pretraining"}],
            "data": [PAPERS],
        },
        "law": {
            "repo": "org/law",
            "parents": [
                {"variant": "science", "relation": "merging"},
                {"variant": "base", "relation": "merging"},
            ],
            "suite": "science",
            "license": "LGPL-LR",
            "training": {"objective": "mlm", "emissions": {"co2_grams": 12.5}},
            "data": [PAPERS, {**PAPERS, "documents": 7}],
            "sources": ["https://example.org/a paper", "https://example.org/[1]", "org/base"],
            "card": {
                "summary": "A model of law_books.",
                "intended_use": ["Search over *laws*"],
                "limitations": ["No case law [yet](see 2)."],
            },
        },
        "law-next": {"repo": "org/law-next", "run": "runs/next", "policy": "rule"},
    },
    "policies": {"rule": {"primary": "mlm/loss", "reference": "base"}},
    "aliases": {"production": "law"},
}
REGISTRY["variants"]["law-next"]["suite"] = "science"


def receipt(repo_id: str = "org/law", **changes) -> Receipt:
    given = {
        "repo_id": repo_id,
        "endpoint": "https://huggingface.co",
        "revision": "main",
        "commit": COMMIT.lower(),
        "parent_commit": None,
        "pull_request": None,
        "tag": "v1.0",
        "files": {
            "model.safetensors": PublishedFile(sha256=FILE, size_bytes=600, blob_id="b"),
            "README.md": PublishedFile(sha256="6" * 64, size_bytes=7, blob_id="c"),
        },
        "summary": PlanSummary(added=[], changed=[], unchanged=[], remote_only=[]),
        "published": "2026-03-04T05:06:07.000Z",
        "published_by": "owl",
        "mbrelease": "0.1.0",
    }
    return Receipt(**(given | changes))


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A family whose 'law' is published and measured."""
    monkeypatch.delenv("SOURCE_DATE_EPOCH", raising=False)
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "registry.yaml"
    path.write_text(yaml.safe_dump(REGISTRY, sort_keys=False))
    project = load_project(path)
    write_model_record(
        record_path(project.evidence, "law"),
        ModelRecord(WEIGHTS, Sizes(parameters=1234), modules=False),
    )
    (task,) = project.suite("law")
    made = Provenance(
        WEIGHTS, "7" * 64, "c" * 64, "d" * 64, task_sha256(task), "sdpa", "float32", "cpu", 1
    )
    write_record(
        project.evidence,
        EvidenceRecord(
            "mlm", "test", 2.125, {"loss": 2.125, "accuracy": 0.5}, 9, {"loss": (2.0, 2.25)},
            (), {}, made, ("en",), 1.0,
        ),
        pa.table({"id": ["a"]}),
    )  # fmt: skip
    source = ReportSource(url="https://example.org/card", name="a card")
    results = [
        ReportedResult("glue", "dev", "accuracy", 87.5, source, subset="rte", seed=3),
        ReportedResult("glue", "dev", "accuracy_sd", 0.5, source, subset="rte", seed=3),
        ReportedResult("glue", "dev", "accuracy", 12.0, source, details={"step": 100}),
    ]
    write_reported(project.evidence, "law", results)
    write_receipt(project.receipts, receipt())
    return project


def bom(project: Project, variant: str = "law") -> dict:
    text = make_bom(project, variant).text
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    return json.loads(text)


def named(properties: list[dict]) -> dict[str, str]:
    return {one["name"].removeprefix("mbrelease:"): one["value"] for one in properties}


def test_the_model_is_named_as_it_is_published(project):
    model = bom(project)["metadata"]["component"]
    assert model["type"] == "machine-learning-model"
    assert (model["group"], model["name"], model["version"]) == ("org", "law", "v1.0")
    assert model["purl"] == f"pkg:huggingface/org/law@{COMMIT.lower()}"
    assert model["description"] == "A model of law_books."
    assert model["licenses"] == [{"license": {"id": "LGPLLR", "acknowledgement": "declared"}}]
    assert {(one["type"], one["url"]) for one in model["externalReferences"]} == {
        ("website", "https://huggingface.co/org/law"),
        ("vcs", "https://huggingface.co/org/law"),
        ("distribution", f"https://huggingface.co/org/law/tree/{COMMIT.lower()}"),
        ("model-card", f"https://huggingface.co/org/law/blob/{COMMIT.lower()}/README.md"),
        ("documentation", "https://example.org/%5B1%5D"),
        ("documentation", "https://huggingface.co/org/base"),
    }


def test_the_published_files_stand_in_it_with_their_hashes(project):
    files = bom(project)["metadata"]["component"]["components"]
    assert [(one["type"], one["name"]) for one in files] == [
        ("file", "README.md"),
        ("file", "model.safetensors"),
    ]
    assert files[1]["hashes"] == [{"alg": "SHA-256", "content": FILE}]
    assert named(files[1]["properties"]) == {"size_bytes": "600"}


def test_the_lineage_is_whole_and_says_how_each_was_made(project):
    made = bom(project)
    model = made["metadata"]["component"]
    by_ref = {one["bom-ref"]: one for one in [model, *made["components"]]}
    found = {
        ref: {
            named(one["properties"])["variant"]: named(one["properties"])["relation"]
            for one in component.get("pedigree", {"ancestors": []})["ancestors"]
        }
        for ref, component in by_ref.items()
        if ref.startswith("model/")
    }
    assert found == {
        "model/law": {"base": "merging", "science": "merging"},
        "model/science": {"base": "continued-pretraining"},
        "model/base": {},
    }
    below = {one["ref"]: set(one.get("dependsOn", [])) for one in made["dependencies"]}
    assert below == {
        "model/law": {"model/science", "model/base", "data/org-papers", "data/org-papers-2"},
        "model/science": {"model/base", "data/org-papers"},
        "model/base": {"data/web"},
        "data/org-papers": set(),
        "data/org-papers-2": set(),
        "data/web": set(),
    }
    assert set(below) == set(by_ref)


def test_an_ancestor_has_its_page_and_none_of_its_files(project):
    write_receipt(project.receipts, receipt("org/science"))
    (science,) = (one for one in bom(project)["components"] if one["name"] == "science")
    page = {"type": "website", "url": "https://huggingface.co/org/science"}
    assert science["externalReferences"] == [page]
    assert "components" not in science
    assert science["purl"] == f"pkg:huggingface/org/science@{COMMIT.lower()}"


def test_data_stand_in_it_with_licence_and_host(project):
    made = bom(project)
    data = {one["bom-ref"]: one for one in made["components"] if one["type"] == "data"}
    papers = data["data/org-papers"]
    assert papers["licenses"] == [{"license": {"id": "CC-BY-4.0", "acknowledgement": "declared"}}]
    assert papers["data"] == [
        {
            "type": "dataset",
            "name": "Papers",
            "contents": {
                "url": "https://huggingface.co/datasets/org/papers",
                "properties": [{"name": "mbrelease:documents", "value": "9"}],
            },
            "governance": {"custodians": [{"organization": {"name": "org"}}]},
        }
    ]
    assert "licenses" not in data["data/web"], "'other' says nothing"
    used = made["metadata"]["component"]["modelCard"]["modelParameters"]["datasets"]
    assert used == [{"ref": "data/org-papers"}, {"ref": "data/org-papers-2"}]


def test_the_model_card_holds_what_was_measured_and_reported_and_what_to_consider(project):
    card = bom(project, "production")["metadata"]["component"]["modelCard"]
    assert card["modelParameters"]["approach"] == {"type": "self-supervised"}
    assert card["modelParameters"]["task"] == "fill-mask"
    assert card["quantitativeAnalysis"]["performanceMetrics"] == [
        {
            "type": "loss",
            "value": "2.125",
            "slice": "mlm, test",
            "confidenceInterval": {"lowerBound": "2.0", "upperBound": "2.25"},
        },
        {"type": "accuracy", "value": "0.5", "slice": "mlm, test"},
        {
            "type": "accuracy",
            "value": "87.5",
            "slice": "glue[rte], dev, seed 3; reported by a card",
        },
    ]
    assert card["considerations"]["useCases"] == ["Search over *laws*"]
    limits = card["considerations"]["technicalLimitations"]
    assert limits[0] == "No case law [yet](see 2)."
    assert not any("card" in sentence for sentence in limits)
    facts = named(card["properties"])
    assert facts["architecture:parameters"] == "1234"
    assert facts["training:emissions:co2_grams"] == "12.5"
    assert facts["weights_sha256"] == WEIGHTS


def test_the_same_files_give_the_same_bytes_and_others_another_serial_number(project, monkeypatch):
    first = make_bom(project, "law").text
    assert make_bom(project, "law").text == first
    made = json.loads(first)
    assert made["metadata"]["timestamp"] == "2026-03-04T05:06:07.000Z"
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "0")
    other = bom(project)
    assert other["metadata"]["timestamp"] == "1970-01-01T00:00:00Z"
    assert other["serialNumber"] != made["serialNumber"]
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "yesterday")
    with pytest.raises(UserError, match="SOURCE_DATE_EPOCH"):
        make_bom(project, "law")


def test_without_a_receipt_there_is_no_time_no_version_and_no_file(project):
    made = bom(project, "science")
    model = made["metadata"]["component"]
    assert "timestamp" not in made["metadata"]
    assert not {"version", "components"} & set(model)
    assert model["purl"] == "pkg:huggingface/org/science", "a repo id and no run is published"


def test_what_is_planned_is_nowhere_and_the_remark_says_what_is_missing(project):
    made = make_bom(project, "law-next")
    model = json.loads(made.text)["metadata"]["component"]
    assert "purl" not in model
    assert "externalReferences" not in model
    assert made.remarks == (
        "no decision has chosen the weights of law-next, so nothing measured is in it",
    )


def test_another_hub_stands_in_the_package_url_and_gives_way_to_the_public_one(project):
    elsewhere = receipt(
        "org/science", endpoint="http://hub.example", published="2027-01-01T00:00:00Z"
    )
    write_receipt(project.receipts, elsewhere)
    purl = PackageURL.from_string(bom(project, "science")["metadata"]["component"]["purl"])
    assert purl.qualifiers == {"repository_url": "http://hub.example"}
    write_receipt(project.receipts, receipt("org/science", commit="e" * 40))
    purl = PackageURL.from_string(bom(project, "science")["metadata"]["component"]["purl"])
    assert (purl.version, purl.qualifiers) == ("e" * 40, {})


@pytest.mark.parametrize("path", ["registry.yaml", "examples/debian-science/registry.yaml"])
def test_every_variant_of_the_registries_here_makes_a_valid_document(path):
    project = load_project(ROOT / path)
    for variant in project.registry.variants:
        made = json.loads(make_bom(project, variant).text)  # which holds it against the schema
        assert made["metadata"]["component"]["bom-ref"] == f"model/{variant}"


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("apache-2.0", {"id": "Apache-2.0"}),
        ("Apache License 2.0", {"id": "Apache-2.0"}),
        ("odc-by", {"id": "ODC-By-1.0"}),
        ("gemma", {"name": "gemma"}),
        ("MIT OR Apache-2.0", "MIT OR Apache-2.0"),
        ("https://example.org/a[1]", {"name": "https://example.org/a[1]"}),
        ("our own terms; ask", {"name": "our own terms; ask"}),
        ("unknown", None),
        (None, None),
    ],
)
def test_a_licence_is_an_spdx_id_where_there_is_one(given, told):
    found = licenses(given)
    if told is None:
        assert found == []
    elif isinstance(told, str):
        assert found[0].value == told
    else:
        assert {name: getattr(found[0], name) for name in told} == told


def test_a_text_that_cannot_stand_in_the_format_is_told(project):
    path = project.registry_path
    path.write_text(path.read_text().replace("https://example.org/[1]", "https://example.org/%zz"))
    with pytest.raises(UserError, match=r"no bill of materials can be made of law: .*%zz"):
        make_bom(load_project(path), "law")


def test_sentences_of_a_card_become_plain_text():
    assert plain_text(r"*It* is\_so, see [a \[b\]](https://x.org/1) &lt;1 \*") == (
        "It is_so, see a [b] <1 *"
    )


def test_the_command_prints_or_writes(project, tmp_path):
    printed = CliRunner().invoke(cli, ["registry", "bom", "production"])
    assert printed.exit_code == 0, printed.stderr
    assert printed.stdout == make_bom(project, "law").text
    written = CliRunner().invoke(cli, ["registry", "bom", "law", "-o", "law.cdx.json"])
    assert written.stderr == "wrote law.cdx.json\n"
    assert (tmp_path / "law.cdx.json").read_text() == printed.stdout


def test_without_the_extra_the_mend_is_told(project, monkeypatch):
    monkeypatch.setitem(sys.modules, "cyclonedx.output.json", None)
    with pytest.raises(MissingExtra, match=r"needs the extra \[bom\]"):
        make_bom(project, "law")


def test_only_what_the_registry_calls_a_masked_model_is_said_to_fill_masks(tmp_path):
    variants = {
        "mlm": {"training": {"objective": "mlm"}},
        "both": {"training": {"objective": "causal, then masked language modelling"}},
        "causal": {"training": {"objective": "clm"}},
        "measured": {"suite": "science"},
        "tagged": {"card": {"tags": ["fill-mask"]}},
        "silent": {},
        "tuned": {"parents": [{"variant": "mlm", "relation": "fine-tuning"}]},
    }
    suites = REGISTRY["suites"]
    (tmp_path / "registry.yaml").write_text(
        yaml.dump({"version": 1, "family": "x", "suites": suites, "variants": variants})
    )
    owls = load_project(tmp_path / "registry.yaml")
    said = {}
    for name in variants:
        own = json.loads(make_bom(owls, name).text)["metadata"]["component"]
        said[name] = own["modelCard"]["modelParameters"].get("task")
    named = ("mlm", "both", "measured", "tagged")
    assert said == {name: "fill-mask" if name in named else None for name in variants}
