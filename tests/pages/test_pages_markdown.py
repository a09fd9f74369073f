"""The text of a card as HTML: what the Hub allows, and nothing that runs, fetches or escapes."""

from __future__ import annotations

import time

import pytest
from page_reading import Page

from mbrelease.pages.addresses import Addresses, NoPicture
from mbrelease.pages.markdown import render
from mbrelease.pages.templates import count_text, size_text


def picture(path: str) -> str:
    if "missing" in path:
        raise NoPicture(f"{path} is missing")
    return f"/files/{path}"


AT_HAND = Addresses(link=lambda path: f"/files/{path}", picture=picture)


def shown(text: str) -> str:
    return render(text, AT_HAND).strip()


def page(text: str) -> Page:
    return Page(shown(text))


@pytest.mark.parametrize(
    ("text", "html"),
    [
        ("a<br>b H<sub>2</sub>O ~~no~~ **yes**",
         "<p>a<br>b H<sub>2</sub>O <s>no</s> <strong>yes</strong></p>"),
        ("<p align=center>x</p>", '<p class="center">x</p>'),
        ("<div align='right'>\n\n**x**\n\n</div>",
         '<div class="right">\n<p><strong>x</strong></p>\n</div>'),
        ("<details open><summary>a</summary>\n\nb\n\n</details>",
         '<details open=""><summary>a</summary>\n<p>b</p>\n</details>'),
        ("- [ ] a\n- [x] b", "<ul>\n<li>☐ a</li>\n<li>☑ b</li>\n</ul>"),
        ("> [!NOTE]\n> a", '<blockquote>\n<p><strong class="note">Note</strong><br>a</p>\n'
                           "</blockquote>"),
        ("$$a_1 * b * c$$ \\\\(x*y*z\\\\) $5 and $6",
         '<p><code class="math">$$a_1 * b * c$$</code> '
         '<code class="math">\\\\(x*y*z\\\\)</code> $5 and $6</p>'),
        ("see (https://a.org/b_(c)), ok",
         '<p>see (<a href="https://a.org/b_(c)" rel="noopener noreferrer nofollow">'
         "https://a.org/b_(c)</a>), ok</p>"),
        ("`https://a.org`", "<p><code>https://a.org</code></p>"),
        ("[a](LICENSE#terms) [b](/datasets/x) [c](#below)",
         '<p><a href="/files/LICENSE#terms">a</a> '
         '<a href="https://huggingface.co/datasets/x" rel="noopener noreferrer nofollow">b</a> '
         '<a href="#below">c</a></p>'),
        ("```nolanguage\na < b\n```",
         '<pre><code class="language-nolanguage">a &lt; b\n</code></pre>'),
        ("<table><tr><td>a<td>b</table>",
         '<div class="scroll"><table><tr><td>a</td><td>b</td></tr></table></div>'),
    ],
)  # fmt: skip
def test_what_cards_may_hold(text: str, html: str) -> None:
    assert shown(text) == html


def test_markers_of_regions_are_not_seen() -> None:
    text = "<!-- mbrelease:a -->\n# A\n<!-- /mbrelease:a -->\n<!-- mbrelease:b -->\n\n| a |\n|--|"
    text += "\n| 1 |\n<!-- /mbrelease:b -->\n\nx <!-- within --> y\n\n<!--\nlong\n\none\n-->\nend"
    found = page(text)
    assert found.comments == 0
    assert found.tags() == {"h1", "div", "table", "thead", "tbody", "tr", "th", "td", "p"}
    assert found.text.split() == ["A", "a", "1", "x", "y", "end"]


def test_a_footnote_and_its_mark_lead_to_each_other() -> None:
    found = page("a[^n] b[^none]\n\n[^n]: The *note*\n  goes on.\n\nafter")
    assert found.values("a", "href") == ["#fn-n", "#fnref-n"]
    assert {"fn-n", "fnref-n"} == {attrs["id"] for _, attrs in found.elements if "id" in attrs}
    assert "b[^none]" in found.text  # no such note
    assert "The note\ngoes on." in found.text


@pytest.mark.parametrize(
    ("title", "name"),
    [
        ("How to use", "how-to-use"),
        ("Mistral 7B v0.1 - GGUF", "mistral-7b-v01---gguf"),  # as the Hub named it
        ("Bias, Risks, and Limitations", "bias-risks-and-limitations"),  # likewise
        ("Training & evaluation", "training--evaluation"),
        ("`model_id` of **this** model", "model_id-of-this-model"),
        ("😄 emoji", "-emoji"),
        ("Привет 你好", "привет-你好"),
        ("\u2068שלום\u2069 v1", "שלום-v1"),
        ("en–dash", "endash"),
        ("ⓐ ½ ①", "ⓐ--"),
    ],
)
def test_headings_are_named_as_on_the_hub(title: str, name: str) -> None:
    assert [attrs.get("id") for _, attrs in page(f"## {title}").elements][:1] == [name]


def test_equal_headings_are_told_apart() -> None:
    titles = ["echo", "echo", "echo 1", "echo-1", "echo"]
    found = page("\n\n".join(f"# {title}" for title in titles) + "\n\n<h2 align=center>echo</h2>")
    names = [attrs["id"] for tag, attrs in found.elements if tag in {"h1", "h2"}]
    assert names == ["echo", "echo-1", "echo-1-1", "echo-1-2", "echo-2", "echo-3"]


def test_a_picture_that_is_not_shown_says_why() -> None:
    found = page("![far](https://shields.io/x.svg) ![gone](missing.png) ![ok](ok.png)")
    assert found.values("img", "src") == ["/files/ok.png"]
    assert "far (at shields.io, not fetched)" in found.text
    assert "gone (missing.png is missing)" in found.text
    assert found.values("a", "href") == ["https://shields.io/x.svg"]


def test_a_badge_keeps_the_link_around_it() -> None:
    found = page("[![build](https://shields.io/x.svg)](https://ci.example)")
    assert found.values("a", "href") == ["https://ci.example"]
    assert "build (at shields.io" in found.text


def test_a_picture_for_dark_pages() -> None:
    dark = "(prefers-color-scheme: dark)"
    found = page(
        f'<picture><source media="{dark}" srcset="d.png"><source srcset="https://x/y.png">'
        '<source media="(min-width: 1px)" srcset="w.png"><img src="l.png" alt="a"></picture>'
    )
    assert found.values("source", "srcset") == ["/files/d.png"]
    assert found.values("img", "src") == ["/files/l.png"]


HOSTILE = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "<img src=javascript:alert(1)>",
    "<img src='data:image/svg+xml;base64,PHN2Zz4='>",
    "<img srcset='https://evil/x.png 1x'>",
    '<a href="javascript:alert(1)">x</a>',
    '<a href=" java\nscript:alert(1)">x</a>',
    '<a href="&#106;avascript:alert(1)">x</a>',
    '<a href="\x01javascript:alert(1)">x</a>',
    "<a href='vbscript:x' onclick=alert(1)>x</a>",
    "<a href='file:///etc/passwd'>x</a>",
    "[x](javascript:alert(1))",
    "[x](JaVaScRiPt&#58;alert(1))",
    "[x](data:text/html;base64,PHNjcmlwdD4=)",
    "[x](data:image/png;base64,iVBORw0KGgo=)",
    "![x](data:text/html;base64,PHNjcmlwdD4=)",
    '[x](https://a" onmouseover="alert(1))',
    '![x](" onerror="alert(1))',
    "![x](x 'a\" onerror=\"alert(1)')",
    "</article></main><form action=//evil><input name=x><button>x</button>",
    "<style>body{display:none}</style>",
    "<p style='background:url(//evil)' class='bar notice'>x</p>",
    "<base href=//evil><meta http-equiv=refresh content='0;//evil'><link rel=stylesheet href=x>",
    "<br onclick=alert(1)>",
    "<details open ontoggle=alert(1)>",
    "# <svg onload=alert(1)>\n\nafter",
    "<svg><a xlink:href='javascript:alert(1)'><text>x</text></a></svg>",
    "<math><mtext><table><mglyph><style><img src=x onerror=alert(1)>",
    "<noscript><p title='</noscript><img src=x onerror=alert(1)>'>",
    "<textarea></textarea><title><img src=x onerror=alert(1)></title>",
    "<iframe srcdoc='<script>alert(1)</script>'></iframe><object data=x></object><embed src=x>",
    "```html\n</code></pre><script>alert(1)</script>\n```",
    '```"><script>alert(1)</script>\nx\n```',
    "```python\n'</span></code></pre><script>alert(1)</script>'\n```",
    "| <iframe src=//evil> |\n|---|\n| </table></div></article><script>1</script> |",
    "<table><tr><td><table><tr><td>a</table>b</table></div></div>",
    "<!-- <script>alert(1)</script> -->",
    "<!-- --><script>alert(1)</script> -->",
    "<!--> <script>alert(1)</script>",
    "<![CDATA[<script>alert(1)</script>]]> <?php x ?> <!DOCTYPE html>",
    "&lt;script&gt;alert(1)&lt;/script&gt;",
    "$$<script>alert(1)</script>$$",
    "a[^<script>]\n\n[^<script>]: alert(1)",
    "[^\"onclick=\"x]: a\n\nb[^\"onclick=\"x]",
    "<a id='x\"y' name='a b' href=#x>x</a>",
    "<" * 500 + "a>" * 500,
    "<b " + "x" * 50_000,
]  # fmt: skip
KNOWN = {"a", "b", "blockquote", "br", "code", "details", "div", "h1", "img", "p", "pre", "s",
         "span", "sup", "table", "tbody", "td", "th", "thead", "tr"}  # fmt: skip
HARMLESS = {"alt", "class", "href", "id", "open", "rel", "src", "title"}


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_a_malicious_card_is_only_text(text: str) -> None:
    found = Page(f"<div>{shown(text)}</div>")
    assert found.tags() <= KNOWN
    assert found.comments == 0
    for _, attributes in found.elements:
        assert set(attributes) <= HARMLESS
        assert attributes.get("class", "") not in {"bar", "notice", "bar notice"}
        assert attributes.get("src", "/files/").startswith("/files/")
        assert attributes.get("href", "#").startswith(("/files/", "https://", "#"))


def test_what_follows_something_dropped_is_still_there() -> None:
    assert "after" in page("# <svg onload=alert(1)>\n\nafter").text
    assert "after" in page("<iframe src=x></iframe>\n\nafter").text


def test_elements_that_never_end_are_closed_and_depth_is_bounded() -> None:
    found = Page(shown("<div>" * 5000 + "deep"))
    assert "deep" in found.text and len(found.elements) <= 100


@pytest.mark.parametrize(
    "text",
    ["*a " * 20_000, "[" * 5_000, "`" * 5_000, "<a " * 5_000, "](" * 5_000, "$$" * 5_000,
     "[^a]" * 5_000 + "\n\n[^a]: x", "https://" * 3_000, "|a" * 2_000 + "\n" + "|-" * 2_000,
     "> " * 500 + "x", "<!--" * 5_000],
    ids=range(11),
)  # fmt: skip
def test_no_text_takes_long(text: str) -> None:
    began = time.process_time()
    Page(shown(text))
    assert time.process_time() - began < 5


def test_sizes_and_counts_as_the_hub_writes_them() -> None:
    assert [size_text(size) for size in (0, 999, 1500, 598_000_000, 2_000_000_000_000)] == [
        "0 Bytes", "999 Bytes", "1.5 kB", "598 MB", "2 TB",
    ]  # fmt: skip
    assert [count_text(count) for count in (999, 149_014_272, 1_500_000_000)] == [
        "999", "149M", "1.5B",
    ]  # fmt: skip
