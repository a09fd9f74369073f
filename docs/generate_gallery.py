"""Write the cards of docs/gallery anew from what is committed; `make docs` runs it.

    python docs/generate_gallery.py                   every card, with pictures and lock
    python docs/generate_gallery.py --screenshots     and its page, in headless Chromium
    python docs/generate_gallery.py --take PROJECT VARIANT      first take over a release

A card of the family comes from registry.yaml and evidence/reported at the root. Those of the demo
and of examples/debian-science lie in small projects of their own: `--take` copies from the project
of a finished release what its card is derived from, and neither weights nor texts. So the cards
are written and checked where no model is. To take both over again:

    mbrelease demo /tmp/demo
    python docs/generate_gallery.py --take /tmp/demo python-docstrings
    mbrelease release debian-science --registry /tmp/debian/registry.yaml
    python docs/generate_gallery.py --take /tmp/debian debian-science

What has not changed is not written again; the words of the index in docs/gallery/README.md are
kept by hand.
"""

from __future__ import annotations

import argparse
import io
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from mbrelease.cards.model_record import record_path
from mbrelease.cards.preview import preview_html
from mbrelease.cards.write import write_variant_card
from mbrelease.files import read_text, write_bytes, write_text
from mbrelease.registry.load import load_project
from mbrelease.registry.project import REGISTRY_NAME, Project
from mbrelease.selection.decision import read_decision

GALLERY = Path(__file__).parent / "gallery"
FAMILY = GALLERY.parents[1] / REGISTRY_NAME
PUBLISHED = (
    "modernbert-base",
    "modernbert-large",
    "modernbert-science-dapt-v2",
    "modernbert-bio-base",
)
EXAMPLES = ("debian-science", "python-docstrings")
# What the screenshots show of each beside its top: on a dark page, and on a phone.
SECTIONS = {
    "modernbert-base": ("evaluation", "limitations"),
    "modernbert-large": ("training", "how-these-weights-were-chosen"),
    "modernbert-science-dapt-v2": ("evaluation", "limitations"),
    "modernbert-bio-base": ("biomedical-tasks", "training"),
    "debian-science": ("evaluation", "limitations"),
    "python-docstrings": ("how-these-weights-were-chosen", "fill-in-a-masked-word"),
}
README = "README.md"
_DIGITS = 16  # of the sha256 of weights, in the names of their evidence


def write_cards(gallery: Path = GALLERY) -> bool:
    """Write every card in ``gallery``; returns whether anything changed."""
    changed = False
    for readme, project in cards(gallery):
        written = write_variant_card(project, readme.parent.name, readme)
        changed = changed or written.changed
    return changed


def cards(gallery: Path = GALLERY) -> Iterator[tuple[Path, Project]]:
    """Each card with the project it is derived from."""
    for variant in PUBLISHED:
        yield gallery / variant / README, load_project(FAMILY)
    for variant in EXAMPLES:
        yield gallery / variant / README, load_project(gallery / variant / REGISTRY_NAME)


def take(source: Project, variant: str, target: Path) -> None:
    """Copy what the card of ``variant`` is derived from into the folder ``target``.

    Of the values of single examples only those that the paired intervals of the card need.
    """
    decision = read_decision(source.decision(variant))
    chosen = decision.chosen_candidate
    assert chosen is not None, f"nothing was chosen for {variant}"
    for folder in ("decisions", "evidence"):
        shutil.rmtree(target / folder, ignore_errors=True)
    registry = read_text(source.registry_path)
    write_text(target / REGISTRY_NAME, re.sub(r"\$schema=[./]*", "$schema=../../../", registry))
    records = [*source.decision(variant).parent.glob(f"{variant}.*json*")]
    records += source.evidence.glob("[0-9a-f]*/*.json")
    records.append(record_path(source.evidence, variant))
    for sha256 in (chosen.weights_sha256, decision.reference.weights_sha256):
        records += source.evidence.glob(f"{sha256[:_DIGITS]}/*.test.*.parquet")
    shown = chosen.weights_sha256[:_DIGITS]
    records += source.evidence.glob(f"snippets/{shown}.json")
    records += source.evidence.glob(f"drift/{shown}.*.json")
    for record in records:
        write_bytes(target / record.relative_to(source.root), record.read_bytes())


@dataclass(frozen=True)
class Shot:
    """A picture of a page: what a reader sees who has opened it, or followed a link in it."""

    name: str
    width: int
    """Of the window, in pixels; as those that follow."""
    height: int
    dark: bool
    scale: int = 1
    """Pixels of the picture for one of the page."""
    anchor: str = ""


def shots(variant: str) -> tuple[Shot, ...]:
    """The screenshots of the card of ``variant``."""
    dark, phone = SECTIONS[variant]
    return (
        Shot("top", 1280, 1000, dark=False),
        Shot("dark", 1280, 1000, dark=True, anchor=dark),
        Shot("phone", 390, 844, dark=False, anchor=phone, scale=2),
    )


_COLOURS = 64
# A window cannot be as narrow as a phone, so the page stands in a frame.
_FRAME = (
    '<!doctype html><meta charset="utf-8"><meta name="color-scheme" content="light dark">'
    "<style>body{{margin:0}}iframe{{border:0;display:block;width:{width}px;height:{height}px}}"
    '</style><iframe src="{page}#{anchor}"></iframe>'
)


def take_screenshots(gallery: Path = GALLERY) -> None:
    """Write ``screenshots/*.png`` beside each card.

    Raises:
        FileNotFoundError: there is no Chromium.
    """
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        raise FileNotFoundError("chromium")
    for readme, project in cards(gallery):
        repo = project.variant(readme.parent.name).repo
        with tempfile.TemporaryDirectory() as folder:
            page = Path(folder) / "page.html"
            write_text(page, preview_html(readme, repo_id=repo).html)
            for shot in shots(readme.parent.name):
                target = readme.parent / "screenshots" / f"{shot.name}.png"
                write_bytes(target, _screenshot(chromium, page, shot))


def _screenshot(chromium: str, page: Path, shot: Shot) -> bytes:
    frame, picture = page.with_name("frame.html"), page.with_name("shot.png")
    write_text(frame, _FRAME.format(page=page.name, **vars(shot)))
    subprocess.run(  # noqa: S603
        [chromium, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars",
         "--force-device-scale-factor=" + str(shot.scale), f"--screenshot={picture}",
         f"--window-size={max(shot.width, 500)},{shot.height}",
         f"--user-data-dir={page.parent / 'profile'}", "--allow-file-access-from-files",
         f"--blink-settings=preferredColorScheme={0 if shot.dark else 1}", frame.as_uri()],
        capture_output=True, timeout=120, check=True,
    )  # fmt: skip
    return _reduced(picture, shot)


def _reduced(picture: Path, shot: Shot) -> bytes:
    """The page alone, in few colours: a page has no more."""
    from PIL import Image

    box = (0, 0, shot.width * shot.scale, shot.height * shot.scale)
    with Image.open(picture) as image:
        page = image.convert("RGB").crop(box)
    buffer = io.BytesIO()
    few = page.quantize(_COLOURS, dither=Image.Dither.NONE)
    few.save(buffer, "png", optimize=True)
    return buffer.getvalue()


def main() -> None:
    """What the docstring of this file says."""
    given = argparse.ArgumentParser(description="Write the cards of docs/gallery anew.")
    given.add_argument("--take", nargs=2, metavar=("PROJECT", "VARIANT"))
    given.add_argument("--screenshots", action="store_true")
    asked = given.parse_args()
    if asked.take:
        root, variant = asked.take
        take(load_project(Path(root) / REGISTRY_NAME), variant, GALLERY / variant)
    write_cards()
    if asked.screenshots:
        take_screenshots()


if __name__ == "__main__":
    main()
