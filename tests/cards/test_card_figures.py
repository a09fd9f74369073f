"""The pictures of a card: what there is to draw, and the files beside the README."""

import json
import math
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from card_projects import AVERAGE, BASE, REGISTRY, decision, record, write

from mbrelease.cards.fields import read_field
from mbrelease.cards.figures import (
    draw_figures,
    figures,
    picture_faults,
)
from mbrelease.cards.scores import Column, read_evaluation
from mbrelease.cards.told import Field, extract, visible
from mbrelease.cards.trace import numbers_in
from mbrelease.errors import MissingExtra, UserError
from mbrelease.files import read_json, sha256_file
from mbrelease.parity.drift import Change, Drift, Part
from mbrelease.parity.drift_record import write_drift_record
from mbrelease.registry.load import load_project

ROOT = Path(__file__).parents[2]


def drift(norm=0.25):
    def change(relative):
        return Change(9, relative**2, 1.0625, 1.0, 1.0, identical=False)

    parts = [
        Part(kind, layer, change(norm * (layer + share)))
        for layer in range(3)
        for kind, share in (("attention", 1), ("mlp", 0.5))
    ]
    return Drift(tuple(parts), {}, (), ("F32", "F32"))


def planned(built, **changes):
    """The figures of the variant ``science``, with its weights and its parent's moved apart."""
    project = built.project
    found = {"weights_sha256": AVERAGE} | changes
    if "decision" not in found:
        found["decision"] = decision(built)
    if "evaluation" not in found:
        own = Column("this model", AVERAGE, None)
        found["evaluation"] = read_evaluation(project, "science", own, found["decision"])
    return figures(project, "science", **found)


@pytest.fixture
def whole(built):
    """A project with a drift beside its evidence."""
    write_drift_record(built.project.evidence, drift(), AVERAGE, "base", BASE)
    return built


@pytest.fixture
def shelf(tmp_path):
    """Where pictures go."""
    path = tmp_path / "figures"
    path.mkdir()
    return path


def by_stem(found):
    return {figure.stem: figure for figure in found}


def test_what_can_be_drawn_of_the_data_is(whole):
    assert [(figure.section, figure.stem) for figure in planned(whole)] == [
        ("lineage", "lineage"),
        ("training", "drift"),
        ("choice", "trajectory"),
        ("choice", "trajectory-guardrail"),
        ("choice", "front"),
        ("evaluation", "evaluation"),
    ]


def test_what_there_are_no_data_for_is_not(built):
    nothing = {"decision": None, "evaluation": None}
    assert list(by_stem(planned(built, **nothing))) == ["lineage"], "no drift was measured"
    assert list(by_stem(planned(built, weights_sha256=None, **nothing))) == ["lineage"]
    alone = figures(built.project, "base", decision=None, evaluation=None, weights_sha256=BASE)
    assert list(by_stem(alone)) == ["lineage"]


def test_a_variant_alone_has_no_picture(build):
    variants = REGISTRY["variants"] | {"stranger": {}}
    built = build(REGISTRY | {"variants": variants})
    facts = {"decision": None, "evaluation": None, "weights_sha256": "d" * 64}
    assert figures(built.project, "stranger", **facts) == ()


def test_one_candidate_is_no_trajectory(built):
    only = decision(built)
    only = only.model_copy(update={"candidates": [only.chosen_candidate]})
    assert {"trajectory", "trajectory-guardrail", "front"}.isdisjoint(
        by_stem(planned(built, decision=only))
    )


def test_a_model_with_nothing_beside_it_has_no_bars(built):
    shutil.rmtree(built.project.evidence / BASE[:16])
    own = Column("this model", AVERAGE, None)
    alone = read_evaluation(built.project, "science", own, None)
    assert "evaluation" not in by_stem(planned(built, decision=None, evaluation=alone))


def test_the_alt_text_is_the_finding(whole):
    found = {stem: visible(figure.alt) for stem, figure in by_stem(planned(whole)).items()}
    assert found["lineage"] == ("Lineage: science was made by continued pretraining of base.")
    assert found["drift"] == (
        "How far each part of science moved from base: median relative norm 0.438, from 0.125 "
        "(the MLP of layer 0) to 0.75 (the attention of layer 2); cosine down to 0.9701."
    )
    assert found["evaluation"] == (
        "This model against base: heldout-mlm loss 3.6235 (against 4.0123); "
        "heldout-mlm accuracy 0.360 (against 0.302); "
        "title-abstract recall@1 0.160 (against 0.071); "
        "title-abstract mean reciprocal rank 0.250 (against 0.132); "
        "section macro-F1 0.401 (against 0.401); "
        "section accuracy 0.501 (against 0.501)."
    )
    assert found["trajectory"].startswith("Recall@1 of title-abstract on dev over training")
    assert "best:1+last" in found["front"]


def test_every_number_of_an_alt_text_stands_in_a_record(whole):
    project = whole.project
    from mbrelease.selection.decision import write_decision

    write_decision(project.decision("science"), decision(whole))
    for figure in planned(whole):
        text, spans = extract(figure.alt)
        numbers = list(numbers_in("x", text, spans, lambda number: None))
        assert numbers or figure.stem in ("lineage", "front")
        for number in numbers:
            origin = number.origin
            assert isinstance(origin, Field), (figure.stem, number.text)
            path = project.root / origin.file
            content = (
                yaml.safe_load(path.read_text()) if path.suffix == ".yaml" else read_json(path)
            )
            value = read_field(content, origin.field)
            if origin.value is not None:
                assert value == origin.value
                shown = float(number.text.replace(",", ""))
                assert shown == pytest.approx(value, rel=0.01, abs=0.0005), (figure.stem, number)


def test_numbers_are_told_from_the_field_that_has_them(whole):
    by_text = {}
    for figure in planned(whole):
        text, spans = extract(figure.alt)
        for span in spans:
            by_text[figure.stem, text[span.start : span.end]] = span.origin
    assert by_text["drift", "0.438"].field == "median_relative_norm"
    assert by_text["drift", "0.75"].field == "parts[4].relative_norm"
    assert by_text["drift", "2"].field == "parts[4].layer"
    assert by_text["trajectory", "0.171"].field == "candidates[2].measurements[0].value"
    assert by_text["evaluation", "0.160"].field.endswith("].recall_at_1")


def test_another_value_is_another_picture_with_another_text(whole, build):
    before = by_stem(planned(whole))
    base = record(BASE, "title-abstract", "test", {"recall_at_1": 0.0812345, "mrr": 0.13198})
    write(whole.project.evidence, base)
    after = by_stem(planned(whole))
    changed = {stem for stem in before if before[stem].data_sha256 != after[stem].data_sha256}
    assert changed == {"evaluation"}
    assert "0.160 (against 0.081)" in visible(after["evaluation"].alt)


def test_a_value_that_does_not_show_in_the_text_is_another_picture_too(whole):
    before = by_stem(planned(whole))
    values = {"recall_at_1": 0.0712346, "mrr": 0.13198}
    write(whole.project.evidence, record(BASE, "title-abstract", "test", values))
    after = by_stem(planned(whole))["evaluation"]
    assert visible(after.alt) == visible(before["evaluation"].alt)
    assert after.data_sha256 != before["evaluation"].data_sha256


def test_another_name_or_order_of_events_is_another_picture(build):
    before = by_stem(planned(build()))
    variants = {**REGISTRY["variants"], "late": {"supersedes": "science"}}
    after = by_stem(planned(build(REGISTRY | {"variants": variants})))
    assert before["lineage"].data_sha256 != after["lineage"].data_sha256
    assert "is superseded by late" in after["lineage"].alt
    assert before["front"].data_sha256 == after["front"].data_sha256


def test_the_drawing_version_is_part_of_the_data(whole, monkeypatch):
    before = planned(whole)
    monkeypatch.setattr("mbrelease.cards.figures.DRAWING_VERSION", 2)
    after = planned(whole)
    assert all(a.data_sha256 != b.data_sha256 for a, b in zip(before, after, strict=True))


def test_planning_needs_neither_matplotlib_nor_torch():
    code = (
        "import sys, mbrelease.cards.figures\n"
        "print(sorted({'matplotlib', 'torch', 'transformers'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


@pytest.fixture(scope="module")
def seeds():
    """The figures that this project's own registry reports."""
    return load_project(ROOT / "registry.yaml")


def reported(project, variant):
    facts = {"decision": None, "evaluation": None, "weights_sha256": None}
    return by_stem(figures(project, variant, **facts))["reported"]


def test_reported_figures_have_bars_too(seeds):
    science = visible(reported(seeds, "modernbert-science-dapt-v2").alt)
    assert "Recall@1 0.440 (against 0.279)" in science
    assert "Loss 0.985 (against 1.081)" in science
    bio = visible(reported(seeds, "modernbert-bio-base").alt)
    assert "ChemProt 90.1 (against 89.5)" in bio and bio.endswith("; and more.")
    base = visible(reported(seeds, "modernbert-base").alt)
    assert "GLUE 88.4, the best" in base
    assert "MLDR, in domain 44.0, behind GTE-en-MLM-base with 44.4" in base


def few(built):
    """Two figures that are soon drawn."""
    found = by_stem(planned(built))
    return [found["lineage"], found["evaluation"]]


def test_each_is_drawn_once_and_again_when_its_data_change(whole, tmp_path):
    folder = tmp_path / "release" / "figures"
    first = draw_figures(few(whole), folder, {})
    names = ["evaluation.png", "evaluation.svg", "lineage.png", "lineage.svg"]
    assert sorted(path.name for path in folder.iterdir()) == names
    assert {path.name for path in first.written} == set(names)
    again = draw_figures(few(whole), folder, first.pictures)
    assert (again.written, again.removed, again.pictures) == ((), (), first.pictures)
    values = {"recall_at_1": 0.0812345, "mrr": 0.13198}
    write(whole.project.evidence, record(BASE, "title-abstract", "test", values))
    later = draw_figures(few(whole), folder, first.pictures)
    assert {path.name for path in later.written} == {"evaluation.png", "evaluation.svg"}
    assert later.pictures["lineage"] == first.pictures["lineage"]
    assert later.pictures["evaluation"] != first.pictures["evaluation"]


def test_a_file_that_is_gone_or_changed_is_drawn_again(whole, shelf):
    first = draw_figures(few(whole), shelf, {})
    whole_bytes = {path.name: path.read_bytes() for path in shelf.iterdir()}
    (shelf / "lineage.png").unlink()
    (shelf / "evaluation.svg").write_text("<svg/>")
    again = draw_figures(few(whole), shelf, first.pictures)
    assert {path.name for path in again.written} == {"lineage.png", "evaluation.svg"}
    assert {path.name: path.read_bytes() for path in shelf.iterdir()} == whole_bytes
    assert again.pictures == first.pictures


def test_a_picture_that_is_no_longer_wanted_goes_unless_somebody_changed_it(whole, shelf):
    first = draw_figures(few(whole), shelf, {})
    (shelf / "evaluation.svg").write_text("<svg>mine now</svg>")
    (shelf / "photo.png").write_bytes(b"an owl")
    after = draw_figures(few(whole)[:1], shelf, first.pictures)
    assert [path.name for path in after.removed] == ["evaluation.png"]
    assert sorted(path.name for path in shelf.iterdir()) == [
        "evaluation.svg", "lineage.png", "lineage.svg", "photo.png",
    ]  # fmt: skip
    assert list(after.pictures) == ["lineage"]


def test_a_picture_of_the_author_s_is_never_overwritten(whole, shelf):
    (shelf / "evaluation.png").write_bytes(b"an owl")
    with pytest.raises(UserError, match=r"evaluation\.png was not drawn by mbrelease"):
        draw_figures(few(whole), shelf, {})
    assert [path.name for path in shelf.iterdir()] == ["evaluation.png"]
    assert (shelf / "evaluation.png").read_bytes() == b"an owl"


def test_without_the_lock_the_same_pictures_are_known_again(whole, shelf):
    first = draw_figures(few(whole), shelf, {})
    again = draw_figures(few(whole), shelf, {})
    assert again.written == () and again.pictures == first.pictures


def test_the_same_data_give_the_same_bytes(whole, shelf):
    everything = planned(whole)
    one = draw_figures(everything, shelf / "one", {}).pictures
    assert draw_figures(planned(whole), shelf / "two", {}).pictures == one
    assert len(list((shelf / "one").iterdir())) == 2 * len(everything) == 12


def test_faults_of_the_files_are_told(whole, shelf):
    wanted = few(whole)
    assert picture_faults(wanted, shelf, {}) == (
        "figures/evaluation was never drawn",
        "figures/lineage was never drawn",
    )
    known = draw_figures(wanted, shelf, {}).pictures
    assert picture_faults(wanted, shelf, known) == ()
    (shelf / "lineage.svg").write_text("<svg/>")
    (shelf / "lineage.png").unlink()
    assert picture_faults(wanted, shelf, known) == (
        "figures/lineage.png is missing",
        "figures/lineage.svg was changed after it was drawn",
    )
    assert "figures/evaluation shows what is no longer there" in picture_faults(
        wanted[:1], shelf, known
    )
    values = {"recall_at_1": 0.0812345, "mrr": 0.13198}
    write(whole.project.evidence, record(BASE, "title-abstract", "test", values))
    assert "figures/evaluation was drawn from other data" in picture_faults(
        few(whole), shelf, known
    )


def test_without_matplotlib_only_drawing_is_refused(whole, shelf, monkeypatch):
    known = draw_figures(few(whole), shelf, {}).pictures
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert draw_figures(few(whole), shelf, known).written == ()
    with pytest.raises(MissingExtra, match="plot"):
        draw_figures(few(whole), shelf / "new", {})


def test_of_a_parent_that_was_another_once_the_present_drift_is_shown(build, folder):
    base = REGISTRY["variants"]["base"] | {"weights": str(folder)}
    built = build(REGISTRY | {"variants": REGISTRY["variants"] | {"base": base}})
    now = sha256_file(folder / "model.safetensors")
    for norm, parent in ((0.25, "9" * 64), (0.5, now), (0.75, "f" * 64)):
        write_drift_record(built.project.evidence, drift(norm), AVERAGE, "base", parent)
    facts = {"decision": None, "evaluation": None, "weights_sha256": AVERAGE}
    shown = by_stem(figures(built.project, "science", **facts))["drift"]
    assert "median relative norm 0.875, from 0.25" in visible(shown.alt)
    shutil.rmtree(folder)
    assert "drift" not in by_stem(figures(built.project, "science", **facts)), "nobody knows which"


def test_a_broken_drift_is_named(whole):
    (path,) = (whole.project.evidence / "drift").iterdir()
    content = json.loads(path.read_text())
    content["parts"][0]["relative_norm"] = math.pi
    path.write_text(json.dumps(content))
    with pytest.raises(UserError, match="malformed drift"):
        planned(whole)
