"""A card on disk: README.md, its pictures, and the lock that says what is behind each number."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mbrelease.cards.card import GENERATED_KEYS, Card, read_draft
from mbrelease.cards.figures import FIGURES, Figure, draw_figures, is_current
from mbrelease.cards.lock import (
    Lock,
    PictureLock,
    lock_path,
    read_lock,
    text_sha256,
    write_lock,
)
from mbrelease.cards.model_record import record_path, write_record
from mbrelease.errors import MissingExtra, UserError
from mbrelease.files import read_text, sha256_file, write_text
from mbrelease.metadata.regions import Page, generated_keys, merged, read_page
from mbrelease.progress import SILENT, Progress
from mbrelease.registry.project import Project

_MOST_REMARKS = 5


@dataclass(frozen=True)
class Written:
    """What became of a card."""

    text: str
    changed: bool
    remarks: tuple[str, ...]
    """What its author should know, such as numbers that no record is behind."""


def write_variant_card(
    project: Project,
    variant: str,
    readme: Path,
    *,
    run: bool = False,
    progress: Progress = SILENT,
) -> Written:
    """Write the card of ``variant`` to ``readme``, with pictures and lock beside it.

    Args:
        project: The registry and the folders beside it.
        variant: A variant's name or alias.
        readme: The file; what the author wrote in it stays.
        run: First run the card's code against the release, and put under it what it prints.
        progress: Told of the code that runs.

    Raises:
        CheckFailed: a block of code fails, or no candidate was chosen.
        MissingExtra: the code or the pictures need a package that is not installed.
        UserError: as ``make_card`` and ``write_card``.
    """
    name = project.resolve_name(variant)
    draft = read_draft(project, name)
    if draft.context.record is not None:
        write_record(record_path(project.evidence, name), draft.context.record)
    # Before anything runs or is drawn: what is there may be another's.
    page = merged_page(draft.card(), readme)
    if run:
        _run(project, name, page.text, readme, progress)
    folder = readme.parent / FIGURES
    known = _known(readme)
    pictures, remarks = _draw(draft.figures, folder, known.pictures if known else {})
    return write_card(draft.card(pictures), readme, pictures=pictures, remarks=remarks)


def write_card(
    card: Card,
    readme: Path,
    *,
    pictures: Mapping[str, PictureLock] | None = None,
    remarks: Sequence[str] = (),
) -> Written:
    """Write ``card`` and its lock, and leave what the author wrote in ``readme`` as it is.

    Args:
        card: What is generated.
        readme: The file.
        pictures: What stands in ``figures`` beside it.
        remarks: What there is to say already.

    Raises:
        UserError: ``readme`` holds a card that mbrelease did not write, or its marks are broken.
    """
    page = merged_page(card, readme)
    changed = _write_results(card, readme)
    if not readme.exists() or read_text(readme) != page.text:
        write_text(readme, page.text)
        changed = True
    changed = write_lock(lock_path(readme), _lock(card, pictures or {})) or changed
    return Written(page.text, changed, (*remarks, *_unfounded(card)))


def _unfounded(card: Card) -> list[str]:
    found = [
        f"no record is behind {number.text} in line {number.line} of the section "
        f"'{number.region}': a template made it up"
        for number in card.unfounded
    ]
    more = len(found) - _MOST_REMARKS
    return found if more <= 0 else [*found[:_MOST_REMARKS], f"and {more} more such numbers"]


def require_regions(page: Page, readme: Path, text: str) -> Page:
    """``page``, which was read from ``text``, if it is a card of ours.

    Raises:
        UserError: it has no generated regions: another hand wrote it, or its line ends hide them.
    """
    if page.regions:
        return page
    if "\r\n" in text:
        raise UserError(f"{readme} has the line ends of Windows", mend="save it with \\n alone")
    raise UserError(
        f"{readme} was written by another hand: it has no generated regions",
        mend="move it away, write the card, and bring back what should stand around them",
    )


def merged_page(card: Card, readme: Path) -> Page:
    """``card`` with what the author wrote in ``readme``, if that is there.

    Raises:
        UserError: as ``write_card``.
    """
    if not readme.exists():
        return card.page
    text = read_text(readme)
    old = require_regions(read_page(text, str(readme)), readme, text)
    return merged(old, card.front_matter, card.page.regions, GENERATED_KEYS)


def _run(project: Project, variant: str, text: str, readme: Path, progress: Progress) -> None:
    from mbrelease.cards.snippets.run import run_card_blocks

    release = project.release(variant)
    if not (release / "config.json").is_file():
        raise UserError(
            f"there is no release in {release} to run the code against",
            mend=f"mbrelease release {variant}",
        )
    run_card_blocks(
        text,
        release,
        project.variant(variant).repo,
        evidence=project.evidence,
        shown=read_text(readme) if readme.is_file() else None,
        progress=progress,
    )


def _known(readme: Path) -> Lock | None:
    try:
        return read_lock(lock_path(readme))
    except UserError:
        return None  # a lock that is lost or spoilt is written anew


def _write_results(card: Card, readme: Path) -> bool:
    """Write the files of results, and take away those of ours that are no longer true."""
    changed = False
    for name, text in card.results.items():
        path = readme.parent / name
        if not path.is_file() or path.read_bytes() != text.encode():
            write_text(path, text)
            changed = True
    known = _known(readme)
    for name, sha256 in (known.results if known else {}).items():
        path = readme.parent / name
        if name not in card.results and path.is_file() and sha256_file(path) == sha256:
            path.unlink()
            changed = True
    return changed


def _draw(
    wanted: Sequence[Figure], folder: Path, known: Mapping[str, PictureLock]
) -> tuple[Mapping[str, PictureLock], list[str]]:
    """Draw what is new; without matplotlib, keep what is still true of what was drawn before."""
    try:
        return draw_figures(wanted, folder, known).pictures, []
    except MissingExtra as error:
        current = [one for one in wanted if is_current(one, folder, known.get(one.stem))]
        missing = [one.stem for one in wanted if one not in current]
        remark = f"the card is without {', '.join(missing)}: {error.message}"
        return draw_figures(current, folder, known).pictures, [remark]


def _lock(card: Card, pictures: Mapping[str, PictureLock]) -> Lock:
    return Lock(
        variant=card.variant,
        mbrelease_version=card.version,
        front_matter_sha256=text_sha256(generated_keys(card.front_matter, GENERATED_KEYS)),
        regions={name: text_sha256(text) for name, text in card.page.regions.items()},
        pictures=pictures,
        results={name: text_sha256(text) for name, text in card.results.items()},
        numbers=card.numbers,
    )
