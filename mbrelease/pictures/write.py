"""Write pictures, each as an SVG and a PNG of the same name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from mbrelease.errors import MissingExtra
from mbrelease.files import write_bytes

if TYPE_CHECKING:
    from mbrelease.pictures.render import Picture


def write_pictures(draw: Callable[[], Mapping[str, Picture]], folder: Path) -> list[Path]:
    """Write what ``draw`` gives by the stems of the files; the same pictures, the same bytes.

    Args:
        draw: is called in matplotlib's plain style.
        folder: is made if there is none.

    Raises:
        MissingExtra: matplotlib is not installed.
        UserError: the folder cannot be written.
    """
    files = {folder / name: data for name, data in picture_files(draw).items()}
    for path, data in files.items():
        write_bytes(path, data)
    return list(files)


def picture_files(draw: Callable[[], Mapping[str, Picture]]) -> dict[str, bytes]:
    """What ``draw`` gives by the stems of the files as the bytes of an SVG and a PNG, by name.

    Raises:
        MissingExtra: matplotlib is not installed.
    """
    try:
        import matplotlib  # noqa: F401
    except ImportError as error:
        raise MissingExtra("plot", "drawing pictures") from error
    from mbrelease.pictures import render

    files = {}
    with render.plain_style():
        for stem, picture in draw().items():
            files[f"{stem}.svg"] = render.svg_bytes(picture)
            files[f"{stem}.png"] = render.png_bytes(picture)
    return files
