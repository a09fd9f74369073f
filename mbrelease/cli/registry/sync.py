"""``mbrelease registry sync``: propose variants for published models."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mbrelease.cli.options import json_option, registry_option
from mbrelease.cli.output import print_json, progress, talk

if TYPE_CHECKING:
    from mbrelease.hub.family.proposal import Proposal, Question
    from mbrelease.hub.family.reading import Family
    from mbrelease.hub.family.syncing import Synced
    from mbrelease.registry.project import Project

LATER = "later"
SHOWN_DIGITS = 7


@click.command("sync")
@click.argument("ids", nargs=-1, metavar="[ID]...")
@click.option("--descendants", is_flag=True, help="Also what the Hub lists below the models.")
@click.option(
    "--limit",
    type=click.IntRange(1, 10_000),
    default=200,
    show_default=True,
    help="Read no more models than this.",
)
@click.option(
    "--answer",
    "answers",
    multiple=True,
    metavar="ID.KEY=VALUE",
    help="Decide what is open: ID.relation=…, ID.name=…; kept, repeatable.",
)
@click.option(
    "--skip",
    "skips",
    multiple=True,
    metavar="ID[.KEY]",
    help="Propose a model, or a key of it, never again; kept, repeatable.",
)
@click.option("--write", is_flag=True, help="Write the change into the registry.")
@json_option
@registry_option
def command(
    ids: tuple[str, ...],
    descendants: bool,
    limit: int,
    answers: tuple[str, ...],
    skips: tuple[str, ...],
    write: bool,
    as_json: bool,
    registry_path: Path | None,
) -> int:
    """Propose variants for the models ID on the Hub, as a diff of the registry to review.

    ID is ORG/NAME, or the address of the model's page.

    Read are their cards and configs and those of their base models and newer versions, upwards to
    the roots; without ID, those of all repos in the registry. What the registry says already is
    never changed: where the Hub says otherwise, that is told. On a terminal you are asked what
    the Hub does not tell for certain; elsewhere it stands in a comment.

    Nothing is changed without --write, except that answers are kept in registry.answers.json. What
    was read is kept in .mbrelease/hub-facts, so an interrupted run goes on where it was.

    HF_ENDPOINT says which Hub. Exits 1 where an ID cannot be read.
    """
    from mbrelease.hub.client import connect, quiet_client, shown_endpoint
    from mbrelease.hub.family.answers import answers_path, keep_answers, parse_answers, read_answers
    from mbrelease.hub.family.asking import Asker
    from mbrelease.hub.family.ids import model_id
    from mbrelease.hub.family.kept import KeptFacts
    from mbrelease.hub.family.reading import read_family
    from mbrelease.hub.family.syncing import ids_to_read, sync, unanswerable
    from mbrelease.registry.load import load_project

    project = load_project(registry_path)
    api = connect()
    ids = tuple(model_id(each, shown_endpoint(api)) for each in ids)
    wanted = ids_to_read(project, ids)
    decided = parse_answers(answers, skips)
    path = answers_path(project)
    # All mistakes are told before anything is asked or kept.
    unanswerable(project, decided, read_answers(path))
    with progress(quiet=as_json) as told, quiet_client():
        asker = Asker(api, told)
        kept = KeptFacts.beside(project, asker.endpoint)
        family = read_family(
            asker, kept, wanted, descendants=descendants, limit=limit, progress=told
        )
    new = keep_answers(path, decided) if decided else 0
    if not as_json and sys.stdin.isatty() and sys.stderr.isatty():
        asked = _ask(sync(project, family, read_answers(path), write=False).proposal.questions)
        new += keep_answers(path, asked) if asked else 0
    synced = sync(project, family, read_answers(path), write=write)
    lost = [repo_id for repo_id in wanted if repo_id in family.unreadable and repo_id in ids]
    if as_json:
        print_json(_as_json(project, asker.endpoint, family, synced))
    else:
        click.echo(synced.diff, nl=False)
        _talk(project, family, synced, new, limit)
    return 1 if lost else 0


def _ask(questions: Sequence[Question]) -> dict[str, dict[str, Any]]:
    """Ask a person; what is left for later stays a comment."""
    from mbrelease.hub.family.answers import RELATIONS

    found: dict[str, dict[str, Any]] = {}
    for question in questions:
        talk(f"\n{question.repo}: how was it made from {', '.join(question.parents)}?")
        talk(f"  {question.why}; perhaps {question.guess}")
        answer = click.prompt(
            "  relation",
            type=click.Choice([*RELATIONS, LATER]),
            default=LATER,
            show_choices=True,
            err=True,
        )
        if answer != LATER:
            found[question.repo] = {"relation": answer}
    return found


def _talk(project: Project, family: Family, synced: Synced, new: int, limit: int) -> None:
    """What a person should know of the proposal, on stderr."""
    from mbrelease.hub.family.answers import answers_path
    from mbrelease.registry.mistakes import shown_path

    proposal = synced.proposal
    for model in family.every():
        talk(f"read {model.repo_id} at {model.commit[:SHOWN_DIGITS]}")
        for trouble in model.troubles:
            talk(f"  {trouble}")
        if model.asked_as.casefold() != model.repo_id.casefold():
            talk(f"  {model.asked_as} is called so now")
    for repo_id, reason in family.unreadable.items():
        talk(f"could not read {repo_id}: {reason.why}")
    for remark in [*family.remarks, *proposal.remarks, *synced.refused]:
        talk(remark)
    for each in proposal.disagreements:
        talk(f"{each.variant}: {each.about} is {each.registry} here and {each.hub} on the Hub")
    if family.is_cut:
        talk(f"there are more models than --limit {limit}; the others were not read")
    if new:
        talk(f"kept in {shown_path(answers_path(project))}")
    talk(_summary(project, family, proposal, synced))


def _summary(project: Project, family: Family, proposal: Proposal, synced: Synced) -> str:
    from mbrelease.registry.mistakes import shown_path

    read = _count(len(family.every()), "model")
    if proposal.is_empty:
        return f"{read} read: nothing to add to {shown_path(project.registry_path)}"
    done = "written to" if synced.is_written else "proposed for"
    variants = _count(len(proposal.additions), "variant")
    facts = _count(len(proposal.settings), "fact")
    hint = "" if synced.is_written else "; --write writes it"
    where = " and ".join(map(shown_path, synced.files or [project.registry_path]))
    return f"{read} read: {variants} and {facts} {done} {where}{hint}"


def _as_json(project: Project, endpoint: str, family: Family, synced: Synced) -> dict[str, Any]:
    from mbrelease.registry.mistakes import shown_path

    return {
        "path": shown_path(project.registry_path),
        "endpoint": endpoint,
        "models": [
            {"id": m.repo_id, "asked_as": m.asked_as, "commit": m.commit, "troubles": m.troubles}
            for m in family.every()
        ],
        "unreadable": {repo_id: each.why for repo_id, each in family.unreadable.items()},
        "more": family.is_cut,
        **synced.proposal.as_json(),
        "remarks": [*family.remarks, *synced.proposal.remarks],
        "refused": list(synced.refused),
        "diff": synced.diff,
        "files": [shown_path(path) for path in synced.files],
        "changed": synced.is_written,
    }


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'s' if number != 1 else ''}"
