"""Pictures within a page: those of the card's folder, and no others."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest
from page_reading import SVG, png

from mbrelease.pages import pictures
from mbrelease.pages.addresses import NoPicture
from mbrelease.pages.pictures import inlined


def content(address: str, kind: str) -> bytes:
    head = f"data:{kind};base64,"
    assert address.startswith(head)
    return base64.b64decode(address.removeprefix(head))


def test_a_picture_is_its_bytes(tmp_path: Path) -> None:
    (tmp_path / "a b.png").write_bytes(png())
    assert content(inlined(tmp_path, "a%20b.png"), "image/png") == png()


def test_a_png_is_shown_as_the_card_names_it_whatever_lies_beside_it(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(png())
    (tmp_path / "a.svg").write_text(SVG)
    assert content(inlined(tmp_path, "a.png"), "image/png") == png()
    assert content(inlined(tmp_path, "a.svg"), "image/svg+xml") == SVG.encode()
    # The Hub would show nothing where the PNG is not there.
    (tmp_path / "a.png").unlink()
    with pytest.raises(NoPicture, match="missing"):
        inlined(tmp_path, "a.png")


@pytest.mark.parametrize(
    ("part", "why"),
    [
        ("<script>alert(1)</script>", "holds a script"),
        ("<svg:script>alert(1)</svg:script>", "holds a script"),
        ("<rect onclick = 'alert(1)'/>", "holds a script"),
        ("<a href='javascript:alert(1)'><text>x</text></a>", "holds a script"),
        ("<foreignObject><p>x</p></foreignObject>", "holds a script"),
        ("<image href='https://evil/x.png'/>", "from elsewhere"),
        ("<use xlink:href='other.svg#a'/>", "from elsewhere"),
        ("<rect style='fill:url( //evil/x)'/>", "from elsewhere"),
        ("<style>@import 'x.css'</style>", "holds a script"),
    ],
)
def test_an_svg_that_does_more_than_draw_is_left_out(tmp_path: Path, part: str, why: str) -> None:
    (tmp_path / "a.svg").write_text(SVG.replace("</svg>", part + "</svg>"))
    with pytest.raises(NoPicture, match=why):
        inlined(tmp_path, "a.svg")
    (tmp_path / "a.png").write_bytes(png())
    assert content(inlined(tmp_path, "a.png"), "image/png") == png()


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("../secret.png", "outside"),
        ("..%2Fsecret.png", "outside"),
        ("figures/../../secret.png", "outside"),
        ("link.png", "outside"),
        ("linked/secret.png", "outside"),
        ("figures", "missing"),
        ("none.png", "missing"),
        ("a%00.png", "no path"),
        ("x" * 5000 + ".png", "no path"),
        ("notes.txt", "no picture"),
        ("html.png", "not what its name says"),
        ("utf16.svg", "not UTF-8"),
        ("loop.png", "no path|missing"),
    ],
)
def test_nothing_else_is_shown(tmp_path: Path, path: str, why: str) -> None:
    folder = tmp_path / "card"
    (folder / "figures").mkdir(parents=True)
    (tmp_path / "secret.png").write_bytes(png())
    (folder / "link.png").symlink_to(tmp_path / "secret.png")
    (folder / "linked").symlink_to(tmp_path)
    (folder / "loop.png").symlink_to(folder / "loop.png")
    (folder / "notes.txt").write_text("x")
    (folder / "html.png").write_text("<script>alert(1)</script>")
    (folder / "utf16.svg").write_text(SVG, encoding="utf-16")
    with pytest.raises(NoPicture, match=why):
        inlined(folder, path)


def test_a_picture_too_large_for_a_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pictures, "MAX_PICTURE_BYTES", 50)
    (tmp_path / "a.png").write_bytes(png())
    with pytest.raises(NoPicture, match="larger"):
        inlined(tmp_path, "a.png")
