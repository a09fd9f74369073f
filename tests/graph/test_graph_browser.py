"""The page in a browser: moved, zoomed, searched, asked for relatives; and still without script."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from browser import CHROMIUM, WIDTH, Page, page
from families import SMALL, large, project

from mbrelease.graph.family import read_graph
from mbrelease.graph.page import html_page
from mbrelease.graph.svg import svg_document

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium here")

VIEW = (
    "(() => { const f = stage.getBoundingClientRect(), r = graph.getBoundingClientRect();"
    " const zoom = r.width / graph.width.baseVal.value;"
    " return [(f.x - r.x) / zoom, (f.y - r.y) / zoom, f.width / zoom, f.height / zoom]; })()"
)
LIT = (
    "[...document.querySelectorAll('.nodes > .on')]"
    ".map(each => each.querySelector('title').textContent).sort()"
)
CHOSEN = "document.querySelector('.chosen > title')?.textContent ?? null"
OVERLAPS = """(() => {
  const boxes = [...document.querySelectorAll('text')].map(each => each.getBoundingClientRect());
  const far = (a, b) => a.right <= b.left || b.right <= a.left
    || a.bottom - 3 <= b.top || b.bottom - 3 <= a.top;
  const texts = [...document.querySelectorAll('text')].map(each => each.textContent), found = [];
  boxes.forEach((a, i) => boxes.slice(i + 1).forEach((b, j) => {
    if (!far(a, b)) found.push([texts[i], texts[i + 1 + j]]);
  }));
  return found;
})()"""
OUTSIDE = """[...document.querySelectorAll('.node')].flatMap(node => {
  const box = node.querySelector('rect').getBoundingClientRect();
  return [...node.querySelectorAll('text')].filter(each => {
    const own = each.getBoundingClientRect();
    return own.left < box.left || own.right > box.right || own.top < box.top
      || own.bottom > box.bottom;
  }).map(each => each.textContent);
})"""


WIDE = {
    "version": 1,
    "family": "Owls",
    "variants": {
        f"owl-{i}": {"parents": [{"variant": f"owl-{i - 1}", "relation": "adapter"}]} if i else {}
        for i in range(10)
    },
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("graph")
    (folder / "small.html").write_text(html_page(read_graph(project(SMALL))))
    (folder / "large.html").write_text(html_page(read_graph(project(large(200)))))
    (folder / "wide.html").write_text(html_page(read_graph(project(WIDE))))
    (folder / "small.svg").write_text(svg_document(read_graph(project(SMALL))))
    (folder / "large.svg").write_text(svg_document(read_graph(project(large(200)))))
    return folder


@pytest.fixture(scope="module")
def browser(folder: Path) -> Iterator[Page]:
    with page(folder) as opened:
        yield opened


@pytest.fixture
def small(browser: Page, folder: Path) -> Iterator[Page]:
    browser._session = None
    browser.open((folder / "small.html").as_uri(), touch=True)
    yield browser
    assert browser.errors == []


def middle(browser: Page, name: str) -> tuple[float, float]:
    """Where a variant stands in the window."""
    x, y = browser.ask(
        f"(() => {{ const i = [...document.querySelectorAll('.nodes > .node')].find(each =>"
        f" each.querySelector('title').textContent === '{name}').querySelector('rect')"
        ".getBoundingClientRect(); return [i.x + i.width / 2, i.y + i.height / 2]; })()"
    )
    return x, y


def test_the_whole_picture_is_in_sight_at_first(small):
    x, y, width, height = small.ask(VIEW)
    assert x <= 0 and y <= 0
    assert width + x >= float(small.ask("graph.getAttribute('width')"))
    assert height + y >= float(small.ask("graph.getAttribute('height')"))


def test_a_drag_moves_it_with_the_hand_and_chooses_nothing(small):
    at = middle(small, "law")
    small.drag(at, (at[0] + 90, at[1] + 60))
    now = middle(small, "law")
    assert now == pytest.approx((at[0] + 90, at[1] + 60), abs=1)
    assert small.ask(CHOSEN) is None


def test_the_wheel_zooms_where_the_pointer_is(small):
    at, before = middle(small, "mean"), small.ask(VIEW)
    small.mouse("mouseWheel", *at, deltaX=0, deltaY=-240)
    small.wait(f"{VIEW}[2] < {before[2]} * 0.8")
    assert middle(small, "mean") == pytest.approx(at, abs=1)
    small.mouse("mouseWheel", *at, deltaX=0, deltaY=240)
    small.wait(f"Math.abs({VIEW}[2] - {before[2]}) < 1")


def test_two_fingers_zoom_and_one_moves(small):
    x, y = 400, 300
    before = small.ask(VIEW)
    small.touch("touchStart", (x - 50, y), (x + 50, y))
    for apart in (60, 80, 100):
        small.touch("touchMove", (x - apart, y), (x + apart, y))
    small.touch("touchEnd")
    small.wait(f"{VIEW}[2] < {before[2]} * 0.6")
    before = small.ask(VIEW)
    small.touch("touchStart", (x, y))
    for far in (20, 60, 100):
        small.touch("touchMove", (x - far, y))
    small.touch("touchEnd")
    small.wait(f"{VIEW}[0] > {before[0]} + 20")
    assert small.ask(CHOSEN) is None


def test_the_buttons_zoom_and_fit(small):
    before = small.ask(VIEW)
    small.ask("document.getElementById('in').click()")
    assert small.ask(VIEW)[2] == pytest.approx(before[2] / 1.25)
    small.ask("document.getElementById('out').click()")
    assert small.ask(VIEW) == pytest.approx(before)
    small.ask("document.getElementById('in').click(); document.getElementById('fit').click()")
    assert small.ask(VIEW) == pytest.approx(before)


def test_a_click_lights_what_a_variant_comes_from_and_what_comes_from_it(small):
    small.click(*middle(small, "law"))
    assert small.ask(CHOSEN) == "law"
    assert small.ask(LIT) == [
        "adapter", "int8", "law", "long", "mean", "merge", "owl-base", "small",
    ]  # fmt: skip
    # The line from owl-base is lit, that to the other children of it is not.
    lines = "[...document.querySelectorAll('.stubs .fine-tuning.word.on')].length"
    assert small.ask(lines) == 1
    assert small.ask("document.querySelectorAll('.stubs .continued-pretraining.on').length") == 0
    text = small.ask("picked.innerText")
    assert text.startswith("law\n")
    assert "planned" in text and "1 ancestor, 6 descendants" in text
    assert small.ask("location.hash") == "#law"
    small.click(5, 790)
    assert small.ask(CHOSEN) is None and small.ask(LIT) == [] and small.ask("picked.hidden")


def test_versions_are_told_and_lit(small):
    small.click(*middle(small, "science-v2"))
    assert "science-v1" in small.ask(LIT)
    text = small.ask("picked.innerText")
    assert "Supersedes\nscience-v1" in text and "450,000,000" in text
    assert small.ask("document.querySelectorAll('.supersedes.on').length") > 0


def test_a_relative_in_the_panel_is_gone_to(small):
    small.click(*middle(small, "law"))
    small.ask("[...document.querySelectorAll('.go')].find(b => b.textContent === 'mean').click()")
    assert small.ask(CHOSEN) == "mean"
    x, y = middle(small, "mean")
    frame = small.ask("(() => { const f = stage.getBoundingClientRect();"
                      " return [f.x + f.width / 2, f.y + f.height / 2]; })()")  # fmt: skip
    assert (x, y) == pytest.approx(frame, abs=2)


def test_search_finds_by_name_repo_and_alias_and_centres(small):
    small.press("/")
    assert small.ask("document.activeElement.id") == "find"
    small.type("production")
    assert small.ask("found.textContent") == "1 of 1"
    hit = "[...document.querySelectorAll('.hit > title')].map(each => each.textContent)"
    assert small.ask(hit) == ["science-v1"]
    small.press("Enter")
    assert small.ask(CHOSEN) == "science-v1"
    frame = small.ask("stage.getBoundingClientRect().width / 2")
    assert middle(small, "science-v1")[0] == pytest.approx(frame, abs=2)
    small.press("Escape")
    assert small.ask(hit) == [] and small.ask("document.getElementById('find').value") == ""
    small.press("/")
    small.type("owl-")
    assert small.ask("found.textContent") == "1 of 2"
    small.press("Enter")
    small.press("Enter")
    assert small.ask("found.textContent") == "2 of 2" and small.ask(CHOSEN) == "owl-large"
    small.type("qqq")
    assert small.ask("found.textContent") == "none found"


def test_it_can_be_used_by_keys_alone(small):
    for _ in range(12):
        small.press("Tab")
        if small.ask("document.activeElement.matches('.node')"):
            break
    assert small.ask("document.activeElement.getAttribute('aria-label')") == "owl-base, released"
    small.press("Enter")
    assert small.ask(CHOSEN) == "owl-base"
    small.press("ArrowRight")
    assert small.ask(CHOSEN) == "owl-large"
    small.press("ArrowDown")
    down = small.ask(CHOSEN)
    assert down not in ("owl-base", "owl-large")
    small.press("ArrowUp")
    assert small.ask(CHOSEN) == "owl-large"
    small.press("ArrowLeft")
    assert small.ask(CHOSEN) == "owl-base"
    small.press("Escape")
    small.ask("document.activeElement.blur()")
    x, _, width, _ = small.ask(VIEW)
    small.press("+")
    assert small.ask(VIEW)[2] == pytest.approx(width / 1.25)
    small.press("0")
    assert small.ask(VIEW)[2] == pytest.approx(width)
    small.press("ArrowRight")
    assert small.ask(VIEW)[0] > x


def test_an_address_with_a_name_opens_at_it(browser, folder):
    browser._session = None
    browser.open((folder / "large.html").as_uri() + "#owl-base")
    assert browser.ask(CHOSEN) == "owl-base"
    assert browser.ask("document.querySelectorAll('.nodes > .on').length") > 100
    assert browser.errors == []


@pytest.mark.parametrize("name", ["large", "wide"])
def test_on_a_narrow_window_the_chosen_one_is_in_sight(browser, folder, name):
    chosen = "owl-base" if name == "large" else "owl-9"
    inside = (
        "(() => { const s = stage.getBoundingClientRect(),"
        " b = document.querySelector('.chosen rect').getBoundingClientRect();"
        " return b.left >= s.left && b.right <= s.right && b.top >= s.top"
        " && b.bottom <= s.bottom; })()"
    )
    narrow = {"width": 400, "height": 800, "deviceScaleFactor": 1, "mobile": False}
    browser._session = None
    browser.open((folder / f"{name}.html").as_uri() + f"#{chosen}")
    assert browser.ask(inside)
    # A window that is made narrow, then one that was so from the start.
    browser.call("Emulation.setDeviceMetricsOverride", **narrow)
    browser.wait(f"stage.getBoundingClientRect().width === 400 && {inside}")
    browser.ask("window.before = true")
    browser.call("Page.reload")
    browser.wait("!window.before && document.readyState === 'complete'")
    browser.wait(f"({CHOSEN}) === '{chosen}' && {inside}")
    assert browser.errors == []


def test_a_large_family_begins_at_a_size_that_can_be_read(browser, folder):
    browser._session = None
    browser.open((folder / "large.html").as_uri())
    name = "document.querySelector('.nodes .name').getBoundingClientRect()"
    assert browser.ask(f"{name}.height") > 10
    assert browser.ask(f"{name}.left >= 0 && {name}.top >= 0 && {name}.bottom < innerHeight")
    # Seen from afar, only names are left.
    browser.ask("document.getElementById('fit').click()")
    assert browser.ask("graph.classList.contains('far')")
    assert browser.ask("getComputedStyle(document.querySelector('.word')).display") == "none"


def test_without_its_script_it_is_a_picture_to_scroll_in(browser, folder):
    browser._session = None
    browser.open((folder / "small.html").as_uri(), script=False)
    width = browser.ask("graph.getBoundingClientRect().width")
    assert width == float(browser.ask("graph.getAttribute('width')"))
    assert browser.ask("getComputedStyle(stage).overflow") == "auto"
    assert browser.ask("['search', 'tools', 'help', 'picked'].every(id =>"
                       " document.getElementById(id).getClientRects().length === 0)")  # fmt: skip
    assert browser.ask("document.querySelectorAll('[tabindex]').length") == 0


def test_printed_it_fits_the_sheet_whatever_was_looked_at(small):
    for _ in range(4):
        small.press("+")
    small.call("Emulation.setEmulatedMedia", media="print")
    left, width = small.ask(
        "(() => { const r = graph.getBoundingClientRect(); return [r.left, r.width]; })()"
    )
    shown = "['search', 'tools'].some(id => document.getElementById(id).getClientRects().length)"
    hidden = not small.ask(shown)
    small.call("Emulation.setEmulatedMedia", media="")
    assert left >= 0 and left + width <= WIDTH and hidden


def test_the_policy_stops_what_was_not_shipped(small):
    """The page may run its own script and nothing else."""
    small.ask("document.body.append(Object.assign(document.createElement('script'),"
              " {textContent: 'window.ran = 1'}))")  # fmt: skip
    assert small.ask("window.ran ?? null") is None
    small.wait("true")
    assert len(small.errors) == 1 and "Content Security Policy" in small.errors[0]
    small.errors.clear()


@pytest.mark.parametrize("name", ["small", "large"])
def test_no_text_of_the_picture_lies_on_another(browser, folder, name):
    browser._session = None
    browser.open((folder / f"{name}.svg").as_uri())
    assert browser.ask("document.querySelectorAll('.node').length") >= 12
    assert browser.ask(OVERLAPS) == []
    assert browser.ask(OUTSIDE) == []
    assert browser.errors == []


def test_the_probe_sees_texts_that_overlap(browser, folder):
    wrong = (
        (folder / "small.svg")
        .read_text()
        .replace("</svg>", '<text x="20" y="38">x</text><text x="20" y="38">y</text></svg>')
    )
    (folder / "wrong.svg").write_text(wrong)
    browser._session = None
    browser.open((folder / "wrong.svg").as_uri())
    assert ["x", "y"] in browser.ask(OVERLAPS)
