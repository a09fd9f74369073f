"""Every number of a card has a record behind it, which can be read and says the same."""

from __future__ import annotations

import copy
import json
import shutil
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from card_projects import REGISTRY, Build, Built

from mbrelease.cards.arithmetic import agrees, fields_of, recomputed, same
from mbrelease.cards.card import Card, make_card, make_folder_card
from mbrelease.cards.check import check_card
from mbrelease.cards.fields import read_field
from mbrelease.cards.render import shipped_templates
from mbrelease.cards.told import Derived, Field
from mbrelease.cards.trace import NUMBER, Number
from mbrelease.cards.weights import describe
from mbrelease.cards.write import write_variant_card
from mbrelease.checkpoints.checkpoint import open_checkpoint
from mbrelease.files import read_json
from mbrelease.registry.load import load_project
from mbrelease.registry.project import Project

# No JSON: who wrote the card and its defaults, those of transformers, and the tensors.
OTHERS = ("mbrelease", "ModernBertConfig", "model.safetensors")
OUR_OWN = load_project(Path(__file__).parents[2] / "registry.yaml")


def reader(root: Path, project: Project | None = None) -> Callable[[Field], Any]:
    known: dict[str, Any] = {}

    def read(field: Field) -> Any:
        if field.file not in known:
            is_registry = project is not None and field.file == project.registry_path.name
            known[field.file] = (
                project.registry.model_dump(mode="json")
                if project is not None and is_registry
                else read_json(root / field.file)
            )
        return read_field(known[field.file], field.field)

    return read


def is_default(number: Number) -> bool:
    """Whether nobody said otherwise, so that no record has it."""
    return isinstance(number.origin, Derived) and number.origin.how == "usual length"


def faults(card: Card, read: Callable[[Field], Any]) -> list[str]:
    """Each number whose record is not there, or says something else."""
    found = []
    for number in card.numbers:
        where = f"{number.region}:{number.line}: {number.text}"
        if number.origin is None:
            if number.template is None:
                found.append(f"{where} has no origin")
            continue
        fields = fields_of(number.origin)
        if not fields and not is_default(number):
            found.append(f"{where}: derived from nothing")
        if any(Path(field.file).name in OTHERS for field in fields):
            continue
        try:
            for field in fields:
                value = read(field)
                if field.value is not None and not same(field.value, value):
                    found.append(f"{where}: {field} is {value}")
            value = recomputed(number.origin, read)
        except Exception as error:
            found.append(f"{where}: {error!r} {fields[:2]}")
            continue
        stated = number.origin.value
        if value is not None and stated is not None and not same(stated, value):
            found.append(f"{where}: {stated} is stated, and {value} is derived")
        if not agrees(number.text, value if value is not None else stated):
            found.append(f"{where} does not agree with {value}")
    return found


def told(card: Card) -> list[Number]:
    return [number for number in card.numbers if number.origin is not None]


@pytest.mark.parametrize("splits", [("dev", "test"), ("dev",), ()])
def test_every_number_of_a_card(build: Build, splits: tuple[str, ...]) -> None:
    built = build(splits=splits, decide=bool(splits))
    card = make_card(built.project, "science")
    assert card.unfounded == ()
    assert "\n".join(faults(card, reader(built.project.root, built.project))) == ""
    assert len(told(card)) >= (100 if splits else 10)


@pytest.mark.parametrize("variant", OUR_OWN.registry.variants)
def test_every_number_of_our_own_cards(variant: str) -> None:
    card = make_card(OUR_OWN, variant)
    assert card.unfounded == ()
    assert "\n".join(faults(card, reader(OUR_OWN.root, OUR_OWN))) == ""


@pytest.fixture
def logged(folder: Path) -> Path:
    """A checkpoint with a log, which is an average."""
    log = [{"step": 20, "learning_rate": 0.001}, {"step": 40, "eval_loss": 2.34567}]
    state = {"global_step": 40, "max_steps": 100, "log_history": log}
    (folder / "trainer_state.json").write_text(json.dumps(state))
    members = [{"name": f"checkpoint-{n}", "weight": "1/2"} for n in (30, 40)]
    (folder / "averaging.json").write_text(json.dumps({"recipe": "last:2", "members": members}))
    return folder


def test_every_number_of_a_folders_card(logged: Path) -> None:
    card = make_folder_card(logged)
    assert card.unfounded == ()
    checkpoint = open_checkpoint(logged)
    said = asdict(describe(checkpoint, checkpoint.trainer_state))

    def read(field: Field) -> Any:
        """What the files say, read once more; they are no records with fields."""
        if field.file == "the files of the folder":
            return read_field(said, field.field)
        return reader(logged)(field)

    assert "\n".join(faults(card, read)) == ""
    assert len(told(card)) >= 10


def test_every_number_of_weights_on_disk(build: Build, logged: Path) -> None:
    """Sizes come from the files of the weights, settings from the log beside them."""
    registry = copy.deepcopy(REGISTRY)
    registry["variants"]["base"]["weights"] = "base"
    project = build(registry, decide=False).project
    shutil.copytree(logged, project.root / "base")
    readme = project.root / "README.md"
    write_variant_card(project, "base", readme)
    card = make_card(project, "base")
    assert card.unfounded == ()
    assert "\n".join(faults(card, reader(project.root, project))) == ""
    assert len([n for n in told(card) if "evidence/models/base.json" in str(n.origin)]) > 5
    # A repository has the record and not the weights.
    shutil.rmtree(project.root / "base")
    assert check_card(project, "base", readme).differences == ()
    (project.root / "base").mkdir()
    (project.root / "base" / "config.json").write_text("{}")
    assert check_card(project, "base", readme).differences == ()


def test_most_values_are_derived_anew_and_not_taken_on_trust(built: Built) -> None:
    """Values without a rule are checked by writing the page again alone."""
    card = make_card(built.project, "science")
    read = reader(built.project.root, built.project)
    derived = [n for n in told(card) if isinstance(n.origin, Derived)]
    trusted = {
        n.origin.how
        for n in derived
        if isinstance(n.origin, Derived) and recomputed(n.origin, read) is None
    }
    assert trusted <= TRUSTED
    assert {n.origin.how for n in derived if isinstance(n.origin, Derived)} >= {
        "difference", "standard deviation", "count", "sum",
    }  # fmt: skip


TRUSTED = {
    "95% interval of the difference, paired bootstrap",
    "level of the intervals",
    "name of the record",
    "no change",
    "usual length",
}


def typed_elsewhere(card: Card) -> list[Number]:
    """Numbers without an origin that stand in no template of their own section."""
    templates = shipped_templates()
    return [
        number
        for number in card.numbers
        if number.origin is None
        and number.text
        not in NUMBER.findall(
            (templates / "sections" / f"{number.region}.md.j2").read_text(encoding="utf-8")
        )
    ]


def test_numbers_typed_in_a_section_stand_in_its_own_template(build: Build) -> None:
    """A number that lost its origin must not be excused by another section's template."""
    for splits in (("dev", "test"), ("dev",)):
        assert typed_elsewhere(make_card(build(splits=splits).project, "science")) == []
    for variant in OUR_OWN.registry.variants:
        assert typed_elsewhere(make_card(OUR_OWN, variant)) == [], variant


def test_a_number_that_is_formatted_away_is_noticed(built: Built) -> None:
    own = built.project.root / "templates" / "sections" / "intended_use.md.j2"
    own.parent.mkdir(parents=True)
    own.write_text(
        "{{ (evaluation.rows[0].own.origin.value * 3) | round(5) }} {{ evaluation.rows[0].own }}\n"
    )
    card = make_card(built.project, "science")
    assert [number.region for number in card.unfounded] == ["intended_use"]


@pytest.mark.parametrize("file", ["evidence", "decisions", "registry.yaml"])
def test_a_changed_record_is_noticed(built: Built, file: str) -> None:
    """The faults above are found: each kind of record, changed after the card was written."""
    card = make_card(built.project, "science")
    read = reader(built.project.root, built.project)

    def other(field: Field) -> Any:
        value = read(field)
        is_number = isinstance(value, int | float) and field.file.startswith(file)
        return value * 1.01 + 1 if is_number else value

    assert len(faults(card, other)) >= 3
