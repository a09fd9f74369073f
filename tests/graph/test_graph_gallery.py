"""The lineage in docs/gallery is what the program draws today, and its screenshots are there."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
generator = runpy.run_path(str(ROOT / "docs" / "generate_graph.py"))
FOLDER = generator["FOLDER"]


@pytest.fixture(scope="module")
def files() -> dict[str, str]:
    return generator["files"]()


@pytest.mark.parametrize("name", ["lineage.svg", "lineage.html", "README.md"])
def test_it_is_current(files, name):
    assert (FOLDER / name).read_text("utf-8") == files[name], "run `make docs`"


def test_nothing_in_it_leads_out_of_the_repository():
    for path in FOLDER.iterdir():
        if path.suffix != ".png":
            assert not re.search(r"/(?:home|tmp|root|Users|work)/|file://", path.read_text("utf-8"))


@pytest.mark.parametrize("name", ["light", "dark"])
def test_the_screenshots_are_pictures_of_a_page(name):
    image = pytest.importorskip("PIL.Image")
    with image.open(FOLDER / f"{name}.png") as picture:
        assert picture.size == generator["SIZE"]
        pixels = picture.convert("RGB")
        assert len(pixels.getcolors(1 << 20)) >= 8
        dark = sum(pixels.getpixel((640, 790))) < 128
        assert dark == (name == "dark")


def test_readers_are_led_to_it():
    index = (ROOT / "docs" / "gallery" / "README.md").read_text("utf-8")
    for name in ("light.png", "dark.png", "README.md", "lineage.svg", "lineage.html"):
        assert f"(lineage/{name})" in index
    readme = (ROOT / "README.md").read_text("utf-8")
    assert "(docs/gallery/lineage/lineage.svg)" in readme
