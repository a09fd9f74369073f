"""``card --check``: what a person or a file changed is found, with its line and its record."""

import json
from pathlib import Path

import pytest
from card_projects import AVERAGE, BASE, SECOND, Built

from mbrelease.cards.check import check_card
from mbrelease.cards.write import write_variant_card
from mbrelease.errors import UserError


@pytest.fixture
def readme(built: Built) -> Path:
    path = built.project.root / "README.md"
    write_variant_card(built.project, "science", path)
    return path


def sentences(built: Built, readme: Path) -> list[str]:
    found = check_card(built.project, "science", readme).differences
    assert all(one.sentence.startswith(f"{readme}:") for one in found)
    return [one.sentence.removeprefix(f"{readme}:") for one in found]


def change(path: Path, old: str, new: str) -> int:
    """Replace the first ``old``; returns its line."""
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    return text[: text.index(old)].count("\n") + 1


def test_a_fresh_card_has_no_difference(built: Built, readme: Path) -> None:
    checked = check_card(built.project, "science", readme)
    assert checked.differences == ()
    assert checked.numbers > 100


def test_a_typed_digit_is_told_with_its_record(built: Built, readme: Path) -> None:
    line = change(readme, "| **3.6235**", "| **3.6236**")
    [told] = sentences(built, readme)
    assert told.startswith(f"{line}: 3.6236 stands here, and evidence/aaaaaaaaaaaaaaaa/heldout-mlm")
    assert told.endswith("gives 3.6235")


def test_bold_and_words_are_told(built: Built, readme: Path) -> None:
    line = change(readme, "**3.6235**", "3.6235")
    other = change(readme, "Few books were read.", "Many books were read.")
    first, second = sentences(built, readme)
    assert (first.startswith(f"{line}: ") and "the best value is not the bold one" in first) or (
        "should say" in first
    )
    assert second.startswith(f"{other}: ") and "Many books" in second and "Few books" in second


def test_a_long_line_is_quoted_from_where_it_differs(built: Built, readme: Path) -> None:
    words = "What is inconclusive does not pass"
    change(readme, words, "What is unclear does not pass")
    [told] = sentences(built, readme)
    assert "unclear" in told and "inconclusive" in told


def test_a_value_that_changed_in_its_record(built: Built, readme: Path) -> None:
    path = built.records[AVERAGE, "title-abstract", "test"].file
    assert path is not None
    path.write_text(path.read_text().replace("0.16049999", "0.26049999"))
    told = sentences(built, readme)
    assert any("0.160 stands here" in one and "gives 0.260" in one for one in told)


def test_a_lost_record_is_named_once(built: Built, readme: Path) -> None:
    path = built.records[AVERAGE, "title-abstract", "test"].file
    assert path is not None
    path.unlink()
    lost = [one for one in sentences(built, readme) if "is lost" in one]
    assert len(lost) == 1
    assert "title-abstract.json is gone" in lost[0] and "other numbers" in lost[0]


def test_the_evidence_behind_the_decision_is_looked_at(built: Built, readme: Path) -> None:
    """The card shows what the decision read, and no number of it comes from this file."""
    path = built.records[SECOND, "title-abstract", "dev"].file
    assert path is not None
    record = json.loads(path.read_text())
    record["scores"]["dev"][0]["recall_at_1"] = 0.99
    record["scores"]["dev"][0]["main_score"] = 0.99
    path.write_text(json.dumps(record))
    [told] = sentences(built, readme)
    assert "the decision has title-abstract/recall@1 of checkpoint-200" in told
    assert "says 0.99" in told
    path.unlink()
    told = "\n".join(sentences(built, readme))
    assert "is gone or cannot be read" in told


def test_a_policy_that_changed_is_told(built: Built, readme: Path) -> None:
    from mbrelease.registry.load import load_project

    change(built.project.registry_path, "margin: 0.02", "margin: 0.05")
    project = load_project(built.project.registry_path)
    [one] = check_card(project, "science", readme).differences
    assert "the policy in registry.yaml is not the one" in one.message


def test_two_records_of_one_cell_stop_the_card(built: Built, readme: Path) -> None:
    path = built.records[BASE, "heldout-mlm", "test"].file
    assert path is not None
    record = json.loads(path.read_text())
    [entry] = record["scores"]["test"]
    record["scores"]["test"] = [entry, entry | {"loss": 0.9, "main_score": 0.9}]
    path.write_text(json.dumps(record))
    [first, *_] = sentences(built, readme)
    assert "has two records of heldout-mlm on test" in first


@pytest.mark.parametrize("region", ["evaluation", "limitations"])
def test_a_section_that_was_taken_out_is_missed(built: Built, readme: Path, region: str) -> None:
    text = readme.read_text()
    start = text.index(f"<!-- mbrelease:{region} -->")
    end = text.index(f"<!-- /mbrelease:{region} -->") + len(f"<!-- /mbrelease:{region} -->")
    readme.write_text(text[:start] + text[end:])
    assert any(f"the section '{region}' is missing" in one for one in sentences(built, readme))


def test_what_the_author_writes_is_no_difference(built: Built, readme: Path) -> None:
    mark = "<!-- mbrelease:usage -->"
    readme.write_text(readme.read_text().replace(mark, f"Mine: 42.\n\n{mark}"))
    assert sentences(built, readme) == []


def test_a_front_matter_value_is_told_with_its_record(built: Built, readme: Path) -> None:
    line = change(readme, "value: 3.62345678", "value: 3.5")
    [told] = sentences(built, readme)
    assert told.startswith(f"{line}: 3.5 stands here, and evidence/aaaaaaaaaaaaaaaa/heldout-mlm")


def test_line_ends_of_windows_are_told_and_not_called_another_hand(
    built: Built, readme: Path
) -> None:
    readme.write_bytes(readme.read_bytes().replace(b"\n", b"\r\n"))
    with pytest.raises(UserError, match="line ends of Windows"):
        check_card(built.project, "science", readme)


def test_a_lost_or_broken_lock_is_told(built: Built, readme: Path) -> None:
    lock = readme.with_name("card.lock.json")
    lock.write_text("{}")
    with pytest.raises(UserError, match="malformed lock"):
        check_card(built.project, "science", readme)
    lock.unlink()
    with pytest.raises(UserError, match=r"card\.lock\.json is missing"):
        check_card(built.project, "science", readme)


def test_a_misspelt_template_is_refused(built: Built, readme: Path) -> None:
    own = built.project.root / "templates" / "sections" / "limitation.md.j2"
    own.parent.mkdir(parents=True)
    own.write_text("- none")
    with pytest.raises(UserError, match=r"limitation\.md\.j2: no template includes it") as caught:
        write_variant_card(built.project, "science", readme)
    assert "limitations.md.j2" in str(caught.value)


@pytest.mark.parametrize(
    "secret",
    [
        "hf_" + "abcdEFGH12" * 3 + "wxyz",
        f"-----BEGIN {'PRIVATE'} KEY-----\nMIIEvQIBADANBgkq\n-----END {'PRIVATE'} KEY-----",
    ],
    ids=["token", "key"],
)
@pytest.mark.parametrize("words", ["Few books were read.", "What is inconclusive does not pass"])
def test_what_was_typed_by_mistake_is_told_and_not_quoted(
    built: Built, readme: Path, secret: str, words: str
) -> None:
    # Far into the line, where a quotation is cut.
    line = change(readme, words, f"{words[:4]}{' word' * 16} {secret}")
    told = "\n".join(sentences(built, readme))
    assert f"{line}: " in told
    assert not any(part in told for part in ("hf_abcd", "MIIE", "END PRIV"))
