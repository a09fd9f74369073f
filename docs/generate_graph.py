"""Write the lineage of registry.yaml into docs/gallery/lineage; `make docs` runs it.

    python docs/generate_graph.py                   the graph as SVG, HTML and Markdown
    python docs/generate_graph.py --screenshots     and the page in headless Chromium

What has not changed is not written again.
"""

from __future__ import annotations

import argparse
import io
import shutil
import subprocess
import tempfile
from pathlib import Path

from mbrelease.files import write_bytes, write_text
from mbrelease.graph.family import Graph, read_graph
from mbrelease.graph.figures import read_figures
from mbrelease.graph.mermaid import mermaid_page
from mbrelease.graph.page import html_page
from mbrelease.graph.svg import svg_document
from mbrelease.registry.load import load_project

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "docs" / "gallery" / "lineage"
METRICS = ("beir-dpr/ndcg@10", "title-abstract/recall@1")
CHOSEN = "modernbert-science-dapt-v2"
"""What is clicked on in the dark screenshot."""
SIZE = (1280, 800)
_COLOURS = 64


def family() -> Graph:
    """The graph of the registry at the root."""
    project = load_project(ROOT / "registry.yaml")
    names = list(project.registry.variants)
    return read_graph(project, figures=read_figures(project, names, METRICS))


def files() -> dict[str, str]:
    """What stands in the gallery, by the names of the files."""
    graph = family()
    return {
        "lineage.svg": svg_document(graph),
        "lineage.html": html_page(graph),
        "README.md": mermaid_page(graph),
    }


def write() -> None:
    """Write what has changed."""
    for name, text in files().items():
        path = FOLDER / name
        if not path.is_file() or path.read_text("utf-8") != text:
            write_text(path, text)


def take_screenshots() -> None:
    """Write ``light.png`` and ``dark.png`` beside the page.

    Raises:
        FileNotFoundError: there is no Chromium.
    """
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        raise FileNotFoundError("chromium")
    page = (FOLDER / "lineage.html").as_uri()
    for name, dark, address in (("light", False, page), ("dark", True, f"{page}#{CHOSEN}")):
        with tempfile.TemporaryDirectory() as folder:
            picture = Path(folder) / "shot.png"
            subprocess.run(  # noqa: S603
                [chromium, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars",
                 f"--screenshot={picture}", f"--window-size={SIZE[0]},{SIZE[1]}",
                 f"--user-data-dir={folder}/profile",
                 f"--blink-settings=preferredColorScheme={0 if dark else 1}", address],
                capture_output=True, timeout=120, check=True,
            )  # fmt: skip
            write_bytes(FOLDER / f"{name}.png", _reduced(picture))


def _reduced(picture: Path) -> bytes:
    """In few colours: the page has no more."""
    from PIL import Image

    buffer = io.BytesIO()
    with Image.open(picture) as image:
        few = image.convert("RGB").quantize(_COLOURS, dither=Image.Dither.NONE)
    few.save(buffer, "png", optimize=True)
    return buffer.getvalue()


def main() -> None:
    """What the docstring of this file says."""
    given = argparse.ArgumentParser(description="Write the lineage of docs/gallery anew.")
    given.add_argument("--screenshots", action="store_true")
    asked = given.parse_args()
    write()
    if asked.screenshots:
        take_screenshots()


if __name__ == "__main__":
    main()
