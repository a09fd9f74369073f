"""Known members of the family: each is itself, and what tells it from every other."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest

from mbrelease.checkpoints.config import FULL, SLIDING, ModernBertConfig, normal_form
from mbrelease.parity.checks.lineage import (
    check_against_parent,
    check_family,
    compare,
    origin_of_folder,
    origin_of_member,
)
from mbrelease.parity.family import IDS, MEMBERS, SIZES, TABLE_4, described, matches, member_named
from mbrelease.parity.reference import expected_tensors, parameter_count

ROOT = Path(__file__).resolve().parents[2]
COMPLETE = [member for member in MEMBERS if member.complete]
# Each against each, in the order of MEMBERS; docs/generate_family.py says what the letters mean.
MATRIX = """\
· S G SG · SCL SCL SCL CL SCL SCL SVL VL G SG VCGLP SVCGLA · S · S S
S · SG G S SCL SCL SCL SCL CL SCL SVL SVL SG SG SVCGLP SVCGLA S · S · ·
G SG · S G SGL SGL SGL GL SGL SGL SVGL VGL G SG VGL SVGLA G SG · S S
SG G S · SG SGL SGL SGL SGL GL SGL SVGL SVGL SG SG SVGL SVGLA SG G S · ·
· S G SG · SCL SCL SCL CL SCL SCL SVL VL G SG VCGL SVCGLA · S · S S
SCL SCL SGL SGL SCL · S S S S S SVC SVC SCGL SCGL SVCG SVCGA SCL SCL SC S SC
SCL SCL SGL SGL SCL S · S S S S SVC SVC SCGL SCGL SVCG SVCGA SCL SCL SC S SC
SCL SCL SGL SGL SCL S S · S S S SVC SVC SCGL SCGL SVCG SVCGA SCL SCL SC S SC
CL SCL GL SGL CL S S S · S S SVC VC CGL SCGL VCG SVCGA CL SCL C S SC
SCL CL SGL GL SCL S S S S · S SVC SVC SCGL SCGL SVCG SVCGA SCL CL SC · C
SCL SCL SGL SGL SCL S S S S S · SVC SVC SCGL SCGL SVCG SVCGA SCL SCL SC S SC
SVL SVL SVGL SVGL SVL SVC SVC SVC SVC SVC SVC · S SGL SVGL SVCG SVCGA SVL SVL S S S
VL SVL VGL SVGL VL SVC SVC SVC VC SVC SVC S · GL SVGL VCG SVCGA VL SVL · S S
G SG G SG G SCGL SCGL SCGL CGL SCGL SCGL SGL GL · S CGL SCGLA G SG · S S
SG SG SG SG SG SCGL SCGL SCGL SCGL SCGL SCGL SVGL SVGL S · SVCGL VCGL SG SG S S S
VCGLP SVCGLP VGL SVGL VCGL SVCG SVCG SVCG VCG SVCG SVCG SVCG VCG CGL SVCGL · SVA VCGL SVCGL C S SC
SVCGLA SVCGLA SVGLA SVGLA SVCGLA SVCGA SVCGA SVCGA SVCGA SVCGA SVCGA SVCGA SVCGA SCGLA VCGL SVA \
· SVCGLA SVCGLA SC S SC
· S G SG · SCL SCL SCL CL SCL SCL SVL VL G SG VCGL SVCGLA · S · S S
S · SG G S SCL SCL SCL SCL CL SCL SVL SVL SG SG SVCGL SVCGLA S · S · ·
· S · S · SC SC SC C SC SC S · · S C SC · S · S S
S · S · S S S S S · S S S S S S S S · S · ·
S · S · S SC SC SC SC C SC S S S S SC SC S · S · ·
"""


@pytest.fixture(scope="module")
def docs():
    spec = importlib.util.spec_from_file_location("family", ROOT / "docs/generate_family.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def as_4x(member):
    """config.json as transformers 4.x writes it, with what is known of the member."""
    return {"architectures": [member.architecture], **member.fields}


def as_5x(member):
    """The same as 5.x writes it: nested thetas and a list of layers in place of the flat keys."""
    raw = as_4x(member)
    pattern, layers = raw.pop("global_attn_every_n_layers", 3), raw["num_hidden_layers"]
    full, sliding = raw.pop("global_rope_theta", 16e4), raw.pop("local_rope_theta", 1e4)
    kinds = [SLIDING if layer % pattern else FULL for layer in range(layers)]
    thetas = {FULL: {"rope_theta": full}, SLIDING: {"rope_theta": sliding}}
    return raw | {"layer_types": kinds, "rope_parameters": thetas}


@pytest.mark.parametrize("write", [as_4x, as_5x])
@pytest.mark.parametrize("member", MEMBERS, ids=lambda member: member.name)
def test_each_passes_against_itself_as_either_generation_writes_it(member, write):
    raw = write(member)
    config = normal_form(raw)
    for origin in (origin_of_member(member), origin_of_folder(config, raw)):
        result = check_against_parent(config, raw, origin, "continued-pretraining")
        assert result.status == "pass", result.found
        assert {row["verdict"] for row in result.details["fields"]} == {"identical"}


@pytest.mark.parametrize("member", COMPLETE, ids=lambda member: member.name)
def test_each_is_named_for_what_it_is(member):
    raw = as_4x(member)
    config = normal_form(raw)
    same = [match for match in matches(described(config, raw)) if not match.differing]
    # One that was trained further is its parent too, as far as configs go.
    assert member in [match.member for match in same]
    assert len({match.member.fields["global_rope_theta"] for match in same}) == 1
    assert check_family(config, raw).status == "pass"


def test_what_fails_against_what_for_all_pairs(docs):
    rows = [" ".join(docs.letters(one, other) or "·" for other in MEMBERS) for one in MEMBERS]
    assert "\n".join(rows) + "\n" == MATRIX
    table = [[cell.strip() for cell in row.split("|")[2:-1]] for row in docs.matrix().splitlines()]
    assert [" ".join(row) for row in table[2:]] == MATRIX.splitlines()


@pytest.mark.parametrize("relation", ["continued-pretraining", None])
def test_a_pair_that_differs_fails_by_the_fields_that_differ(relation):
    for one in COMPLETE:
        for other in MEMBERS:
            differing = {key for key in one.fields if one.fields[key] != other.fields.get(key)}
            differing &= set(other.fields)
            fields = compare(one.fields, other.fields, relation)
            wrong = {field.field for field in fields if field.verdict == "wrong"}
            # Where nothing is declared, a known member of another size is what it is.
            known = relation is None and not differing.isdisjoint(SIZES)
            assert wrong == (set() if known else differing), (one.name, other.name)


def test_no_field_is_unknown_to_the_normal_form():
    known = {*ModernBertConfig.__dataclass_fields__, *IDS, "global_attn_every_n_layers"}
    for member in MEMBERS:
        assert set(member.fields) <= known
        assert member.sources


def test_base_and_large_are_as_table_4_and_the_class_defaults_say():
    for size in ("base", "large"):
        fields = member_named(size).fields
        assert TABLE_4.items() <= fields.items()
    default = described(normal_form({}))
    base = member_named("answerdotai/ModernBERT-base").fields
    assert {key: value for key, value in base.items() if default.get(key, value) != value} == {
        "classifier_pooling": "mean"
    }


@pytest.mark.parametrize(
    ("name", "head", "parameters"),
    [
        ("modernbert-base", "mlm", 149_655_232),
        ("modernbert-large", "mlm", 395_881_664),
        ("granite-embedding-97m-multilingual-r2", "encoder", 97_441_152),
        # As their cards round them, in millions.
        ("granite-embedding-311m-multilingual-r2", "encoder", 311),
        ("granite-embedding-small-english-r2", "encoder", 47),
        ("ettin-encoder-17m", "mlm", 17),
        ("ettin-encoder-32m", "mlm", 32),
        ("ettin-encoder-68m", "mlm", 68),
        ("ettin-encoder-150m", "mlm", 150),
        ("ettin-encoder-400m", "mlm", 400),
        ("ettin-encoder-1b", "mlm", 1000),
        ("mmbert-small", "mlm", 140),
        ("mmbert-base", "mlm", 307),
    ],
)
def test_the_stated_parameters_follow_from_the_figures(name, head, parameters):
    count = parameter_count(expected_tensors(member_named(name).config(), head))
    if parameters > 1_000_000:
        assert count == parameters
    else:
        assert count / 1e6 == pytest.approx(parameters, rel=0.035)


def test_a_member_is_found_by_name_and_by_its_repository():
    assert member_named("large").name == "modernbert-large"
    assert member_named("jhu-clsp/mmBERT-small").name == "mmbert-small"
    assert member_named("Alibaba-NLP/gte-modernbert-base").pooling == "cls"
    assert member_named("roberta-base") is None


def test_the_family_is_known_without_torch_and_in_no_time():
    code = (
        "import sys, time; start = time.perf_counter();"
        "from mbrelease.parity.family import MEMBERS, described, matches;"
        "matches(described(MEMBERS[0].config()));"
        "assert not {'torch', 'numpy', 'transformers'} & set(sys.modules);"
        "assert time.perf_counter() - start < 2"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_page_has_the_tables_of_the_family(docs):
    assert docs.section() in (ROOT / "docs/verify.md").read_text()


def test_json_can_carry_the_comparison():
    raw = as_4x(MEMBERS[0]) | {"norm_eps": 1e-12}
    result = check_family(normal_form(raw), raw)
    assert result.status == "warn"
    rows = json.loads(json.dumps(result.as_json()))["details"]["fields"]
    assert {"field": "norm_eps", "found": 1e-12, "expected": 1e-5, "verdict": "wrong"} in rows
