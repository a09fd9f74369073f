"""The cards of docs/gallery: true, fit for the Hub, as the program writes them, with pictures."""

import re
import runpy
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from mbrelease.cli.main import main
from mbrelease.files import read_json, read_text, write_json, write_text

ROOT = Path(__file__).parents[1]
GALLERY = ROOT / "docs" / "gallery"
INDEX = GALLERY / "README.md"
CARDS = sorted(lock.parent.name for lock in GALLERY.glob("*/card.lock.json"))
generator = runpy.run_path(str(ROOT / "docs" / "generate_gallery.py"))
WITHOUT_STATE = shutil.ignore_patterns(".mbrelease", "screenshots")


def registry_of(card: str) -> Path:
    own = GALLERY / card / "registry.yaml"
    return own if own.is_file() else ROOT / "registry.yaml"


@pytest.fixture
def example(tmp_path: Path) -> Path:
    """The card of the Debian example in a project of its own, to be spoilt."""
    return Path(shutil.copytree(GALLERY / "debian-science", tmp_path / "x", ignore=WITHOUT_STATE))


def check(folder: Path, capsys: pytest.CaptureFixture[str], code: int = 1) -> str:
    """What --check says of the card in ``folder``, a line on each difference."""
    capsys.readouterr()
    assert main(["card", "--check", str(folder)]) == code
    return capsys.readouterr().out


def replace(path: Path, old: str, new: str) -> int:
    """Put ``new`` for the one ``old``; the line where it stood."""
    text = read_text(path)
    assert text.count(old) == 1, f"{old!r} is there {text.count(old)} times"
    write_text(path, text.replace(old, new))
    return text[: text.index(old)].count("\n") + 1


def test_all_that_were_promised_are_there():
    assert sorted([*generator["PUBLISHED"], *generator["EXAMPLES"]]) == CARDS


@pytest.mark.parametrize("card", CARDS)
def test_the_card_is_true_and_fit_for_the_hub(card, capsys):
    status = main(["card", "--check", "--lint", str(GALLERY / card)])
    said = capsys.readouterr()
    assert status == 0, said.out
    assert "no difference" in said.err and "no errors, no warnings" in said.err


@pytest.mark.parametrize("card", CARDS)
def test_writing_it_again_changes_nothing(card, tmp_path, capsys):
    copy = Path(shutil.copytree(GALLERY / card, tmp_path / card, ignore=WITHOUT_STATE))
    registry = copy / "registry.yaml" if (copy / "registry.yaml").is_file() else registry_of(card)
    files = {path: path.read_bytes() for path in copy.rglob("*") if path.is_file()}
    call = ["card", card, "-o", str(copy / "README.md"), "--registry", str(registry)]
    assert main(call) == 0
    assert "is as it should be" in capsys.readouterr().err
    assert {path: path.read_bytes() for path in files} == files


@pytest.mark.parametrize("card", CARDS)
def test_nothing_in_it_leads_out_of_the_repository(card):
    """No path or name of the machine that it was made on."""
    for path in (GALLERY / card).rglob("*"):
        if path.suffix in (".md", ".json", ".jsonl", ".yaml", ".svg"):
            assert not re.search(r"/(?:home|tmp|root|Users|work)/|file://", read_text(path)), path


@pytest.mark.parametrize("card", CARDS)
def test_no_picture_is_missing_or_blank(card):
    folder = GALLERY / card
    shown = re.findall(r"!\[[^\]]+\]\(([^)]+)\)", read_text(folder / "README.md"))
    assert "figures/lineage.png" in shown and len(shown) >= 2
    drawn = {f"figures/{path.name}" for path in folder.glob("figures/*.png")}
    assert drawn == set(shown)
    assert {path.stem for path in folder.glob("figures/*.svg")} == {Path(one).stem for one in shown}
    shots = {shot.name: shot for shot in generator["shots"](card)}
    assert {path.stem for path in folder.glob("screenshots/*")} == shots.keys()
    for path in [*folder.glob("figures/*.png"), *folder.glob("screenshots/*.png")]:
        with Image.open(path) as picture:
            colours = picture.convert("RGB").getcolors(1 << 20)
            most = max(count for count, _ in colours) / (picture.width * picture.height)
            assert len(colours) >= 8 and most < 0.99, path
            if path.stem in shots:
                shot = shots[path.stem]
                size = (shot.width * shot.scale, shot.height * shot.scale)
                assert picture.size == size, path


def test_the_index_shows_every_card_and_leads_to_it():
    text = read_text(INDEX)
    targets = re.findall(r"\]\(([^)#\s]+)\)", text)
    for target in targets:
        assert "://" in target or (GALLERY / target).exists(), target
    for card in CARDS:
        assert f"{card}/README.md" in targets
        shown = re.findall(rf"!\[[^\]]+\]\(({card}/screenshots/[^)]+)\)", text)
        assert len(shown) == 1
        assert {f"{card}/screenshots/{shot.name}.png" for shot in generator["shots"](card)} <= set(
            targets
        )


def test_the_example_has_the_registry_of_the_gallery():
    """Word for word, but for the way to the schema."""

    def words(path: Path) -> str:
        return re.sub(r"\$schema=[./]*", "", read_text(path))

    own = ROOT / "examples" / "debian-science" / "registry.yaml"
    assert words(own) == words(GALLERY / "debian-science" / "registry.yaml")


def row_of_mrr(folder: Path) -> str:
    [row] = re.findall(r"^\| mrr.↑ .*$", read_text(folder / "README.md"), re.MULTILINE)
    return row


def test_a_digit_that_a_person_changed_is_found(example, capsys):
    row = row_of_mrr(example)
    value = re.search(r"\*\*(0\.\d+)\*\*", row)[1]
    other = f"{value[:-1]}{(int(value[-1]) + 1) % 10}"
    line = replace(example / "README.md", row, row.replace(value, other))
    [said] = check(example, capsys).splitlines()
    assert f"README.md:{line}: {other} stands here" in said
    assert "/title-text.json scores.test[key=" in said and f"gives {value}" in said


def test_a_bold_that_a_person_moved_is_found(example, capsys):
    row = row_of_mrr(example)
    line = replace(example / "README.md", row, row.replace("**", ""))
    [said] = check(example, capsys).splitlines()
    assert f"README.md:{line}: the best value is not the bold one" in said


def of_test(folder: Path, task: str) -> Path:
    """The record of the chosen weights."""
    weights = read_json(folder / "decisions" / "debian-science.json")
    chosen = next(c for c in weights["candidates"] if c["name"] == weights["chosen"])
    return folder / "evidence" / chosen["weights_sha256"][:16] / f"{task}.json"


def change_interval(folder: Path) -> None:
    path = of_test(folder, "title-text")
    record = read_json(path)
    record["scores"]["test"][0]["ci95"]["mrr"][0] -= 0.1
    write_json(path, record)


def delete_record(folder: Path) -> None:
    of_test(folder, "title-text").unlink()


def change_candidate(folder: Path) -> None:
    path = folder / "decisions" / "debian-science.json"
    decision = read_json(path)
    decision["candidates"][0]["measurements"][0]["value"] += 0.1
    write_json(path, decision)


@pytest.mark.parametrize(
    ("spoil", "record"),
    [
        (change_interval, "title-text.json scores.test[key="),
        (delete_record, "title-text.json"),
        (change_candidate, "decisions/debian-science.json candidates[0]"),
    ],
)
def test_evidence_that_changed_is_found_by_line_and_record(
    example: Path, capsys: pytest.CaptureFixture[str], spoil: Callable[[Path], None], record: str
) -> None:
    spoil(example)
    said = check(example, capsys)
    assert re.search(rf"README\.md:\d+: .*{re.escape(record)}", said), said


def test_a_picture_that_changed_is_found(example, capsys):
    path = example / "figures" / "trajectory.png"
    with Image.open(path) as picture:
        turned = picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    turned.save(path)
    [said] = check(example, capsys).splitlines()
    assert re.search(r"README\.md:\d+: figures/trajectory\.png was changed", said)


def test_a_reported_figure_that_changed_is_found_on_the_card_of_a_published_model(tmp_path, capsys):
    shutil.copy(ROOT / "registry.yaml", tmp_path)
    shutil.copytree(ROOT / "evidence" / "reported", tmp_path / "evidence" / "reported")
    source = GALLERY / "modernbert-bio-base"
    folder = Path(shutil.copytree(source, tmp_path / "card", ignore=WITHOUT_STATE))
    path = tmp_path / "evidence" / "reported" / "modernbert-bio-base" / "hoc.json"
    text = read_text(path)
    assert "70.0" in text
    write_text(path, text.replace("70.0", "75.0"))
    said = check(folder, capsys)
    assert re.search(r"README\.md:\d+: 70\.0 stands here, .*hoc\.json .* gives 75\.0", said)
    # The average over the tasks is computed, and so differs too.
    assert re.search(r"README\.md:\d+: 78\.0 stands here, .* gives 78\.5", said)
