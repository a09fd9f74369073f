"""The plan tells how the card changes: metadata by key, text as a diff, regions in brief."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from huggingface_hub import HfApi

from mbrelease.cli.main import main
from mbrelease.hub.card_changes import KeyChange, RegionChange, card_changes
from mbrelease.hub.plan import make_plan
from mbrelease.hub.publish import publish

REPO = "rehearsal/tiny"


def card(metadata: str, *lines: str) -> str:
    return "\n".join([f"---\n{metadata}\n---", "", *lines, ""])


def region(name: str, *lines: str) -> list[str]:
    return [f"<!-- mbrelease:{name} -->", "", *lines, "", f"<!-- /mbrelease:{name} -->"]


def test_a_key_is_told_with_its_old_and_its_new_value() -> None:
    old = card("license: mit\ntags: [a]\nthumbnail: x.png", "# Owl")
    new = card(
        "license: apache-2.0\ntags: [a]\nmodel-index:\n- name: owl\n  results:\n"
        "  - metrics: [{value: 0.5}]",
        "# Owl",
    )
    changes = card_changes(old, new)
    assert changes.keys == (
        KeyChange("license", "mit", "apache-2.0"),
        KeyChange("thumbnail", "x.png", None),
        KeyChange("model-index[0].name", None, "owl"),
        KeyChange("model-index[0].results[0].metrics[0].value", None, 0.5),
    )
    assert changes.text == () and changes.regions == ()
    assert "+license: apache-2.0" in changes.whole


def test_a_generated_region_is_counted_and_the_authors_text_is_shown() -> None:
    old = card("license: mit", "Mine.", "", *region("usage", "a", "b"), "", *region("gone", "x"))
    new = card("license: mit", "Ours.", "", *region("usage", "a", "c", "d"))
    changes = card_changes(old, new)
    assert changes.regions == (RegionChange("usage", 1, 2), RegionChange("gone", 1, 0))
    assert "-Mine." in changes.text and "+Ours." in changes.text
    assert "-<!-- mbrelease:gone … -->" in changes.text
    assert not any(line[1:] in "abcdx" for line in changes.text if len(line) > 1)
    assert {"-b", "+c", "+d"} <= set(changes.whole)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (card("license: [mit", "x"), card("license: mit", "x")),
        (card("# why\nlicense: mit", "x"), card("# because\nlicense: mit", "x")),
        ("x\n", card("license: mit", "x")),
    ],
    ids=["no YAML", "a comment", "no metadata"],
)
def test_metadata_that_are_not_told_by_key_are_told_as_text(old: str, new: str) -> None:
    changes = card_changes(old, new)
    assert changes.keys == ()
    assert any("license" in line or "#" in line for line in changes.text)


def test_a_broken_mark_makes_all_of_it_the_authors() -> None:
    broken = card("license: mit", "<!-- mbrelease:usage -->", "a")
    changes = card_changes(broken, broken.replace("\na\n", "\nb\n"))
    assert changes.regions == () and "+b" in changes.text


def test_values_that_json_has_not_are_text() -> None:
    changes = card_changes(card("a: .nan\nb: 2024-01-31"), card("a: .inf\nb: 2024-02-01"))
    assert json.dumps([change.new for change in changes.keys], allow_nan=False)
    assert [change.key for change in changes.keys] == ["a", "b"]


def test_a_plan_compares_with_the_card_on_the_hub_and_a_new_repository_has_none(
    api: HfApi, release: Path, tmp_path: Path
) -> None:
    readme = release / "README.md"
    first = make_plan(release, REPO, api=api)
    assert first.card is None
    publish(first, api=api, receipts=tmp_path / "receipts")
    assert make_plan(release, REPO, api=api).card is None
    readme.write_text(readme.read_text().replace("A tiny model.", "A small model."))
    plan = make_plan(release, REPO, api=api)
    assert plan.card is not None and plan.changed == ("README.md",)
    assert "-A tiny model." in plan.card.text and "+A small model." in plan.card.text


def test_a_card_on_the_hub_that_is_no_text_is_a_remark(
    proxy, cut_api: HfApi, release: Path
) -> None:
    cut_api.create_repo(REPO)
    old = b"---\nlicense: mit\n---\n"
    cut_api.upload_file(path_or_fileobj=old, path_in_repo="README.md", repo_id=REPO)
    proxy.tamper = lambda method, path, status, body: (
        status,
        b"\xff\xfe" if path.endswith("/README.md") else body,
    )
    plan = make_plan(release, REPO, api=cut_api)
    assert plan.card is None and plan.is_clean
    assert f"the cards are not compared: the README.md of {REPO} is not UTF-8 text" in plan.notes


def test_the_screen_shows_forty_lines_and_json_all(
    api: HfApi,
    release: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", api.endpoint)
    monkeypatch.setenv("HF_TOKEN", str(api.token))
    publish(make_plan(release, REPO, api=api), api=api, receipts=tmp_path / "receipts")
    readme = release / "README.md"
    text = readme.read_text().replace("license: apache-2.0", "license: mit")
    readme.write_text(text + "".join(f"Line {n}.\n" for n in range(100)))
    assert main(["push", str(release), "--to", REPO, "--plan"]) == 0
    out = capsys.readouterr().out
    assert "    license: apache-2.0 → mit\n" in out
    assert "  +Line 0.\n" in out and "+Line 99." not in out
    assert len(out.splitlines()) < 40 + 15
    assert "more lines: --json has all" in out
    assert main(["push", str(release), "--to", REPO, "--plan", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)["plan"]["card"]
    assert "+Line 99." in shown["text"] and "+license: mit" in shown["whole"]
    assert shown["keys"] == [{"key": "license", "old": "apache-2.0", "new": "mit"}]


def test_a_secret_that_a_plan_refuses_stands_nowhere_in_it(
    api: HfApi,
    release: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", api.endpoint)
    monkeypatch.setenv("HF_TOKEN", str(api.token))
    publish(make_plan(release, REPO, api=api), api=api, receipts=tmp_path / "receipts")
    secret = "hf_" + "abcdEFGH12" * 3 + "wxyz"
    readme = release / "README.md"
    readme.write_text(readme.read_text() + f"\nmy token {secret} ok\n")
    for form in ((), ("--json",), ("--markdown",)):
        assert main(["push", str(release), "--to", REPO, "--plan", *form]) == 1
        said = "".join(capsys.readouterr())
        assert "holds a Hugging Face token" in said
        assert secret not in said
