"""``mbrelease card``: write the model card of a variant or of a folder, and hold it to its word."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mbrelease.cli.options import json_option, registry_option
from mbrelease.cli.output import print_json, progress, talk

if TYPE_CHECKING:
    from mbrelease.registry.project import Project

README = "README.md"
_MOST_SHOWN = 40


@click.command("card")
@click.argument("target", metavar="[VARIANT|PATH]", required=False)
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    default=None,
    help="The card's file.  [default: print it; to look at it, the README.md of the release]",
)
@click.option("--run", is_flag=True, help="First run the card's code against the release.")
@click.option("--check", is_flag=True, help="Does the card still say what its records say?")
@click.option("--lint", is_flag=True, help="Hold the card to the Hub's rules, offline.")
@click.option("--endpoint", metavar="URL", help="With --lint: also ask the Hub at this address.")
@click.option("--preview", is_flag=True, help="Show the page as the Hub will, on this machine.")
@click.option("--port", type=click.IntRange(0, 65_535), help="Of --preview.  [default: a free one]")
@click.option(
    "--html",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write that page to one file instead.",
)
@click.option("--to", "repo_id", metavar="ORG/NAME", help="Where the folder PATH will be pushed.")
@registry_option
@json_option
def command(
    target: str | None,
    output: Path | None,
    run: bool,
    check: bool,
    lint: bool,
    endpoint: str | None,
    preview: bool,
    port: int | None,
    html: Path | None,
    repo_id: str | None,
    registry_path: Path | None,
    as_json: bool,
) -> None:
    """Write the model card of a VARIANT from its registry, decision and evidence.

    Text that you write outside the generated regions of the file stays. Pictures go to 'figures'
    beside it, and card.lock.json names the record behind each number; --check derives all of them
    anew. Without a target, --check and --lint look at every release.

    For the PATH of a checkpoint that no registry speaks of, write a minimal card from its own
    files. A template in the folder 'templates' beside the registry replaces the shipped one of
    the same name, such as templates/sections/limitations.md.j2.
    """
    from mbrelease.errors import UserError

    looks = check or lint or preview or html is not None
    if port is not None and not preview:
        raise UserError("--port is of --preview")
    if looks and run:
        raise UserError("--run writes a card; --check, --lint and --preview only look at one")
    if looks:
        _look(
            _cards(target, output, registry_path),
            check=check,
            lint=lint,
            endpoint=endpoint,
            as_json=as_json,
        )
        if preview or html is not None:
            from mbrelease.cli.card_preview import preview as show

            (found,) = _cards(target, output, registry_path)
            show(found.readme, output=html, port=port, repo_id=found.repo_id)
        return
    if target is None:
        raise UserError("of which variant?", mend="mbrelease card VARIANT")
    _write(target, output, run, repo_id, registry_path, as_json)


def _write(
    target: str,
    output: Path | None,
    run: bool,
    repo_id: str | None,
    registry_path: Path | None,
    as_json: bool,
) -> None:
    from mbrelease.cards.card import make_card, make_folder_card
    from mbrelease.errors import UserError
    from mbrelease.files import sha256_bytes

    if run and output is None:
        raise UserError("--run puts what the code prints on the card", mend="name it: -o FILE")
    project = _project(target, repo_id, registry_path)
    if run and project is None:
        raise UserError(
            f"what code prints is kept beside a registry, and {target} is a folder without one",
            mend="leave out --run, or describe it: mbrelease registry add",
        )
    if output is not None:
        text = _write_to(output, target, project, run, repo_id)
    elif project is not None:
        text = make_card(project, target).text
    else:
        text = make_folder_card(Path(target), repo_id).text
    if as_json:
        print_json(
            {
                "target": target,
                "output": None if output is None else str(output),
                "sha256": sha256_bytes(text.encode()),
                "card": text,
            }
        )
    elif output is None:
        click.echo(text, nl=False)


def _write_to(
    output: Path, target: str, project: Project | None, run: bool, repo_id: str | None
) -> str:
    from mbrelease.cards.card import make_folder_card
    from mbrelease.cards.write import write_card, write_variant_card

    with progress() as shown:
        written = (
            write_card(make_folder_card(Path(target), repo_id), output)
            if project is None
            else write_variant_card(project, target, output, run=run, progress=shown)
        )
    talk(f"wrote {output}" if written.changed else f"{output} is as it should be")
    for remark in written.remarks:
        talk(remark)
    return written.text


def _project(target: str, repo_id: str | None, registry_path: Path | None) -> Project | None:
    """The registry that knows ``target``; ``None`` where it is a folder that none speaks of."""
    from mbrelease.errors import UserError
    from mbrelease.registry.load import find_registry, load_project

    folder = Path(target)
    try:
        path = find_registry(Path.cwd()) if registry_path is None else registry_path
    except UserError as error:
        if folder.is_dir():
            return None
        raise UserError(
            f"{target} is neither a folder nor a variant: {error.message}", mend=error.mend
        ) from error
    project = load_project(path)
    named = {*project.registry.variants, *project.registry.aliases}
    if target not in named and folder.is_dir():
        return None
    if repo_id is not None:
        raise UserError(
            f"'{target}' is a variant, and its card names the repo of the registry",
            mend=f"mbrelease registry set {target} repo {repo_id}",
        )
    return project


@dataclass(frozen=True)
class _Found:
    """A card on disk."""

    readme: Path
    project: Project | None
    variant: str | None

    @property
    def repo_id(self) -> str | None:
        """Where it will be published."""
        if self.project is None or self.variant is None:
            return None
        return self.project.variant(self.variant).repo


def _cards(target: str | None, output: Path | None, registry_path: Path | None) -> list[_Found]:
    """The cards that are meant: a file, that of a folder, of a variant, or of every release."""
    from mbrelease.errors import UserError
    from mbrelease.registry.load import find_registry, load_project

    if target is None and output is not None:
        return [_of_file(output, registry_path)]
    if target is not None and Path(target).exists() and output is None:
        readme = Path(target) / README if Path(target).is_dir() else Path(target)
        return [_of_file(readme, registry_path)]
    project = load_project(find_registry(Path.cwd()) if registry_path is None else registry_path)
    if target is not None:
        name = project.resolve_name(target)
        readme = output if output is not None else project.release(name) / README
        if not readme.is_file():
            raise UserError(f"{readme} is missing", mend=f"mbrelease card {name} -o {readme}")
        return [_Found(readme, project, name)]
    found = [
        _Found(project.release(name) / README, project, name)
        for name in project.registry.variants
        if (project.release(name) / README).is_file()
    ]
    if not found:
        raise UserError(
            f"no release in {project.root / 'releases'} has a card",
            mend="name a variant or a file: mbrelease card --check FILE",
        )
    return found


def _of_file(readme: Path, registry_path: Path | None) -> _Found:
    """A card by its path; its lock says which variant it is of."""
    from mbrelease.cards.lock import lock_path, read_lock
    from mbrelease.errors import UserError
    from mbrelease.registry.load import find_registry, load_project

    if not readme.is_file():
        raise UserError(f"{readme} is missing")
    if not lock_path(readme).is_file():
        return _Found(readme, None, None)
    variant = read_lock(lock_path(readme)).variant
    places = [registry_path] if registry_path else []
    for start in [] if registry_path else [readme.resolve().parent, Path.cwd()]:
        with contextlib.suppress(UserError):
            places.append(find_registry(start))
    for path in places:
        project = load_project(path)
        if variant in project.registry.variants:
            return _Found(readme, project, variant)
    return _Found(readme, None, None)


def _look(
    cards: list[_Found], *, check: bool, lint: bool, endpoint: str | None, as_json: bool
) -> None:
    """Say what is wrong with cards; stop with exit code 1 where something is."""
    answers = []
    bad = 0
    for found in cards:
        answer: dict[str, object] = {"card": str(found.readme)}
        if check:
            differences = _check(found, answer, quiet=as_json)
            bad += differences
        if lint:
            bad += _lint(found, endpoint, answer, quiet=as_json)
        answers.append(answer)
    if as_json:
        print_json(answers if len(answers) != 1 else answers[0])
    if bad:
        raise click.exceptions.Exit(1)


def _check(found: _Found, answer: dict[str, object], *, quiet: bool) -> int:
    from mbrelease import __version__
    from mbrelease.cards.check import check_card
    from mbrelease.errors import UserError

    if found.project is None or found.variant is None:
        raise UserError(
            f"{found.readme} is no card of a variant: there is no lock or no registry beside it",
            mend="write it with mbrelease card VARIANT -o",
        )
    checked = check_card(found.project, found.variant, found.readme)
    answer |= {
        "variant": checked.variant,
        "numbers": checked.numbers,
        "differences": [one.as_json() for one in checked.differences],
    }
    if not quiet:
        for one in checked.differences[:_MOST_SHOWN]:
            click.echo(one.sentence)
        if more := len(checked.differences[_MOST_SHOWN:]):
            click.echo(f"… and {more} more; --json has all")
        n = len(checked.differences)
        if n and checked.written_by != __version__:
            talk(f"mbrelease {checked.written_by} wrote the card, and this is {__version__}")
        says = f"{n} differences" if n > 1 else "1 difference" if n else "no difference"
        talk(f"{found.readme}: {checked.numbers} numbers derived anew, {says}")
        if n:
            talk(f"write it anew: mbrelease card {checked.variant} -o {found.readme}")
    return len(checked.differences)


def _lint(found: _Found, endpoint: str | None, answer: dict[str, object], *, quiet: bool) -> int:
    from mbrelease.cli.card_lint import lint

    return lint(
        found.readme,
        project=found.project,
        variant=found.variant,
        endpoint=endpoint,
        answer=answer,
        quiet=quiet,
    )
