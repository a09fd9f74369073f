"""A card as the page that the Hub would make of it, before anybody sees it there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from markupsafe import Markup

from mbrelease.cards.preview_folder import CardFolder
from mbrelease.files import unreadable
from mbrelease.metadata.check import check_metadata
from mbrelease.metadata.front_matter import read_front_matter
from mbrelease.pages import lineage
from mbrelease.pages.markdown import render
from mbrelease.pages.preview import Fact, PreviewPage, preview_document
from mbrelease.pages.results import result_sets
from mbrelease.pages.tags import as_texts, dataset_page, paper_page, papers, tags
from mbrelease.pages.templates import count_text, size_text

_MOST_NOTICES = 10


@dataclass(frozen=True)
class Preview:
    """A page, and what the card speaks of that is not there, in a few words each."""

    html: str
    left_out: tuple[str, ...]


def preview_html(readme: Path, *, repo_id: str | None = None) -> Preview:
    """The page of the card at ``readme``: one HTML file, with the pictures in it.

    A card with faults in its metadata is shown with them at its head.

    Args:
        repo_id: where the card will be published; without it, the page is named for its folder.

    Raises:
        UserError: the card cannot be read.
        MissingExtra: the extra [preview] is not installed.
    """
    text, notices = _text(readme)
    metadata, body = _parts(text)
    folder = CardFolder(readme.parent, repo_id)
    errors = [str(each) for each in check_metadata(text, repo_id=repo_id) if each.is_error]
    page = _page(metadata, body, folder, _few([*notices, *errors]))
    return Preview(preview_document(page), tuple(dict.fromkeys(folder.left_out)))


def _page(
    metadata: Mapping[str, Any], body: str, folder: CardFolder, notices: Sequence[str]
) -> PreviewPage:
    return PreviewPage(
        name=folder.repo_id or _name(metadata, folder),
        tags=tags(
            metadata,
            task=next(iter(as_texts(metadata.get("pipeline_tag"))), None),
            libraries=_libraries(metadata, folder),
            body=body,
        ),
        notices=notices,
        body=Markup(render(body, folder.addresses())),  # noqa: S704  (only what is allowed)
        facts=list(_facts(metadata, folder)),
        parents=lineage.parents(metadata),
        relation=lineage.relation(metadata),
        new_version=lineage.newer_version(metadata),
        datasets=[
            lineage.Named(name, dataset_page(name)) for name in as_texts(metadata.get("datasets"))
        ],
        papers=[lineage.Named(paper, paper_page(paper)) for paper in papers(body)],
        results=result_sets(metadata),
        files=folder.files,
    )


def _text(readme: Path) -> tuple[str, list[str]]:
    try:
        data = readme.read_bytes()
    except OSError as error:
        raise unreadable(readme, error) from error
    try:
        return data.decode("utf-8"), []
    except UnicodeDecodeError as error:
        notice = f"{readme.name} is not UTF-8 text (byte {error.start}); mend: save it as UTF-8"
        return data.decode("utf-8", errors="replace"), [notice]


def _parts(text: str) -> tuple[Mapping[str, Any], str]:
    """The metadata, empty where they cannot be read, and the text below them."""
    matter = read_front_matter(text)
    metadata = matter.document.value if matter.document is not None else {}
    # Without metadata there is no line that closes them.
    above = matter.last_line if matter.last_line > 1 else 0
    return metadata, "\n".join(text.split("\n")[above:])


def _name(metadata: Mapping[str, Any], folder: CardFolder) -> str:
    index = metadata.get("model-index")
    first = index[0] if isinstance(index, list) and index else None
    named = first.get("name") if isinstance(first, dict) else None
    if isinstance(named, str) and named.strip() and not folder.is_release:
        return named
    return folder.path.resolve().name or "model"


def _few(notices: Sequence[str]) -> list[str]:
    more = len(notices) - _MOST_NOTICES
    if more <= 0:
        return list(notices)
    return [*notices[:_MOST_NOTICES], f"and {more} more, which mbrelease card --lint names"]


def _libraries(metadata: Mapping[str, Any], folder: CardFolder) -> Iterator[str]:
    named = as_texts(metadata.get("library_name"))
    yield from named[:1] or (["transformers"] if folder.is_release else [])
    if any(file.path.endswith(".safetensors") for file in folder.files):
        yield "safetensors"


def _facts(metadata: Mapping[str, Any], folder: CardFolder) -> Iterator[Fact]:
    if folder.parameters:
        count = count_text(sum(folder.parameters.values()))
        yield Fact("Parameters", count, ", ".join(folder.parameters))
    if folder.files:
        size = size_text(sum(file.size_bytes for file in folder.files))
        yield Fact("Size", size, f"in {len(folder.files)} files")
    licenses = [*as_texts(metadata.get("license")), *as_texts(metadata.get("license_name"))]
    if licenses:
        yield Fact("License", ", ".join(licenses))
    emitted = metadata.get("co2_eq_emissions")
    grams = emitted.get("emissions") if isinstance(emitted, dict) else emitted
    if isinstance(grams, int | float) and not isinstance(grams, bool):
        yield Fact("Emissions", f"{grams / 1000:.3g} kg", "CO₂ equivalent")
