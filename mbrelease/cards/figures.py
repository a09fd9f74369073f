"""The pictures of a card: what there is to draw, and the files beside the README.

What is drawn and its words are known without matplotlib. A picture is drawn again only where its
data have changed or its files are not those that were written.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from markupsafe import Markup

from mbrelease.cards.lock import PictureLock
from mbrelease.cards.pictures.bars import Bars, bars_words
from mbrelease.cards.pictures.lineage import family_words, read_family
from mbrelease.cards.pictures.measured_bars import measured_bars
from mbrelease.cards.pictures.published_bars import published_bars
from mbrelease.cards.pictures.wording import Wording
from mbrelease.cards.scores import Evaluation
from mbrelease.cards.told import Place, place
from mbrelease.errors import UserError
from mbrelease.files import sha256_bytes, sha256_file, sha256_json, write_bytes
from mbrelease.pictures.write import picture_files
from mbrelease.registry.project import Project
from mbrelease.selection.decision import Decision

if TYPE_CHECKING:
    from mbrelease.pictures.render import Picture

FIGURES = "figures"
"""The folder of the pictures, beside the README."""
DRAWING_VERSION = 1
"""Raised by hand whenever the drawing code would draw the same data otherwise."""
SUFFIXES = ("svg", "png")

Section = Literal["lineage", "training", "choice", "evaluation", "efficiency"]
SECTIONS: tuple[Section, ...] = get_args(Section)


@dataclass(frozen=True)
class Figure:
    """A picture, before it is drawn."""

    stem: str
    """The name of its files, less the suffix."""
    section: Section
    """Where on the card it stands."""
    alt: Markup
    """The finding, for those who do not see it, with the origins of its numbers."""
    data_sha256: str
    """Of all that is drawn."""
    draw: Callable[[], Picture] = field(compare=False, repr=False)
    """Needs matplotlib."""

    @property
    def png(self) -> str:
        """The picture for the text of the card, relative to the README."""
        return f"{FIGURES}/{self.stem}.png"

    @property
    def svg(self) -> str:
        """The same as an SVG."""
        return f"{FIGURES}/{self.stem}.svg"

    @property
    def files(self) -> tuple[str, ...]:
        """The names of both."""
        return tuple(f"{self.stem}.{suffix}" for suffix in SUFFIXES)


def figures(
    project: Project,
    variant: str,
    *,
    decision: Decision | None,
    evaluation: Evaluation | None,
    weights_sha256: str | None,
) -> tuple[Figure, ...]:
    """What there is to draw of ``variant`` (a resolved name); no matplotlib is imported.

    Args:
        project: the registry, with the drift in its evidence.
        variant: its name.
        decision: of the variant, where one was made.
        evaluation: what was measured of it.
        weights_sha256: of the weights that the card is about.

    Raises:
        UserError: a value is NaN or infinite, or a record is malformed.
    """
    registry = place(project.root, project.registry_path)
    found = [_lineage_figure(project, variant)]
    if weights_sha256 is not None and (project.evidence / "drift").is_dir():
        found.append(_drift_figure(project, variant, weights_sha256))
    if decision is not None:
        at = place(project.root, project.decision(decision.variant))
        found += _decision_figures(decision, at)
    suite = project.registry.variants[variant].suite
    if evaluation is not None and suite is not None:
        for stem, speed in (("evaluation", False), ("efficiency", True)):
            section: Section = "efficiency" if speed else "evaluation"
            measured = measured_bars(evaluation, variant, suite, registry, speed=speed)
            found.append(bars_figure(stem, section, measured) if measured else None)
    if bars := published_bars(project, variant):
        found.append(bars_figure("reported", "evaluation", bars))
    return tuple(figure for figure in found if figure is not None)


@dataclass(frozen=True)
class Drawn:
    """What was done to the files of the pictures."""

    pictures: dict[str, PictureLock]
    """By stem, for the lock."""
    written: tuple[Path, ...]
    removed: tuple[Path, ...]


def draw_figures(wanted: Sequence[Figure], folder: Path, known: Mapping[str, PictureLock]) -> Drawn:
    """Bring the files in ``folder`` up to ``wanted``.

    Only what was drawn before, and is in ``known``, is removed or overwritten.

    Args:
        wanted: what to draw.
        folder: ``figures`` beside the README; is made if there is none.
        known: what the lock of the card says of the pictures there.

    Raises:
        MissingExtra: matplotlib is not installed, and something must be drawn.
        UserError: a file that mbrelease did not draw is in the way, or one cannot be written.
    """
    stale = [one for one in wanted if not is_current(one, folder, known.get(one.stem))]
    files = picture_files(lambda: {one.stem: one.draw() for one in stale}) if stale else {}
    for name in files:
        _refuse_foreign(folder / name, files[name], known)
    written = []
    for name, data in files.items():
        if not (folder / name).is_file() or (folder / name).read_bytes() != data:
            write_bytes(folder / name, data)
            written.append(folder / name)
    removed = _remove_old(folder, known, {one.stem for one in wanted})
    return Drawn(
        pictures={
            one.stem: _lock(one, files)
            if one in stale
            else PictureLock(one.data_sha256, dict(known[one.stem].files))
            for one in wanted
        },
        written=tuple(written),
        removed=removed,
    )


def picture_faults(
    wanted: Iterable[Figure], folder: Path, known: Mapping[str, PictureLock]
) -> tuple[str, ...]:
    """What is wrong with the files in ``folder``, in a sentence each; nothing is drawn."""
    faults = []
    wanted = list(wanted)
    for one in wanted:
        lock = known.get(one.stem)
        if lock is None:
            faults.append(f"{FIGURES}/{one.stem} was never drawn")
            continue
        if lock.data_sha256 != one.data_sha256:
            faults.append(f"{FIGURES}/{one.stem} was drawn from other data")
        for suffix, sha256 in lock.files.items():
            path = folder / f"{one.stem}.{suffix}"
            if not path.is_file():
                faults.append(f"{FIGURES}/{path.name} is missing")
            elif sha256_file(path) != sha256:
                faults.append(f"{FIGURES}/{path.name} was changed after it was drawn")
    stems = {one.stem for one in wanted}
    faults += [f"{FIGURES}/{stem} shows what is no longer there" for stem in known.keys() - stems]
    return tuple(sorted(faults))


def bars_figure(stem: str, section: Section, bars: Bars) -> Figure:
    """The picture of ``bars``."""

    def draw() -> Picture:
        from mbrelease.cards.pictures.draw_bars import draw_bars

        return draw_bars(bars)

    return _figure(stem, section, bars_words(bars), asdict(bars), draw)


def _lineage_figure(project: Project, variant: str) -> Figure | None:
    family = read_family(project.registry, variant)
    if family is None:
        return None

    def draw() -> Picture:
        from mbrelease.cards.pictures.draw_lineage import draw_lineage

        return draw_lineage(family)

    return _figure("lineage", "lineage", family_words(family), asdict(family), draw)


# What only some cards have is imported where it is needed: a card is made in a moment.


def _drift_figure(project: Project, child: str, weights_sha256: str) -> Figure | None:
    from mbrelease.cards.pictures.drift_words import drift_words, read_drift

    record = read_drift(project, child, weights_sha256)
    if record is None or not record.drift.drawable:
        return None

    def draw() -> Picture:
        from mbrelease.parity.draw_drift import draw_drift

        return draw_drift(record.drift, child, record.parent)

    data = {
        "child": child,
        "parent": record.parent,
        "parts": [asdict(part) for part in record.drift.parts],
        "apart": record.drift.apart,
        "dtypes": record.drift.dtypes,
    }
    words = drift_words(record, child, place(project.root, record.file))
    return _figure("drift", "training", words, data, draw)


def _decision_figures(decision: Decision, at: Place) -> list[Figure | None]:
    """The primary metric over training, the one that it is weighed against, and both."""
    from mbrelease.selection.plots.write import across_metric

    across = across_metric(decision)
    primary = decision.policy.primary
    found = [_trajectory_figure("trajectory", decision, primary, at)]
    if across is not None:
        found.append(_trajectory_figure("trajectory-guardrail", decision, across, at))
        found.append(_front_figure(decision, across, at))
    return found


def _trajectory_figure(stem: str, decision: Decision, metric: str, at: Place) -> Figure | None:
    from mbrelease.cards.pictures.decision_words import trajectory_words
    from mbrelease.selection.plots.words import measured

    if sum(measured(one, metric) is not None for one in decision.candidates) < 2:
        return None  # one point is no trajectory

    def draw() -> Picture:
        from mbrelease.selection.plots.draw_trajectory import draw_trajectory

        return draw_trajectory(decision, metric)

    words = trajectory_words(decision, metric, at)
    data = {"metric": metric, "decision": decision.model_dump(mode="json")}
    return _figure(stem, "choice", words, data, draw)


def _front_figure(decision: Decision, across: str, at: Place) -> Figure | None:
    from mbrelease.cards.pictures.decision_words import front_words
    from mbrelease.selection.plots.words import measured

    both = (across, decision.policy.primary)
    if sum(all(measured(one, m) for m in both) for one in decision.candidates) < 2:
        return None

    def draw() -> Picture:
        from mbrelease.selection.plots.front import draw_front

        return draw_front(decision, across)

    words = front_words(decision, across, at)
    data = {"across": across, "decision": decision.model_dump(mode="json")}
    return _figure("front", "choice", words, data, draw)


def _figure(
    stem: str, section: Section, words: Wording, data: Any, draw: Callable[[], Picture]
) -> Figure:
    content = {
        "drawing_version": DRAWING_VERSION,
        "stem": stem,
        "alt": words.plain,
        "data": data,
    }
    return Figure(stem, section, words.markup, sha256_json(content), draw)


def is_current(figure: Figure, folder: Path, known: PictureLock | None) -> bool:
    """Whether the files in ``folder`` show ``figure``, as the lock says ``known`` of them."""
    if known is None or known.data_sha256 != figure.data_sha256:
        return False
    files = {suffix: folder / f"{figure.stem}.{suffix}" for suffix in SUFFIXES}
    return all(
        path.is_file() and sha256_file(path) == known.files.get(suffix)
        for suffix, path in files.items()
    )


def _lock(figure: Figure, files: Mapping[str, bytes]) -> PictureLock:
    shown = {suffix: sha256_bytes(files[f"{figure.stem}.{suffix}"]) for suffix in SUFFIXES}
    return PictureLock(figure.data_sha256, shown)


def _refuse_foreign(path: Path, data: bytes, known: Mapping[str, PictureLock]) -> None:
    """Stop before a picture of the author's is overwritten."""
    if path.stem in known or not path.exists() or (path.is_file() and path.read_bytes() == data):
        return
    raise UserError(
        f"{path} was not drawn by mbrelease, which would overwrite it",
        mend="move it away, or delete it if the card's lock was lost",
    )


def _remove_old(folder: Path, known: Mapping[str, PictureLock], kept: set[str]) -> tuple[Path, ...]:
    """Delete the pictures that are no longer wanted, unless somebody has changed them."""
    removed = []
    for stem, lock in known.items():
        if stem in kept:
            continue
        for suffix, sha256 in lock.files.items():
            path = folder / f"{stem}.{suffix}"
            if path.is_file() and sha256_file(path) == sha256:
                path.unlink()
                removed.append(path)
    return tuple(removed)
