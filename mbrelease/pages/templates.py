"""The templates of pages, and how they write sizes, counts and paths."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import resources
from urllib.parse import quote

from jinja2 import BaseLoader, ChoiceLoader, Environment, PackageLoader, StrictUndefined


def environment(*own: BaseLoader) -> Environment:
    """An environment for the templates of ``own`` loaders, which can use those that are shared.

    Shared are ``parts.html.j2`` (tags, model tree, results) and ``style.css``.
    """
    made = Environment(
        loader=ChoiceLoader([*own, PackageLoader("mbrelease.pages", "html")]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    filters: Mapping[str, Callable[..., str]] = {
        "size": size_text,
        "count": count_text,
        "quoted": quoted,
        "path": quote,
    }
    made.filters.update(filters)
    return made


def style_sheet() -> str:
    """The style of all pages."""
    return resources.files("mbrelease.pages").joinpath("html/style.css").read_text("utf-8")


def size_text(size_bytes: int) -> str:
    """``598 MB``: powers of ten, as the Hub shows sizes."""
    value = float(size_bytes)
    for unit in ("Bytes", "kB", "MB", "GB"):
        if value < 1000:
            return f"{value:.3g} {unit}"
        value /= 1000
    return f"{value:.3g} TB"


def count_text(number: int) -> str:
    """``149M``: how many parameters a model has."""
    value = float(number)
    for unit in ("", "K", "M"):
        if value < 1000:
            return f"{value:.3g}{unit}"
        value /= 1000
    return f"{value:.3g}B"


def quoted(text: str) -> str:
    """``text`` as one part of an address: a slash in it is no slash."""
    return quote(text, safe="")
