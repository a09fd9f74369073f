"""``mbrelease card``."""

import json
from pathlib import Path

import pytest
from card_projects import Built

from mbrelease.cards.card import make_card, render_card, render_folder_card
from mbrelease.cards.lock import lock_path, read_lock
from mbrelease.cli.main import main

Capture = pytest.CaptureFixture[str]


def test_prints_the_card_and_nothing_else(built: Built, capsys: Capture) -> None:
    assert main(["card", "science", "--registry", str(built.project.registry_path)]) == 0
    out = capsys.readouterr()
    assert out.out == render_card(built.project, "science")
    assert out.err == ""


def test_writes_a_file(built: Built, tmp_path: Path, capsys: Capture) -> None:
    target = tmp_path / "out" / "README.md"
    registry = str(built.project.registry_path)
    assert main(["card", "science", "-o", str(target), "--registry", registry]) == 0
    out = capsys.readouterr()
    assert (out.out, out.err) == ("", f"wrote {target}\n")
    pictures = read_lock(lock_path(target)).pictures
    card = make_card(built.project, "science", pictures=pictures.keys())
    assert target.read_text(encoding="utf-8") == card.text
    assert pictures
    for stem in pictures:
        assert (target.parent / "figures" / f"{stem}.png").is_file()
    assert main(["card", "science", "-o", str(target), "--registry", registry]) == 0
    out = capsys.readouterr()
    assert (out.out, out.err) == ("", f"{target} is as it should be\n")


def test_writes_around_what_the_author_wrote(built: Built, tmp_path: Path) -> None:
    target = tmp_path / "README.md"
    arguments = ["card", "science", "-o", str(target), "--registry"]
    arguments.append(str(built.project.registry_path))
    assert main(arguments) == 0
    written = target.read_text(encoding="utf-8")
    own = written.replace("<!-- mbrelease:usage", "Ask us.\n\n<!-- mbrelease:usage")
    changed = own.replace("A model for papers.", "The best model of all.")
    assert own != written != changed
    target.write_text(changed, encoding="utf-8")
    assert main(arguments) == 0
    assert target.read_text(encoding="utf-8") == own


def test_json(built: Built, capsys: Capture) -> None:
    assert main(["card", "science", "--json", "--registry", str(built.project.registry_path)]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["card"] == render_card(built.project, "science")
    assert (answer["target"], answer["output"]) == ("science", None)


def test_a_plain_folder(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["card", "checkpoint-40"]) == 0
    assert capsys.readouterr().out == render_folder_card(folder)


def test_finds_the_registry_above(
    built: Built, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    below = built.project.root / "deep" / "er"
    below.mkdir(parents=True)
    monkeypatch.chdir(below)
    assert main(["card", "science"]) == 0
    assert capsys.readouterr().out.startswith("---\n")


@pytest.mark.parametrize(
    ("target", "message"),
    [("scince", "did you mean 'science'?"), ("nothing/like/it", "no variant 'nothing/like/it'")],
)
def test_an_unknown_variant(built: Built, capsys: Capture, target: str, message: str) -> None:
    assert main(["card", target, "--registry", str(built.project.registry_path)]) == 2
    out = capsys.readouterr()
    assert message in out.err
    assert out.out == ""


def test_neither_folder_nor_registry(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["card", "science"]) == 2
    error = capsys.readouterr().err
    assert "science is neither a folder nor a variant" in error
    assert len(error.splitlines()) == 2


def test_a_folder_without_a_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    assert main(["card", "empty"]) == 2
    assert "no config.json in empty" in capsys.readouterr().err


def test_a_failing_card_writes_nothing(built: Built, tmp_path: Path, capsys: Capture) -> None:
    own = built.project.root / "templates" / "sections" / "usage.md.j2"
    own.parent.mkdir(parents=True)
    own.write_text("{{ nobody }}")
    target = tmp_path / "README.md"
    registry = str(built.project.registry_path)
    assert main(["card", "science", "-o", str(target), "--registry", registry]) == 2
    assert f"{own}:1: 'nobody' is undefined" in capsys.readouterr().err
    assert not target.exists()


def test_the_card_of_a_folder_names_the_repo_it_goes_to(
    saved_by_5x: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["card", str(saved_by_5x), "--to", "owls/tiny"]) == 0
    card = capsys.readouterr().out
    assert "# tiny" in card
    assert '"owls/tiny"' in card and '"."' not in card
    assert main(["card", str(saved_by_5x), "--to", "owls tiny"]) == 2
    assert "is not a repo id" in capsys.readouterr().err
