"""The project's own registry: the facts of the ModernBERT family, as published."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from mbrelease.cli.main import main
from mbrelease.registry.json_schema import SCHEMA_NAME, registry_schema, registry_schema_text
from mbrelease.registry.load import load_project
from mbrelease.registry.schema import HUB_RELATION, Registry, Relation

ROOT = Path(__file__).parents[2]

# variant, path, fact
FACTS = [
    ("modernbert-base", "repo", "answerdotai/ModernBERT-base"),
    ("modernbert-base", "license", "apache-2.0"),
    ("modernbert-base", "architecture.parameters", 149_000_000),
    ("modernbert-base", "architecture.layers", 22),
    ("modernbert-base", "architecture.intermediate_size", 1152),
    ("modernbert-base", "architecture.vocabulary", 50_368),
    ("modernbert-base", "architecture.unused_tokens", 83),
    ("modernbert-base", "architecture.glu_expansion", 2304),
    ("modernbert-base", "architecture.norm_epsilon", 1e-5),
    ("modernbert-large", "architecture.glu_expansion", 5248),
    ("modernbert-base", "training.tokens", 2_000_000_000_000),
    ("modernbert-base", "training.mask_rate", 0.3),
    ("modernbert-base", "training.epsilon", 1e-6),
    ("modernbert-base", "training.betas", [0.9, 0.98]),
    ("modernbert-base", "training.phases.0.tokens", 1_719_000_000_000),
    ("modernbert-base", "training.phases.0.learning_rate", 8e-4),
    ("modernbert-base", "training.phases.0.rope_theta", 10_000),
    ("modernbert-base", "training.phases.0.hours", 194.2),
    ("modernbert-base", "training.phases.1.tokens", 250_000_000_000),
    ("modernbert-base", "training.phases.1.rope_theta", 160_000),
    ("modernbert-base", "training.phases.2.tokens", 50_000_000_000),
    ("modernbert-base", "training.phases.2.training_hours", 7.5),
    ("modernbert-base", "chosen.recipe", "best:3+last"),
    ("modernbert-large", "parents.0.variant", "modernbert-base"),
    ("modernbert-large", "parents.0.relation", "weight-initialization"),
    ("modernbert-large", "architecture.parameters", 395_000_000),
    ("modernbert-large", "architecture.attention_heads", 16),
    ("modernbert-large", "training.phases.0.learning_rate", [5e-4, 5e-5]),
    ("modernbert-large", "training.phases.0.warmup_tokens", 2_000_000_000),
    ("modernbert-large", "training.phases.0.hours", 425.3),
    ("modernbert-large", "training.phases.1.training_hours", 75.1),
    ("modernbert-large", "training.phases.1.batch_size", "77"),
    ("modernbert-large", "training.phases.2.batch_size", "78"),
    ("modernbert-large", "chosen.recipe", None),
    ("modernbert-science-dapt-v1", "training.steps", 20_000),
    ("modernbert-science-dapt-v1", "repo", None),
    ("modernbert-science-dapt-v2", "repo", "brettgenz/modernbert-science-dapt-v2"),
    ("modernbert-science-dapt-v2", "supersedes", "modernbert-science-dapt-v1"),
    ("modernbert-science-dapt-v2", "training.tokens", 450_000_000),
    ("modernbert-science-dapt-v2", "training.context", 512),
    ("modernbert-science-dapt-v2", "chosen.checkpoint", 50_000),
    ("modernbert-science-dapt-v2", "data.0.documents", 242_405),
    ("modernbert-science-dapt-v2", "data.1.documents", 276_126),
    (
        "modernbert-science-dapt-v2",
        "data.0.skew",
        "Its documents lean towards the years 2015 and 2016.",
    ),
    ("modernbert-science-dapt-v2", "corpus.documents", 518_531),
    ("modernbert-science-dapt-v2", "corpus.p95_tokens", 506),
    ("modernbert-bio-base", "repo", "almanach/ModernBERT-bio-base"),
    ("modernbert-bio-base", "training.tokens", 55_000_000_000),
    ("modernbert-bio-base", "training.learning_rate", 2e-4),
    ("modernbert-bio-base", "training.phases.0.objective", "clm"),
    ("modernbert-bio-base", "training.phases.1.mask_rate", 0.15),
    ("modernbert-bio-base", "training.phases.1.tokens", 5_000_000_000),
    ("modernbert-bio-base", "data.0.proportion", 0.6),
    ("modernbert-bio-large", "architecture.parameters", 396_000_000),
    ("modernbert-bio-large", "license", None),
    ("moderncamembert-bio-base", "architecture.parameters", 150_000_000),
    ("moderncamembert-bio-large", "architecture.parameters", 350_000_000),
    ("moderncamembert-bio-large", "languages", ["fr"]),
    ("moderncamembert-bio-large", "license", None),
    ("bioclinical-modernbert-base", "parents", []),
    ("bioclinical-modernbert-base", "architecture.context", 8192),
]


@pytest.fixture(scope="module")
def registry():
    return load_project(ROOT / "registry.yaml").registry


@pytest.mark.parametrize(("variant", "path", "fact"), FACTS)
def test_fact(registry, variant, path, fact):
    value = registry.variants[variant]
    for step in path.split("."):
        value = value[int(step)] if step.isdecimal() else getattr(value, step)
    assert value == fact


def test_sums_of_the_facts(registry):
    science = registry.variants["modernbert-science-dapt-v2"]
    assert sum(d.documents for d in science.data) == science.corpus.documents
    bio = registry.variants["modernbert-bio-base"]
    assert sum(p.tokens for p in bio.training.phases) == bio.training.tokens
    assert sum(d.proportion for d in bio.data) == pytest.approx(1)


def test_every_relation_has_one_on_the_hub():
    assert set(HUB_RELATION) == set(Relation.__args__)
    assert set(HUB_RELATION.values()) <= {"finetune", "merge", "quantized", "adapter"}


def test_the_schema_file_is_up_to_date():
    said = f"run: mbrelease registry schema > {SCHEMA_NAME}"
    assert (ROOT / SCHEMA_NAME).read_text(encoding="utf-8") == registry_schema_text(), said


def test_the_schema_describes_every_class_and_refuses_unknown_keys():
    schema = registry_schema()
    assert set(schema["properties"]) == set(Registry.model_fields)
    for name, definition in schema["$defs"].items():
        assert definition["description"], name
        assert definition["additionalProperties"] is False, name


def test_the_docs_do_what_they_show(tmp_path, monkeypatch, capsys):
    text = (ROOT / "docs/registry.md").read_text(encoding="utf-8")
    blocks = [block.split("\n", 1) for block in text.split("```")[1::2]]
    example, below = (body for language, body in blocks if language == "yaml")
    monkeypatch.chdir(tmp_path)
    Path("with-tables.yaml").write_text(example + below)
    assert main(["registry", "lint", "with-tables.yaml"]) == 0
    capsys.readouterr()
    Path("registry.yaml").write_text(example)
    Path("broken.yaml").write_text(BROKEN)
    steps = [body for language, body in blocks if language == "console"]
    assert len(steps) == 4
    for file in ("evidence/reported/owl-science/nests.json", "decisions/owl-science.json"):
        Path(file).parent.mkdir(parents=True)
        Path(file).write_text("{}")
    for step in steps:
        for call in step.removeprefix("$ ").split("\n$ "):
            line, expected = call.split("\n", 1)
            main(line.removeprefix("mbrelease ").split())
            said = capsys.readouterr()
            shown = said.out + ("" if said.out and "lint" in line else said.err)
            assert shown.strip() == expected.strip(), line


BROKEN = """\
version: 1
family: Owls
variants:
  owl-base: {}
  owl-day: {parents: [{variant: owl-base, relation: finetuning}]}
  owl-news: {trainig: {}}
  owl-law: {parents: [{variant: owl-bas, relation: merging}]}
"""


def test_the_root_registry_lints_clean(capsys):
    assert main(["registry", "lint", str(ROOT / "registry.yaml")]) == 0
    assert capsys.readouterr().err.endswith("registry.yaml: 9 variants, no mistakes\n")


def test_editing_the_root_registry_leaves_its_comments(tmp_path):
    path = tmp_path / "registry.yaml"
    shutil.copy(ROOT / "registry.yaml", path)
    before = path.read_text(encoding="utf-8")
    call = ["registry", "set", "modernbert-science-dapt-v2", "training.tokens", "451_000_000"]
    assert main([*call, "--registry", str(path)]) == 0
    after = path.read_text(encoding="utf-8")
    assert after == before.replace("tokens: 450_000_000 #", "tokens: 451000000 #")
