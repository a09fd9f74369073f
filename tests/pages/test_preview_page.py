"""The page of a card: what stands beside the text, and cards with something wrong."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path

import pytest
from page_reading import CARD, Page, write_card

from mbrelease.cards.preview import preview_html
from mbrelease.cli.card_preview import preview
from mbrelease.errors import MissingExtra, UserError


def page(readme: Path, repo_id: str | None = "lab/owl") -> Page:
    return Page(preview_html(readme, repo_id=repo_id).html)


def test_the_metadata_are_tags_boxes_and_a_banner(tmp_path: Path) -> None:
    found = page(write_card(tmp_path / "owl"))
    words = " ".join(found.text.split())
    for shown in (
        "Fill-Mask", "Transformers", "dataset:lab/owl-texts", "science", "Eval Results",
        "Carbon Emissions", "arxiv:2412.13663", "license:apache-2.0",
        "There is a newer version of this model: lab/owl-v2",
        "Emissions 14.9 kg",
        "Model tree answerdotai/ModernBERT-base base model lab/owl finetune",
        "Datasets lab/owl-texts wikimedia/wikipedia",
        "Retrieval on Title search (test) The owl paper recall@10.4215 loss1.5",
    ):  # fmt: skip
        assert shown in words
    assert "pipeline_tag" not in words  # the block itself is not shown
    links = found.values("a", "href")
    assert "https://huggingface.co/answerdotai/ModernBERT-base" in links
    assert "https://huggingface.co/datasets/lab/owl-texts" in links
    assert "https://example.org/owl.pdf" in links
    assert "https://huggingface.co/lab/owl/blob/main/LICENSE" in links


def test_the_page_asks_for_nothing(tmp_path: Path) -> None:
    found = page(write_card(tmp_path / "owl"))
    sources = [*found.values("img", "src"), *found.values("source", "srcset")]
    assert len(sources) == 4
    assert all(source.startswith("data:image/") for source in sources)
    assert found.values("link", "href") == ["data:,"]
    assert "script" not in found.tags()
    policy = found.values("meta", "content")[0]
    assert "default-src 'none'" in policy and "unsafe" not in policy


def test_a_contents_list_leads_to_its_sections(tmp_path: Path) -> None:
    found = page(write_card(tmp_path / "owl"))
    ids = {attrs["id"] for _, attrs in found.elements if "id" in attrs}
    targets = [href[1:] for href in found.values("a", "href") if href.startswith("#")]
    assert "bias-risks--limits" in targets
    assert set(targets) <= ids


def weights(shape: list[int]) -> bytes:
    """A safetensors file with one tensor of 16-bit numbers."""
    size = 2 * math.prod(shape)
    header = json.dumps({"w": {"dtype": "BF16", "shape": shape, "data_offsets": [0, size]}})
    return len(header).to_bytes(8, "little") + header.encode() + bytes(size)


def test_the_folder_of_a_release_is_listed(tmp_path: Path) -> None:
    folder = write_card(tmp_path / "release", "# x\n\n[gone](docs/gone.md)\n").parent
    (folder / "config.json").write_text("{}")
    (folder / "model.safetensors").write_bytes(weights([50, 30]))
    (folder / ".git").mkdir()
    (folder / ".git" / "config").write_text("x")
    shown = preview_html(folder / "README.md")
    words = " ".join(Page(shown.html).text.split())
    assert "model.safetensors" in words and ".git/config" not in words
    assert "Transformers Safetensors" in words
    assert "Parameters 1.5K BF16" in words
    assert words.startswith("release · preview")
    assert shown.left_out == ("docs/gone.md is missing, and the card links it",)


@pytest.mark.parametrize(
    ("head", "said"),
    [
        ("---\nlicense: [apache-2.0\n---\n", "README.md:"),
        ("---\nlicense: a: b\n---\n", "README.md:2"),
        ("---\n- a\n---\n", "not a map"),
        ("---\n---\n", "empty front matter"),
        ("", "no front matter"),
        ("---\nbase_model: a/b\nbase_model_relation: banana\n---\n", "banana"),
        ("---\ntags: &a [x]\nlicense: !!python/object:os.system x\n---\n", "README.md:3"),
        ("---\nmodel-index: [{name: x, results: [7, {metrics: {a: 1}}]}]\n---\n", "model-index"),
    ],
)
def test_metadata_with_faults_are_said_above_the_card(tmp_path: Path, head: str, said: str) -> None:
    found = page(write_card(tmp_path / "owl", head + "# Owl\n\nThe text.\n"))
    notices = [attrs for tag, attrs in found.elements if attrs.get("class") == "notice"]
    assert notices
    assert said in found.text
    assert "The text." in found.text


def test_a_bomb_of_aliases_is_a_notice(tmp_path: Path) -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 12)]
    found = page(write_card(tmp_path / "owl", "---\n" + "\n".join(lines) + "\n---\n# Owl\n"))
    assert any(attrs.get("class") == "notice" for _, attrs in found.elements)


def test_hostile_metadata_are_only_text(tmp_path: Path) -> None:
    evil = '"><script>alert(1)</script>'
    fields = {
        "license": evil, "license_link": "javascript:alert(1)", "language": [evil],
        "tags": [evil], "datasets": [evil, "../../x"], "base_model": [evil],
        "base_model_relation": evil, "new_version": evil, "pipeline_tag": evil,
        "library_name": evil, "co2_eq_emissions": evil,
        "model-index": [{"name": evil, "results": [{
            "task": {"type": evil}, "dataset": {"name": evil, "type": evil, "split": evil},
            "metrics": [{"type": evil, "value": evil}],
            "source": {"name": evil, "url": "javascript:alert(1)"}}]}],
    }  # fmt: skip
    found = page(write_card(tmp_path / "owl", f"---\n{json.dumps(fields)}\n---\n# Owl\n"))
    assert "script" not in found.tags()
    assert all(href.startswith("https://") for href in found.values("a", "href"))
    assert found.text.count("<script>") > 10


@pytest.mark.parametrize("value", ["NaN", "Infinity", "1e400", "true", "null", "[1]", "9" * 400])
def test_any_value_of_a_result_is_shown(tmp_path: Path, value: str) -> None:
    result = {"task": {"type": "t"}, "dataset": {"type": "d", "name": "d"}}
    text = json.dumps(result)[:-1] + f', "metrics": [{{"type": "m", "value": {value}}}]}}'
    head = f'---\n{{"model-index": [{{"name": "x", "results": [{text}]}}]}}\n---\n'
    found = page(write_card(tmp_path / "owl", head + "# Owl\n"))
    assert "Owl" in found.text


def test_text_that_is_not_utf_8_is_shown_with_a_notice(tmp_path: Path) -> None:
    readme = write_card(tmp_path / "owl")
    readme.write_bytes(b"# Owl \xff\n")
    assert "not UTF-8 text (byte 6)" in page(readme).text


def test_pictures_that_are_not_shown_are_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    readme = write_card(
        tmp_path / "owl", CARD + "\n![a](figures/gone.png) ![b](https://x.org/y.png)"
    )
    output = tmp_path / "page.html"
    preview(readme, output=output, port=None, repo_id="lab/owl")
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err == f"left out: figures/gone.png is missing\nwrote {output}\n"
    assert "gone.png is missing" in Page(output.read_text()).text


def test_what_cannot_be_read_or_written_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="README.md"):
        preview(tmp_path / "README.md", output=tmp_path / "x.html", port=None)
    (tmp_path / "file").write_text("x")
    with pytest.raises(UserError):
        preview(write_card(tmp_path / "owl"), output=tmp_path / "file" / "x.html", port=None)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "owl"]


def test_the_same_card_gives_the_same_page(tmp_path: Path) -> None:
    readme = write_card(tmp_path / "owl")
    assert preview_html(readme) == preview_html(readme)


def test_no_torch_is_needed(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from mbrelease.cards.preview import preview_html;"
        f"preview_html(Path({str(write_card(tmp_path / 'owl'))!r}));"
        "print({'torch', 'numpy', 'matplotlib', 'starlette'} & set(sys.modules))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout == "set()\n"


def test_without_the_extra_its_name_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mbrelease.pages import markdown

    monkeypatch.setattr(markdown, "find_spec", lambda name: None)
    with pytest.raises(MissingExtra, match=r"needs the extra \[preview\]"):
        preview(write_card(tmp_path / "owl"), output=tmp_path / "x.html", port=None)
