"""The page in a browser, at the widths of a desk and of a phone, light and dark."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from page_reading import CARD, write_card

from mbrelease.cards.preview import preview_html

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium here")

WIDTHS = (1280, 390)
WORD = "x" * 10_000
HOSTILE = f"""---
license: {WORD}
tags: [{WORD}, "<script>console.error('ran')</script>"]
base_model: lab/{WORD}
model-index:
- name: x
  results:
  - task: {{type: {WORD}}}
    dataset: {{type: {WORD}, name: {WORD}}}
    metrics: [{{type: {WORD}, value: 1}}]
---
# {WORD}

<script>console.error('ran')</script> <img src=x onerror="console.error('ran')">
<a href="javascript:console.error('ran')">x</a> <b style="position:fixed;width:9999px">x</b>

{WORD} `{WORD}` **{WORD}** https://example.org/{WORD}

> {WORD}

- {WORD}

| {WORD} | b |
|--|--|
| {WORD} | <table><tr><td>{WORD}<td><table><tr><td>{WORD}</table></table> |

```
{WORD}
```

<p align=center width=9999><img src="figures/owl.png" width="9999" height="20" alt="owl"></p>
<pre>{WORD}</pre><table width=9999><tr><td width=9999>x</table><hr width=9999>

שלום עולם, המודל 0.571 טוב יותר. مرحبا بالعالم 3.14

![{WORD}](missing.png)
"""

# Each page stands in a frame of a phone's or a desk's width: a window cannot be that narrow.
PROBE = """
window.addEventListener("load", () => {
  const found = [...document.querySelectorAll("iframe")].map(frame => {
    const inside = frame.contentDocument, root = inside.documentElement;
    const box = name => inside.querySelector(name).getBoundingClientRect();
    const name = each => each.tagName + "." + each.className;
    return {
      page: frame.title, width: frame.contentWindow.innerWidth, scroll: root.scrollWidth,
      pictures: [...inside.images].map(each => each.complete && each.naturalWidth > 0),
      sticking_out: [...inside.querySelectorAll("body *")].filter(each =>
        !each.closest(".scroll *, pre *, nav *, .results table *")
        && each.getBoundingClientRect().right > root.clientWidth + 1).map(name),
      lost: [...inside.querySelectorAll("a[href^='#']")].filter(each =>
        !inside.getElementById(decodeURIComponent(each.hash.slice(1)))).map(each => each.hash),
      scripts: inside.scripts.length,
      paper: frame.contentWindow.getComputedStyle(inside.body).backgroundColor,
      beside: box("aside").left >= box("article").right,
      below: box("aside").top >= box("article").bottom,
      text: inside.querySelector("article").innerText.length,
    };
  });
  document.documentElement.textContent = JSON.stringify(found);
});
"""


def look(folder: Path, pages: dict[str, str], *, dark: bool) -> tuple[list[dict[str, Any]], str]:
    """What a browser makes of the pages at both widths, and what it says on its console."""
    frames = "".join(
        f'<iframe title="{name}" style="border:0;width:{width}px;height:900px"'
        f' srcdoc="{html.escape(text)}"></iframe>'
        for name, text in pages.items()
        for width in WIDTHS
    )
    outer = folder / "outer.html"
    scheme = '<meta charset="utf-8"><meta name="color-scheme" content="light dark">'
    outer.write_text(f"<!doctype html>{scheme}<script>{PROBE}</script><body>{frames}")
    assert CHROMIUM is not None
    done = subprocess.run(
        [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr",
         f"--user-data-dir={folder / 'profile'}", "--window-size=1400,1000", "--dump-dom",
         f"--blink-settings=preferredColorScheme={0 if dark else 1}", outer.as_uri()],
        capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    found = re.search("<html[^>]*>(.*)</html>", done.stdout, re.DOTALL)
    assert found is not None, done.stderr
    said = "\n".join(line for line in done.stderr.splitlines() if "CONSOLE" in line)
    return json.loads(html.unescape(found[1])), said


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_pages_fit_and_show_all_their_pictures(tmp_path: Path, dark: bool) -> None:
    pages = {
        name: preview_html(write_card(tmp_path / name, text), repo_id="lab/owl").html
        for name, text in {
            "card": CARD,
            "hostile": HOSTILE,
            "broken": "---\na: [\n---\n# x",
        }.items()
    }
    found, said = look(tmp_path, pages, dark=dark)
    assert said == ""
    assert len(found) == 6
    for each in found:
        assert each["width"] in WIDTHS
        assert each["scroll"] <= each["width"], each
        assert each["sticking_out"] == [], each
        assert all(each["pictures"]), each
        assert each["lost"] == [] and each["scripts"] == 0
        assert each["paper"] == ("rgb(13, 17, 23)" if dark else "rgb(255, 255, 255)")
        assert each["beside"] == (each["width"] == 1280)
        assert each["below"] == (each["width"] == 390)
        assert each["text"] > 0
    assert [len(each["pictures"]) for each in found] == [3, 3, 1, 1, 0, 0]


def test_the_probe_sees_a_page_that_is_too_wide_and_a_missing_picture(tmp_path: Path) -> None:
    good = preview_html(write_card(tmp_path / "owl"), repo_id="lab/owl").html
    wide = good.replace(
        '<article class="card">', '<article class="card"><hr width="3000"><img src="data:,">'
    )
    [_, phone], said = look(tmp_path, {"wide": wide}, dark=False)
    assert phone["scroll"] > 390
    assert "HR." in phone["sticking_out"]
    assert phone["pictures"][0] is False
    assert said == ""
